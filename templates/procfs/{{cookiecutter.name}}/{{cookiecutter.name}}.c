// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

/* Whoever may write can't take all of the kernel's memory. */
#define MOST_WORDS 1000
#define LONGEST_WORD 80

struct word {
	struct list_head in_words;
	char text[];
};

static DEFINE_MUTEX(words_lock);
static LIST_HEAD(words);
static unsigned int words_count;

/*
 * seq_file walks the list for us. A read() that asks for less than there is
 * stops and goes on later, by position; the lock is not held in between.
 */
static void *words_seq_start(struct seq_file *seq, loff_t *position)
{
	mutex_lock(&words_lock);

	return seq_list_start(&words, *position);
}

static void *words_seq_next(struct seq_file *seq, void *word, loff_t *position)
{
	return seq_list_next(word, &words, position);
}

/* Called after each start, also where that one found nothing. */
static void words_seq_stop(struct seq_file *seq, void *word)
{
	mutex_unlock(&words_lock);
}

static int words_seq_show(struct seq_file *seq, void *word)
{
	struct word *one = list_entry(word, struct word, in_words);

	seq_printf(seq, "%s\n", one->text);

	return 0;
}

static const struct seq_operations words_seq = {
	.start = words_seq_start,
	.next = words_seq_next,
	.stop = words_seq_stop,
	.show = words_seq_show,
};

static int words_open(struct inode *inode, struct file *file)
{
	return seq_open(file, &words_seq);
}

/* Each write() is one word. */
static ssize_t words_write(struct file *file, const char __user *from,
			   size_t size, loff_t *position)
{
	struct word *word;
	int err = 0;

	if (size > LONGEST_WORD)
		return -EINVAL;

	word = kmalloc(sizeof(*word) + size + 1, GFP_KERNEL);
	if (!word)
		return -ENOMEM;
	/* Never use the user's memory in place: it can change under our eyes. */
	if (copy_from_user(word->text, from, size)) {
		kfree(word);
		return -EFAULT;
	}
	word->text[size] = '\0';
	strim(word->text);

	mutex_lock(&words_lock);
	if (words_count < MOST_WORDS) {
		list_add_tail(&word->in_words, &words);
		words_count++;
	} else {
		err = -ENOSPC;
	}
	mutex_unlock(&words_lock);
	if (err) {
		kfree(word);
		return err;
	}

	return size;
}

/*
 * No owner here: a program that has the file open doesn't keep the module from
 * being removed. proc_remove() waits for those inside these functions, calls
 * proc_release for what is open, and nobody comes in any more.
 */
static const struct proc_ops words_proc = {
	.proc_open = words_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_write = words_write,
	.proc_release = seq_release,
};

static struct proc_dir_entry *words_file;

static int __init {{ cookiecutter.ident }}_init(void)
{
	words_file = proc_create(KBUILD_MODNAME, 0644, NULL, &words_proc);
	if (!words_file)
		return -ENOMEM;
	pr_info("see /proc/%s\n", KBUILD_MODNAME);

	return 0;
}

static void __exit {{ cookiecutter.ident }}_exit(void)
{
	struct word *word, *next;

	/* First the way in, then what is behind it. */
	proc_remove(words_file);
	/* _safe: the next one is known before this one is freed. */
	list_for_each_entry_safe(word, next, &words, in_words)
		kfree(word);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
