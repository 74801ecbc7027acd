// SPDX-License-Identifier: GPL-2.0
/* Each call that can fail has a mark: what becomes of its failure. */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/version.h>

static dev_t number;
static char *first, *second, *object, *name, *last;
static struct kmem_cache *cache;
static DEFINE_MUTEX(lock);
static const struct file_operations operations = { .owner = THIS_MODULE };
static struct timer_list timer;
static int major;

static void tick(struct timer_list *unused)
{
	mod_timer(&timer, jiffies + 1);
}

static int __init error_paths_init(void)
{
	char *spare;
	int error;

	first = kmalloc(24, GFP_KERNEL); /* FAULT clean */
	if (!first)
		return -ENOMEM;
	second = kmalloc(48, GFP_KERNEL); /* FAULT leaked */
	if (!second)
		return -ENOMEM;
	spare = kmalloc(96, GFP_KERNEL | __GFP_NOWARN); /* FAULT spared */
	kfree(spare);
	error = alloc_chrdev_region(&number, 0, 1, "error_paths"); /* FAULT other-error */
	if (error) {
		error = -EINVAL;
		goto memory;
	}
	if (!proc_mkdir("error_paths", NULL)) { /* FAULT leaked */
		error = -ENOMEM;
		goto memory;
	}
	cache = kmem_cache_create("error_paths", 40, 0, 0, NULL); /* FAULT crashed */
	object = kmem_cache_alloc(cache, GFP_KERNEL); /* FAULT misused */
	if (!object) {
		kfree(second);
		error = -ENOMEM;
		goto directory;
	}
	mutex_lock(&lock);
	error = major = register_chrdev(0, "other", &operations); /* FAULT misused */
	if (error < 0)
		goto object;
	mutex_unlock(&lock);
	name = kstrdup("not looked at", GFP_KERNEL); /* FAULT swallowed */
	timer_setup(&timer, tick, 0);
	mod_timer(&timer, jiffies + 1);
	last = kzalloc(200, GFP_KERNEL); /* FAULT crashed */
	if (last)
		return 0;
	error = -ENOMEM;
	kfree(name);
	unregister_chrdev(major, "other");
object:
	kmem_cache_free(cache, object);
directory:
	kmem_cache_destroy(cache);
	remove_proc_entry("error_paths", NULL);
	unregister_chrdev_region(number, 1);
memory:
	kfree(second);
	kfree(first);
	return error;
}

static void __exit error_paths_exit(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	del_timer_sync(&timer);
#else
	timer_delete_sync(&timer);
#endif
	kfree(last);
	kfree(name);
	unregister_chrdev(major, "other");
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	remove_proc_entry("error_paths", NULL);
	unregister_chrdev_region(number, 1);
	kfree(second);
	kfree(first);
}

module_init(error_paths_init);
module_exit(error_paths_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("error paths with bugs");
