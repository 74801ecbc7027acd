/* SPDX-License-Identifier: MIT */

#define RESTORED_UNARMED
/* 64-bit PowerPC, ELFv2: the system calls' numbers and instructions. What a header gives is listed in
 * ../agent.c. */

enum {
	SYS_exit = 1, SYS_read = 3, SYS_write = 4, SYS_close = 6, SYS_execve = 11, SYS_lseek = 19,
	SYS_getpid = 20, SYS_mount = 21, SYS_kill = 37, SYS_ioctl = 54, SYS_setsid = 66, SYS_reboot = 88,
	SYS_wait4 = 114, SYS_clone = 120, SYS_delete_module = 129,
	SYS_clock_settime = 245, SYS_clock_gettime = 246, SYS_clock_nanosleep = 248, SYS_ppoll = 281,
	SYS_openat = 286, SYS_mkdirat = 287, SYS_dup3 = 316, SYS_pipe2 = 317, SYS_finit_module = 353,
	SYS_memfd_create = 360,
	SYS_chdir = 12, SYS_unlinkat = 292, SYS_linkat = 294, SYS_pidfd_open = 434, SYS_fcntl = 55,
	SYS_getdents64 = 202,
	SYS_setresuid = 164, SYS_setresgid = 169,
};

/* Its ioctl numbers have the direction in three bits, and the window size of its terminals is a newer one. */
#define OWN_IOCTLS
enum {
	RNDADDENTROPY = (int)0x80085203, RNDRESEEDCRNG = 0x20005207, TIOCSCTTY = 0x540e,
	TIOCSWINSZ = (int)0x80087467, TIOCSPTLCK = (int)0x80045431, TIOCGPTN = 0x40045430,
};

#define FORK(flags) sys(SYS_clone, flags, 0)

/* An error is told in the summary overflow bit, and its number is positive. */
static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r0 __asm__("r0") = n;
	register long r3 __asm__("r3") = a;
	register long r4 __asm__("r4") = b;
	register long r5 __asm__("r5") = c;
	register long r6 __asm__("r6") = d;
	register long r7 __asm__("r7") = e;
	register long r8 __asm__("r8") = f;

	__asm__ volatile("sc\n\t"
			 "bns+ 1f\n\t"
			 "neg 3, 3\n"
			 "1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
			 : : "r9", "r10", "r11", "r12", "cr0", "ctr", "memory");
	return r3;
}

/* A called function saves its return address in its caller's frame, whose least size is 32 bytes. */
static long clone_onto(void *top, long flags)
{
	register long r0 __asm__("r0") = SYS_clone;
	register long r3 __asm__("r3") = flags;
	register long r4 __asm__("r4") = (long)top - 64;
	register long r5 __asm__("r5") = 0;
	register long r6 __asm__("r6") = 0;
	register long r7 __asm__("r7") = 0;

	__asm__ volatile("sc\n\t"
			 "bns+ 2f\n\t"
			 "neg 3, 3\n"
			 "2:\tcmpdi 3, 0\n\t"
			 "bne 1f\n\t"
			 "bl child\n\t"
			 "nop\n"
			 "1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
			 : : "r8", "r9", "r10", "r11", "r12", "cr0", "ctr", "lr", "memory");
	return r3;
}

#define NO_COUNTER

/* Its kernel's addresses begin here. */
#define LOWEST_ADDRESS 0xc000000000000000ull

/* Nobody else makes r2, by which data is addressed; the kernel leaves the entry's own address in r12. */
__asm__(".globl _start\n_start:\n\t"
	"addis 2, 12, .TOC.-_start@ha\n\taddi 2, 2, .TOC.-_start@l\n\t"
	"li 0, 0\n\tstdu 0, -32(1)\n\tbl start\n\tnop\n");
