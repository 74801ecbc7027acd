/* SPDX-License-Identifier: GPL-2.0 */
/* What every module of this zoo has. A line with the mark BUG and a kind is what must be reported. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

/* The compiler must not know how a bug comes about. */
static volatile int zero;
static volatile long sink;

static int __init bug_init(void);
static void __exit bug_exit(void);
module_init(bug_init);
module_exit(bug_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("has one bug");
