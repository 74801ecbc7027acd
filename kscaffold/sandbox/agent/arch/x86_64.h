/* SPDX-License-Identifier: MIT */
/* x86-64: the system calls' numbers and instructions. What a header gives is listed in ../agent.c. */

enum {
	SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_lseek = 8, SYS_ioctl = 16, SYS_getpid = 39,
	SYS_clone = 56, SYS_execve = 59, SYS_exit = 60, SYS_wait4 = 61, SYS_kill = 62,
	SYS_setsid = 112, SYS_mount = 165, SYS_reboot = 169, SYS_delete_module = 176,
	SYS_clock_settime = 227, SYS_clock_gettime = 228, SYS_clock_nanosleep = 230, SYS_openat = 257,
	SYS_mkdirat = 258, SYS_ppoll = 271, SYS_dup3 = 292, SYS_pipe2 = 293, SYS_finit_module = 313,
	SYS_memfd_create = 319,
	SYS_chdir = 80, SYS_unlinkat = 263, SYS_linkat = 265, SYS_pidfd_open = 434, SYS_fcntl = 72,
	SYS_getdents64 = 217,
	SYS_setresuid = 117, SYS_setresgid = 119,
};

#define FORK(flags) sys(SYS_clone, flags, 0)

static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static long clone_onto(void *top, long flags)
{
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	long pid;

	__asm__ volatile("syscall\n\t"
			 "test %%eax, %%eax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call child\n"
			 "1:"
			 : "=a"(pid)
			 : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(0), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return pid;
}

#define OWN_COPIES
void *memcpy(void *to, const void *from, unsigned long n)
{
	void *result = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return result;
}

void *memset(void *to, int byte, unsigned long n)
{
	void *result = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
	return result;
}

static unsigned long long counter(void)
{
	unsigned low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (unsigned long long)high << 32 | low;
}

/* The kernel gives a new program a 16-byte aligned stack; a called function expects it 8 bytes off. */
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tcall start\n");
