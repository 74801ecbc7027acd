// SPDX-License-Identifier: GPL-2.0
/* Functions that may sleep, and whether the caller may. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hardirq.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/semaphore.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include "ks.h"

/* Whether the caller may sleep; reported where it may not. */
bool ks_sleeps(const char *what, unsigned long ip)
{
	struct ks_site *since = NULL;
	const char *why = NULL;
	int id;

	if (ks_holds_spinlock(&since))
		why = "a spinlock is held";
	else if (hardirq_count())
		why = "in a hardirq";
	else if (in_serving_softirq())
		why = "in a softirq";
	else if (irqs_disabled())
		why = "interrupts are off";
	else if (softirq_count())
		why = "softirqs are off";
	else if (rcu_preempt_depth())
		why = "between rcu_read_lock() and rcu_read_unlock()";
	else if (IS_ENABLED(CONFIG_PREEMPT_COUNT) && preempt_count())
		why = "preemption is off";
	if (!why || oops_in_progress)
		return true;
	id = ks_begin("sleeping-while-atomic", ip, 0);
	if (!id)
		return false;
	ks_frames(id, ip);
	ks_line(id, "text %s may sleep, and %s", what, why);
	if (since)
		ks_site_line(id, "held", since);
	ks_end(id);
	return false;
}

void ks_faults(const char *what, unsigned long ip)
{
	if (!pagefault_disabled())
		ks_sleeps(what, ip);
}

#define KS_SLEEPER(type, name, parameters, arguments)  \
	type ks_##name parameters;                     \
	EXPORT_SYMBOL(ks_##name);                      \
	noinline type ks_##name parameters             \
	{                                              \
		ks_sleeps(#name, KS_CALLER);           \
		return name arguments;                 \
	}

#define VOID(name, parameters, arguments)          \
	void ks_##name parameters;                 \
	EXPORT_SYMBOL(ks_##name);                  \
	noinline void ks_##name parameters         \
	{                                          \
		ks_sleeps(#name, KS_CALLER);       \
		name arguments;                    \
	}

/*
 * A pause where none may be is made by spinning: the kernel would mend its counters in its own way, and all
 * that comes after would look wrong.
 */
#define SPIN_MS 1

KS_HOOK(void, msleep, unsigned int ms)
{
	if (ks_sleeps("msleep", KS_CALLER))
		msleep(ms);
	else
		mdelay(SPIN_MS);
}

KS_HOOK(unsigned long, msleep_interruptible, unsigned int ms)
{
	if (ks_sleeps("msleep_interruptible", KS_CALLER))
		return msleep_interruptible(ms);
	mdelay(SPIN_MS);
	return 0;
}

#ifdef HAVE_usleep_range
KS_HOOK(void, usleep_range, unsigned long min, unsigned long max)
{
	if (ks_sleeps("usleep_range", KS_CALLER))
		usleep_range(min, max);
	else
		mdelay(SPIN_MS);
}
#endif
#ifdef HAVE_usleep_range_state
KS_HOOK(void, usleep_range_state, unsigned long min, unsigned long max, unsigned int state)
{
	if (ks_sleeps("usleep_range", KS_CALLER))
		usleep_range_state(min, max, state);
	else
		mdelay(SPIN_MS);
}
#endif
VOID(schedule, (void), ())
KS_SLEEPER(long, schedule_timeout, (long timeout), (timeout))
KS_SLEEPER(long, schedule_timeout_interruptible, (long timeout), (timeout))
KS_SLEEPER(long, schedule_timeout_killable, (long timeout), (timeout))
KS_SLEEPER(long, schedule_timeout_uninterruptible, (long timeout), (timeout))
VOID(wait_for_completion, (struct completion *x), (x))
KS_SLEEPER(int, wait_for_completion_interruptible, (struct completion *x), (x))
KS_SLEEPER(int, wait_for_completion_killable, (struct completion *x), (x))
KS_SLEEPER(unsigned long, wait_for_completion_timeout, (struct completion *x, unsigned long t), (x, t))
KS_SLEEPER(long, wait_for_completion_interruptible_timeout, (struct completion *x, unsigned long t), (x, t))
VOID(synchronize_rcu, (void), ())
VOID(down, (struct semaphore *s), (s))
KS_SLEEPER(int, down_interruptible, (struct semaphore *s), (s))
KS_SLEEPER(int, down_killable, (struct semaphore *s), (s))
KS_SLEEPER(int, down_timeout, (struct semaphore *s, long t), (s, t))
KS_SLEEPER(bool, flush_work, (struct work_struct *w), (w))
KS_SLEEPER(bool, cancel_work_sync, (struct work_struct *w), (w))
KS_SLEEPER(bool, flush_delayed_work, (struct delayed_work *w), (w))
KS_SLEEPER(bool, cancel_delayed_work_sync, (struct delayed_work *w), (w))
KS_SLEEPER(int, kthread_stop, (struct task_struct *t), (t))
