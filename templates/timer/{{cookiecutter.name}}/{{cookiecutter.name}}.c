// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/timer.h>
#include <linux/version.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* The new name came with 6.2, the old one went with 6.15. */
#if KERNEL_VERSION(6, 2, 0) > LINUX_VERSION_CODE
#define timer_delete_sync del_timer_sync
#endif

static unsigned int period = 1000;
module_param(period, uint, 0444);
MODULE_PARM_DESC(period, "milliseconds from one tick to the next");

/*
 * Three ways to do something later, each handing over to the next:
 *
 *   timer      soon and exact, but in interrupt context: it must not sleep, so
 *              no mutex, no GFP_KERNEL.
 *   workqueue  a function that may sleep, run by a thread of the kernel's.
 *   kthread    a thread of our own, for work that goes on and on.
 */
static struct task_struct *listener;
static DECLARE_WAIT_QUEUE_HEAD(listener_wait);
static atomic_t unheard = ATOMIC_INIT(0);

static int listen_for_ticks(void *unused)
{
	unsigned int heard = 0;

	for (;;) {
		/*
		 * The condition is looked at before sleeping and after each
		 * wake-up, so none is lost. _idle: a thread of the kernel's gets
		 * no signals, and doesn't count as load while it waits.
		 */
		wait_event_idle(listener_wait,
				atomic_read(&unheard) || kthread_should_stop());
		if (kthread_should_stop())
			break;
		atomic_dec(&unheard);
		pr_info("tick %u\n", ++heard);
	}

	/* kthread_stop() returns this. */
	return heard;
}

static void pass_on(struct work_struct *work)
{
	atomic_inc(&unheard);
	wake_up(&listener_wait);
}

static DECLARE_WORK(passing, pass_on);
static struct workqueue_struct *queue;

static void tick(struct timer_list *timer)
{
	/* Work that is queued already isn't queued twice. */
	queue_work(queue, &passing);
	mod_timer(timer, jiffies + msecs_to_jiffies(period));
}

static DEFINE_TIMER(ticker, tick);

static int __init {{ cookiecutter.ident }}_init(void)
{
	if (!period)
		return -EINVAL;

	queue = alloc_ordered_workqueue("%s", 0, KBUILD_MODNAME);
	if (!queue)
		return -ENOMEM;

	listener = kthread_run(listen_for_ticks, NULL, "%s", KBUILD_MODNAME);
	if (IS_ERR(listener)) {
		destroy_workqueue(queue);
		return PTR_ERR(listener);
	}

	/* What uses the others starts last. */
	mod_timer(&ticker, jiffies + msecs_to_jiffies(period));

	return 0;
}

/*
 * Stop where it begins, so that nothing is handed on to what is gone. Each of
 * these waits until its function has returned and can't run any more: after
 * exit, the code is no longer there.
 */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
	int heard;

	/* Also stops a timer that sets itself again, as this one does. */
	timer_delete_sync(&ticker);
	destroy_workqueue(queue);
	heard = kthread_stop(listener);
	pr_info("heard %d ticks\n", heard);
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
