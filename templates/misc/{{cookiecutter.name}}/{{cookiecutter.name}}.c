// SPDX-License-Identifier: {{ cookiecutter.spdx }}

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>

/* The text that was written last. */
static char note[256];
static size_t note_size;
static DEFINE_MUTEX(note_lock);

/* Gives what is between the position and the end, and moves the position on. */
static ssize_t note_read(struct file *file, char __user *to, size_t size,
			 loff_t *position)
{
	ssize_t copied;

	mutex_lock(&note_lock);
	copied = simple_read_from_buffer(to, size, position, note, note_size);
	mutex_unlock(&note_lock);

	return copied;
}

static ssize_t note_write(struct file *file, const char __user *from,
			  size_t size, loff_t *position)
{
	ssize_t copied;

	mutex_lock(&note_lock);
	copied = simple_write_to_buffer(note, sizeof(note), position, from,
					size);
	if (copied > 0)
		note_size = *position;
	mutex_unlock(&note_lock);

	/* 0 is no error, and who writes would try again for ever. */
	return copied || !size ? copied : -ENOSPC;
}

static const struct file_operations note_operations = {
	.owner = THIS_MODULE,
	.read = note_read,
	.write = note_write,
	.llseek = default_llseek,
};

/* A character device with a number of its own and a file in /dev, for root. */
static struct miscdevice note_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &note_operations,
};

/* Makes an init that registers the device, and an exit that undoes it. */
module_misc_device(note_device);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
