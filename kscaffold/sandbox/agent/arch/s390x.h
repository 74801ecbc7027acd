/* SPDX-License-Identifier: MIT */
/* IBM Z: the system calls' numbers and instructions. What a header gives is listed in ../agent.c. */

enum {
	SYS_exit = 1, SYS_read = 3, SYS_write = 4, SYS_close = 6, SYS_execve = 11, SYS_lseek = 19,
	SYS_getpid = 20, SYS_mount = 21, SYS_kill = 37, SYS_ioctl = 54, SYS_setsid = 66, SYS_reboot = 88,
	SYS_wait4 = 114, SYS_clone = 120, SYS_delete_module = 129,
	SYS_clock_settime = 259, SYS_clock_gettime = 260, SYS_clock_nanosleep = 262, SYS_openat = 288,
	SYS_mkdirat = 289, SYS_ppoll = 302, SYS_pipe2 = 325, SYS_dup3 = 326, SYS_finit_module = 344,
	SYS_memfd_create = 350,
	SYS_chdir = 12, SYS_unlinkat = 294, SYS_linkat = 296, SYS_pidfd_open = 434, SYS_fcntl = 55,
	SYS_getdents64 = 220,
	SYS_setresuid = 208, SYS_setresgid = 210,
};

/* The stack comes first here (CONFIG_CLONE_BACKWARDS2). */
#define FORK(flags) sys(SYS_clone, 0, flags)

static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r1 __asm__("1") = n;
	register long r2 __asm__("2") = a;
	register long r3 __asm__("3") = b;
	register long r4 __asm__("4") = c;
	register long r5 __asm__("5") = d;
	register long r6 __asm__("6") = e;
	register long r7 __asm__("7") = f;

	__asm__ volatile("svc 0" : "+d"(r2)
			 : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6), "d"(r7) : "memory", "cc");
	return r2;
}

/* A called function saves registers in the 160 bytes above its caller's stack pointer. */
static long clone_onto(void *top, long flags)
{
	register long r1 __asm__("1") = SYS_clone;
	register long r2 __asm__("2") = (long)top - 160;
	register long r3 __asm__("3") = flags;
	register long r4 __asm__("4") = 0;
	register long r5 __asm__("5") = 0;
	register long r6 __asm__("6") = 0;

	__asm__ volatile("svc 0\n\t"
			 "ltgr %%r2, %%r2\n\t"
			 "jnz 1f\n\t"
			 "brasl %%r14, child\n"
			 "1:"
			 : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6) : "14", "memory", "cc");
	return r2;
}

#define NO_COUNTER
/* Its kernel lives at low addresses. */
#define LOWEST_ADDRESS (1ul << 20)

__asm__(".globl _start\n_start:\n\taghi %r15, -160\n\txc 0(8,%r15), 0(%r15)\n\tbrasl %r14, start\n");
