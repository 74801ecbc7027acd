// SPDX-License-Identifier: GPL-2.0
/* Every failure is undone: a device with its class, a thread, a workqueue, a cache, memory of each kind. */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

static const struct file_operations operations = { .owner = THIS_MODULE };
static dev_t number;
static struct cdev cdev;
static struct class *class;
static struct device *device;
static struct kmem_cache *cache;
static struct workqueue_struct *queue;
static struct task_struct *thread;
static void *object, *area;
static struct page *page;
static struct proc_dir_entry *directory;

static int work(void *unused)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int __init tidy_init(void)
{
	int error = alloc_chrdev_region(&number, 0, 1, "tidy");

	if (error)
		return error;
	cdev_init(&cdev, &operations);
	error = cdev_add(&cdev, number, 1);
	if (error)
		goto region;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	class = class_create(THIS_MODULE, "tidy");
#else
	class = class_create("tidy");
#endif
	if (IS_ERR(class)) {
		error = PTR_ERR(class);
		goto cdev;
	}
	device = device_create(class, NULL, number, NULL, "tidy%d", 0);
	if (IS_ERR(device)) {
		error = PTR_ERR(device);
		goto class;
	}
	error = -ENOMEM;
	cache = kmem_cache_create("tidy", 40, 0, 0, NULL);
	if (!cache)
		goto device;
	object = kmem_cache_zalloc(cache, GFP_KERNEL);
	if (!object)
		goto cache;
	area = vmalloc(10000);
	if (!area)
		goto object;
	page = alloc_page(GFP_KERNEL);
	if (!page)
		goto area;
	queue = alloc_workqueue("tidy", WQ_UNBOUND, 1);
	if (!queue)
		goto page;
	directory = proc_mkdir("tidy", NULL);
	if (!directory)
		goto queue;
	thread = kthread_run(work, NULL, "tidy/%d", 1);
	if (!IS_ERR(thread))
		return 0;
	error = PTR_ERR(thread);
	proc_remove(directory);
queue:
	destroy_workqueue(queue);
page:
	__free_page(page);
area:
	vfree(area);
object:
	kmem_cache_free(cache, object);
cache:
	kmem_cache_destroy(cache);
device:
	device_destroy(class, number);
class:
	class_destroy(class);
cdev:
	cdev_del(&cdev);
region:
	unregister_chrdev_region(number, 1);
	return error;
}

static void __exit tidy_exit(void)
{
	kthread_stop(thread);
	proc_remove(directory);
	destroy_workqueue(queue);
	__free_page(page);
	vfree(area);
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	device_destroy(class, number);
	class_destroy(class);
	cdev_del(&cdev);
	unregister_chrdev_region(number, 1);
}

module_init(tidy_init);
module_exit(tidy_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("undoes each failure");
