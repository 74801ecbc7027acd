/* SPDX-License-Identifier: MIT */
/* LoongArch: the system calls' instructions. What a header gives is listed in ../agent.c. */

#include "generic.h"

#define SPOILED_BY_A_CALL \
	"$t0", "$t1", "$t2", "$t3", "$t4", "$t5", "$t6", "$t7", "$t8", "memory"

static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("$a7") = n;
	register long a0 __asm__("$a0") = a;
	register long a1 __asm__("$a1") = b;
	register long a2 __asm__("$a2") = c;
	register long a3 __asm__("$a3") = d;
	register long a4 __asm__("$a4") = e;
	register long a5 __asm__("$a5") = f;

	__asm__ volatile("syscall 0" : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : SPOILED_BY_A_CALL);
	return a0;
}

static long clone_onto(void *top, long flags)
{
	register long a7 __asm__("$a7") = SYS_clone;
	register long a0 __asm__("$a0") = flags;
	register void *a1 __asm__("$a1") = top;
	register long a2 __asm__("$a2") = 0;
	register long a3 __asm__("$a3") = 0;
	register long a4 __asm__("$a4") = 0;

	__asm__ volatile("syscall 0\n\t"
			 "bnez $a0, 1f\n\t"
			 "bl child\n"
			 "1:"
			 : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "$ra", SPOILED_BY_A_CALL);
	return a0;
}

#define NO_COUNTER

__asm__(".globl _start\n_start:\n\tmove $fp, $zero\n\tmove $ra, $zero\n\tbl start\n");
