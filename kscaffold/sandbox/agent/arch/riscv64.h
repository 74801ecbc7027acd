/* SPDX-License-Identifier: MIT */
/* 64-bit RISC-V: the system calls' instructions. What a header gives is listed in ../agent.c. */

#define RESTORED_UNARMED

#include "generic.h"

static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("a7") = n;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;

	__asm__ volatile("ecall" : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
	return a0;
}

static long clone_onto(void *top, long flags)
{
	register long a7 __asm__("a7") = SYS_clone;
	register long a0 __asm__("a0") = flags;
	register void *a1 __asm__("a1") = top;
	register long a2 __asm__("a2") = 0;
	register long a3 __asm__("a3") = 0;
	register long a4 __asm__("a4") = 0;

	__asm__ volatile("ecall\n\t"
			 "bnez a0, 1f\n\t"
			 "call child\n"
			 "1:"
			 : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "ra", "memory");
	return a0;
}

#define NO_COUNTER

/* Its kernel's addresses begin here. */
#define LOWEST_ADDRESS 0xff60000000000000ull

/* The linker shortens addresses to distances from gp, which nobody else sets. */
__asm__(".globl _start\n_start:\n\t"
	".option push\n\t.option norelax\n\tla gp, __global_pointer$\n\t.option pop\n\t"
	"li ra, 0\n\tcall start\n");
