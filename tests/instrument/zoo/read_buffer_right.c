// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kzalloc(20, GFP_KERNEL);
	loff_t at = 4;

	if (!p)
		return -ENOMEM;
	/* Nobody can be given anything at this address: what counts is what would be read. */
	sink = simple_read_from_buffer((char __user *)8, 64, &at, p, 32 + zero); /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
