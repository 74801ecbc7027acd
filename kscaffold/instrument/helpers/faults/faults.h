/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Failing calls: a function of the kernel's that can fail is called by way of an entry here, which lets the call
 * go on or returns what the function's failure looks like.
 */
#ifndef KS_FAULTS_H
#define KS_FAULTS_H

#include <linux/types.h>

/* What an entry knows of its function. */
struct ks_call {
	const char *name;
	long failure;         /* what it returns when it fails */
	int argument;         /* or the number of the argument that it returns then; -1: none */
	int gfp;              /* the number of the argument with the gfp flags; -1: none */
	void (*before)(unsigned long *arguments); /* what a failure has done all the same; NULL: nothing */
};

/*
 * Whether this call fails. `ip`: the address it returns to. `arguments`: as the caller gave them, the first six;
 * `result`: where the entry takes the failure from.
 */
bool ks_fails(const struct ks_call *call, unsigned long ip, unsigned long *arguments, unsigned long *result);

#endif
