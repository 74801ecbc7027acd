// SPDX-License-Identifier: GPL-2.0
/* An entry for each function that can fail and that this kernel exports: calls.h is written by kscaffold. */
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include "entry.h"
#include "faults.h"

/* These take the object into use before they can fail, and whoever called them is to put it. */
static void __maybe_unused begin_device(unsigned long *arguments)
{
	device_initialize((struct device *)arguments[0]);
}

static void __maybe_unused begin_platform_device(unsigned long *arguments)
{
	device_initialize(&((struct platform_device *)arguments[0])->dev);
}

static void __maybe_unused begin_kobject(unsigned long *arguments)
{
	kobject_init((struct kobject *)arguments[0], (void *)arguments[1]);
}

#define KS_CALL(function, returned, number, flags, begin)                   \
	extern const struct ks_call ks_call_##function;                     \
	const struct ks_call ks_call_##function = {                         \
		.name = #function,                                          \
		.failure = (returned),                                      \
		.argument = (number),                                       \
		.gfp = (flags),                                             \
		.before = (begin),                                          \
	};                                                                  \
	extern void kf_##function(void);                                    \
	EXPORT_SYMBOL(kf_##function);                                       \
	KS_ENTRY(function)

#include "calls.h"
