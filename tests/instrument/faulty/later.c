// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static int later_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(64, GFP_KERNEL); /* FAULT clean */
	return file->private_data ? 0 : -ENOMEM;
}

static int later_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static ssize_t later_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char *copy = kmalloc(size + 1, GFP_KERNEL); /* FAULT crashed */

	copy[0] = 0;
	if (copy_from_user(copy, from, size)) /* FAULT leaked */
		return -EFAULT;
	kfree(copy);
	return size;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = later_open,
	.release = later_release,
	.write = later_write,
};
static struct miscdevice device = { .minor = MISC_DYNAMIC_MINOR, .name = "later", .fops = &operations };

module_misc_device(device);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("fails after init");
