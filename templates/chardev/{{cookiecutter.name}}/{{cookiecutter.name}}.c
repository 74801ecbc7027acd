// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kfifo.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/printk.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "{{ cookiecutter.name }}.h"

/* What is written waits here until it is read. The size is a power of two. */
static DEFINE_KFIFO(mailbox, char, 4096);

/*
 * Held by whoever changes the mailbox; a mutex, for copying to and from user
 * space can sleep.
 */
static DEFINE_MUTEX(mailbox_lock);

static DECLARE_WAIT_QUEUE_HEAD(mailbox_readers);
static DECLARE_WAIT_QUEUE_HEAD(mailbox_writers);

static int mailbox_open(struct inode *inode, struct file *file)
{
	/* A stream has no position: lseek() and pread() are refused. */
	return stream_open(inode, file);
}

/*
 * Wait until there is something to read, and return with the lock held. The
 * lock isn't held while waiting, so another reader can be quicker: look again.
 * -ERESTARTSYS: a signal came; the call is made again or fails with EINTR.
 */
static int mailbox_lock_filled(struct file *file)
{
	for (;;) {
		if (mutex_lock_interruptible(&mailbox_lock))
			return -ERESTARTSYS;
		if (!kfifo_is_empty(&mailbox))
			return 0;
		mutex_unlock(&mailbox_lock);

		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(mailbox_readers,
					     !kfifo_is_empty(&mailbox)))
			return -ERESTARTSYS;
	}
}

/* The same for room to write to. */
static int mailbox_lock_roomy(struct file *file)
{
	for (;;) {
		if (mutex_lock_interruptible(&mailbox_lock))
			return -ERESTARTSYS;
		if (!kfifo_is_full(&mailbox))
			return 0;
		mutex_unlock(&mailbox_lock);

		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(mailbox_writers,
					     !kfifo_is_full(&mailbox)))
			return -ERESTARTSYS;
	}
}

/* Gives what is there, up to `size`; less is no error, the caller comes back. */
static ssize_t mailbox_read(struct file *file, char __user *to, size_t size,
			    loff_t *position)
{
	unsigned int copied = 0;
	int err;

	if (!size)
		return 0;
	err = mailbox_lock_filled(file);
	if (err)
		return err;
	err = kfifo_to_user(&mailbox, to, size, &copied);
	mutex_unlock(&mailbox_lock);

	if (!copied)
		return err;
	wake_up_interruptible(&mailbox_writers);

	/* Also where a fault came after it: this much is out of the mailbox. */
	return copied;
}

static ssize_t mailbox_write(struct file *file, const char __user *from,
			     size_t size, loff_t *position)
{
	unsigned int copied = 0;
	int err;

	if (!size)
		return 0;
	err = mailbox_lock_roomy(file);
	if (err)
		return err;
	err = kfifo_from_user(&mailbox, from, size, &copied);
	mutex_unlock(&mailbox_lock);

	if (!copied)
		return err;
	wake_up_interruptible(&mailbox_readers);

	return copied;
}

/*
 * For poll(), select() and epoll. poll_wait() doesn't wait: it says which queues
 * are woken when the answer may have changed. First that, then the answer.
 */
static __poll_t mailbox_poll(struct file *file, poll_table *table)
{
	__poll_t ready = 0;

	poll_wait(file, &mailbox_readers, table);
	poll_wait(file, &mailbox_writers, table);
	if (!kfifo_is_empty(&mailbox))
		ready |= EPOLLIN | EPOLLRDNORM;
	if (!kfifo_is_full(&mailbox))
		ready |= EPOLLOUT | EPOLLWRNORM;

	return ready;
}

static long mailbox_ioctl(struct file *file, unsigned int command,
			  unsigned long argument)
{
	u32 length;

	switch (command) {
	case MAILBOX_CLEAR:
		mutex_lock(&mailbox_lock);
		kfifo_reset(&mailbox);
		mutex_unlock(&mailbox_lock);
		wake_up_interruptible(&mailbox_writers);
		return 0;
	case MAILBOX_LENGTH:
		length = kfifo_len(&mailbox);
		return put_user(length, (u32 __user *)argument);
	default:
		/* What ioctl() says to a number it doesn't know. */
		return -ENOTTY;
	}
}

static const struct file_operations mailbox_operations = {
	/* The module can't be removed while a program has the device open. */
	.owner = THIS_MODULE,
	.open = mailbox_open,
	.read = mailbox_read,
	.write = mailbox_write,
	.poll = mailbox_poll,
	.unlocked_ioctl = mailbox_ioctl,
	/* A 32-bit program's pointers, made 64 bits wide. */
	.compat_ioctl = compat_ptr_ioctl,
};

/* udev makes /dev/NAME of it, for root; give it a .mode such as 0666 for all. */
static struct miscdevice mailbox_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &mailbox_operations,
};

static int __init {{ cookiecutter.ident }}_init(void)
{
	int err;

	/* Last in init: programs can open the device from here on. */
	err = misc_register(&mailbox_device);
	if (err)
		return err;
	pr_info("see /dev/%s\n", KBUILD_MODNAME);

	return 0;
}

static void __exit {{ cookiecutter.ident }}_exit(void)
{
	misc_deregister(&mailbox_device);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
