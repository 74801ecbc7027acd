/* SPDX-License-Identifier: MIT */
/* LoongArch: the system calls' numbers and instructions. What a header gives is listed in ../agent.c. */

enum {
	SYS_dup3 = 24, SYS_ioctl = 29, SYS_mkdirat = 34, SYS_mount = 40, SYS_openat = 56, SYS_close = 57,
	SYS_pipe2 = 59, SYS_lseek = 62, SYS_read = 63, SYS_write = 64, SYS_ppoll = 73, SYS_exit = 93,
	SYS_delete_module = 106, SYS_clock_settime = 112, SYS_clock_gettime = 113,
	SYS_clock_nanosleep = 115, SYS_kill = 129, SYS_reboot = 142, SYS_setsid = 157, SYS_uname = 160,
	SYS_getpid = 172, SYS_clone = 220, SYS_execve = 221, SYS_wait4 = 260, SYS_finit_module = 273,
	SYS_memfd_create = 279,
	SYS_chdir = 49, SYS_unlinkat = 35, SYS_linkat = 37, SYS_pidfd_open = 434, SYS_fcntl = 25,
	SYS_getdents64 = 61,
	SYS_setresuid = 147, SYS_setresgid = 149,
};

#define FORK(flags) sys(SYS_clone, flags, 0)

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
