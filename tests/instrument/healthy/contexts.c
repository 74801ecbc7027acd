// SPDX-License-Identifier: GPL-2.0
/* Allocations, frees and locks in every context that may have them, at the same time. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#define THREADS 4
#define ROUNDS 300

struct item {
	struct list_head list;
	struct rcu_head rcu;
	char text[40];
};

static LIST_HEAD(items);
static DEFINE_SPINLOCK(items_lock);
static DEFINE_MUTEX(outer);
static DEFINE_MUTEX(inner);
static DECLARE_RWSEM(sem);
static DEFINE_RWLOCK(rw);
static struct timer_list timer;
static struct irq_work irq_work;
static struct work_struct work;
static struct completion done[THREADS];
static atomic_t ticks = ATOMIC_INIT(0);
static bool stopping;

static void add(gfp_t gfp)
{
	struct item *item = kzalloc(sizeof(*item), gfp);
	unsigned long flags;

	if (!item)
		return;
	snprintf(item->text, sizeof(item->text), "item %d", atomic_inc_return(&ticks));
	spin_lock_irqsave(&items_lock, flags);
	list_add_tail_rcu(&item->list, &items);
	spin_unlock_irqrestore(&items_lock, flags);
}

static void freed_later(struct rcu_head *head)
{
	kfree(container_of(head, struct item, rcu));
}

static void take(int how)
{
	struct item *item;
	unsigned long flags;

	spin_lock_irqsave(&items_lock, flags);
	item = list_first_entry_or_null(&items, struct item, list);
	if (item)
		list_del_rcu(&item->list);
	spin_unlock_irqrestore(&items_lock, flags);
	if (!item)
		return;
	if (how & 1)
		call_rcu(&item->rcu, freed_later);
	else
		kfree_rcu(item, rcu);
}

static void tick(struct timer_list *unused)
{
	add(GFP_ATOMIC);
	take(atomic_read(&ticks));
	if (!READ_ONCE(stopping))
		mod_timer(&timer, jiffies + 1);
}

static void interrupted(struct irq_work *unused)
{
	add(GFP_ATOMIC);
	take(0);
}

static void worked(struct work_struct *unused)
{
	down_read(&sem);
	add(GFP_KERNEL);
	up_read(&sem);
	take(1);
}

static int threaded(void *number)
{
	int i;
	size_t sum = 0;
	struct item *item;

	for (i = 0; i < ROUNDS; i++) {
		mutex_lock(&outer);
		mutex_lock(&inner);
		add(GFP_KERNEL);
		mutex_unlock(&inner);
		mutex_unlock(&outer);
		rcu_read_lock();
		list_for_each_entry_rcu(item, &items, list)
			sum += strlen(item->text);
		rcu_read_unlock();
		down_write(&sem);
		take(i);
		up_write(&sem);
		read_lock(&rw);
		read_unlock(&rw);
		write_lock_bh(&rw);
		write_unlock_bh(&rw);
		irq_work_queue(&irq_work);
		schedule_work(&work);
		cond_resched();
	}
	complete(&done[(long)number]);
	return 0;
}

static int __init contexts_init(void)
{
	long i;

	timer_setup(&timer, tick, 0);
	init_irq_work(&irq_work, interrupted);
	INIT_WORK(&work, worked);
	mod_timer(&timer, jiffies + 1);
	for (i = 0; i < THREADS; i++) {
		struct task_struct *task;

		init_completion(&done[i]);
		task = kthread_run(threaded, (void *)i, "contexts/%ld", i);
		if (IS_ERR(task))
			complete(&done[i]);
	}
	return 0;
}

static void __exit contexts_exit(void)
{
	int i;

	for (i = 0; i < THREADS; i++)
		wait_for_completion(&done[i]);
	WRITE_ONCE(stopping, true);
	do
		msleep(20);
	while (timer_pending(&timer));
	irq_work_sync(&irq_work);
	flush_work(&work);
	while (!list_empty(&items))
		take(1);
	rcu_barrier();
}

module_init(contexts_init);
module_exit(contexts_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("does everything everywhere");
