/* SPDX-License-Identifier: MIT */
/* 32-bit x86: the system calls' numbers and instructions. What a header gives is listed in ../agent.c.
 * Calls that take a time are those with 64-bit ones (Linux 5.1). */

enum {
	SYS_exit = 1, SYS_read = 3, SYS_write = 4, SYS_close = 6, SYS_execve = 11, SYS_lseek = 19,
	SYS_getpid = 20, SYS_mount = 21, SYS_kill = 37, SYS_ioctl = 54, SYS_setsid = 66, SYS_reboot = 88,
	SYS_wait4 = 114, SYS_clone = 120, SYS_delete_module = 129, SYS_openat = 295,
	SYS_mkdirat = 296, SYS_dup3 = 330, SYS_pipe2 = 331, SYS_finit_module = 350, SYS_memfd_create = 356,
	SYS_clock_gettime = 403, SYS_clock_settime = 404, SYS_clock_nanosleep = 407, SYS_ppoll = 414,
	SYS_chdir = 12, SYS_getdents64 = 220, SYS_unlinkat = 301, SYS_linkat = 303, SYS_pidfd_open = 434, SYS_fcntl = 221,
	SYS_setresuid = 208, SYS_setresgid = 210,
};

#define FORK(flags) sys(SYS_clone, flags, 0)

/* The sixth argument goes in %ebp, which no constraint names: it is put there from the stack. */
static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	long result;

	__asm__ volatile("pushl %[f]\n\t"
			 "pushl %%ebp\n\t"
			 "movl 4(%%esp), %%ebp\n\t"
			 "int $0x80\n\t"
			 "popl %%ebp\n\t"
			 "addl $4, %%esp"
			 : "=a"(result)
			 : "a"(n), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [f] "m"(f)
			 : "memory", "cc");
	return result;
}

static long clone_onto(void *top, long flags)
{
	long pid;

	__asm__ volatile("int $0x80\n\t"
			 "test %%eax, %%eax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call child\n"
			 "1:"
			 : "=a"(pid)
			 : "a"((long)SYS_clone), "b"(flags), "c"(top), "d"(0), "S"(0), "D"(0)
			 : "memory", "cc");
	return pid;
}

static unsigned long long counter(void)
{
	unsigned long long ticks;

	__asm__ volatile("rdtsc" : "=A"(ticks));
	return ticks;
}

/* The compiler calls these for divisions of 64 bits. */
unsigned long long __udivmoddi4(unsigned long long number, unsigned long long by, unsigned long long *rest)
{
	unsigned long long quotient = 0, left = 0;

	for (int bit = 63; bit >= 0; bit--) {
		left = left << 1 | (number >> bit & 1);
		if (left >= by) {
			left -= by;
			quotient |= 1ull << bit;
		}
	}
	if (rest)
		*rest = left;
	return quotient;
}

long long __divmoddi4(long long number, long long by, long long *rest)
{
	unsigned long long left, n = number, d = by, quotient;

	quotient = __udivmoddi4(number < 0 ? -n : n, by < 0 ? -d : d, &left);
	if (rest)
		*rest = number < 0 ? -left : left;
	return (number < 0) == (by < 0) ? quotient : -quotient;
}

unsigned long long __udivdi3(unsigned long long number, unsigned long long by)
{
	return __udivmoddi4(number, by, 0);
}

long long __divdi3(long long number, long long by)
{
	return __divmoddi4(number, by, 0);
}

long long __moddi3(long long number, long long by)
{
	long long rest;

	__divmoddi4(number, by, &rest);
	return rest;
}

/* The kernel gives a new program a 16-byte aligned stack, as a caller has it. */
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tcall start\n");
