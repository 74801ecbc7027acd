/* SPDX-License-Identifier: MIT */
/* 32-bit Arm (EABI): the system calls' numbers and instructions. What a header gives is listed in ../agent.c.
 * Calls that take a time are those with 64-bit ones (Linux 5.1). */

enum {
	SYS_exit = 1, SYS_read = 3, SYS_write = 4, SYS_close = 6, SYS_execve = 11, SYS_lseek = 19,
	SYS_getpid = 20, SYS_mount = 21, SYS_kill = 37, SYS_ioctl = 54, SYS_setsid = 66, SYS_reboot = 88,
	SYS_wait4 = 114, SYS_clone = 120, SYS_delete_module = 129, SYS_openat = 322,
	SYS_mkdirat = 323, SYS_dup3 = 358, SYS_pipe2 = 359, SYS_finit_module = 379, SYS_memfd_create = 385,
	SYS_clock_gettime = 403, SYS_clock_settime = 404, SYS_clock_nanosleep = 407, SYS_ppoll = 414,
	SYS_chdir = 12, SYS_unlinkat = 328, SYS_linkat = 330, SYS_pidfd_open = 434, SYS_fcntl = 221,
	SYS_getdents64 = 217,
	SYS_setresuid = 208, SYS_setresgid = 210,
};

#define FORK(flags) sys(SYS_clone, flags, 0)

static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r7 __asm__("r7") = n;
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;
	register long r3 __asm__("r3") = d;
	register long r4 __asm__("r4") = e;
	register long r5 __asm__("r5") = f;

	__asm__ volatile("svc #0" : "+r"(r0)
			 : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory", "cc");
	return r0;
}

static long clone_onto(void *top, long flags)
{
	register long r7 __asm__("r7") = SYS_clone;
	register long r0 __asm__("r0") = flags;
	register void *r1 __asm__("r1") = top;
	register long r2 __asm__("r2") = 0;
	register long r3 __asm__("r3") = 0;
	register long r4 __asm__("r4") = 0;

	__asm__ volatile("svc #0\n\t"
			 "cmp r0, #0\n\t"
			 "bne 1f\n\t"
			 "bl child\n"
			 "1:"
			 : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "lr", "memory", "cc");
	return r0;
}

#define NO_COUNTER

/* The compiler calls these two for a division of 64 bits: quotient in r0 and r1, remainder in r2 and r3. */
__attribute__((used)) static unsigned long long
divide(unsigned long long number, unsigned long long by, unsigned long long *rest)
{
	unsigned long long quotient = 0, left = 0;

	for (int bit = 63; bit >= 0; bit--) {
		left = left << 1 | (number >> bit & 1);
		if (left >= by) {
			left -= by;
			quotient |= 1ull << bit;
		}
	}
	*rest = left;
	return quotient;
}

__attribute__((used)) static long long
divide_signed(long long number, long long by, long long *rest)
{
	unsigned long long left, n = number, d = by, quotient;

	quotient = divide(number < 0 ? -n : n, by < 0 ? -d : d, &left);
	*rest = number < 0 ? -left : left;
	return (number < 0) == (by < 0) ? quotient : -quotient;
}

__asm__(".pushsection .text, \"ax\"\n\t.arm\n\t.balign 4\n"
	".globl __aeabi_uldivmod\n.type __aeabi_uldivmod, %function\n__aeabi_uldivmod:\n\t"
	"push {r4, lr}\n\tsub sp, sp, #16\n\tadd r4, sp, #8\n\tstr r4, [sp]\n\tbl divide\n\t"
	"ldrd r2, r3, [sp, #8]\n\tadd sp, sp, #16\n\tpop {r4, pc}\n"
	".globl __aeabi_ldivmod\n.type __aeabi_ldivmod, %function\n__aeabi_ldivmod:\n\t"
	"push {r4, lr}\n\tsub sp, sp, #16\n\tadd r4, sp, #8\n\tstr r4, [sp]\n\tbl divide_signed\n\t"
	"ldrd r2, r3, [sp, #8]\n\tadd sp, sp, #16\n\tpop {r4, pc}\n"
	".globl _start\n.type _start, %function\n_start:\n\t"
	"mov fp, #0\n\tmov lr, #0\n\tbl start\n"
#ifdef __thumb__
	"\t.thumb\n"
#endif
	".popsection\n");
