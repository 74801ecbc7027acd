// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_MUTEX(a);
static DECLARE_COMPLETION(done);

static int other(void *unused)
{
	mutex_unlock(&a); /* BUG unlock-by-another */
	complete(&done);
	return 0;
}

static int __init bug_init(void)
{
	struct task_struct *task;

	mutex_lock(&a);
	task = kthread_run(other, NULL, "bug");
	if (IS_ERR(task))
		return PTR_ERR(task);
	wait_for_completion(&done);
	return 0;
}

static void __exit bug_exit(void)
{
}
