/* SPDX-License-Identifier: MIT */
/* The system calls' numbers of every machine that came to Linux since 2.6.39: asm-generic/unistd.h has them. */

enum {
	SYS_dup3 = 24, SYS_fcntl = 25, SYS_ioctl = 29, SYS_mkdirat = 34, SYS_unlinkat = 35,
	SYS_linkat = 37, SYS_mount = 40, SYS_chdir = 49, SYS_openat = 56, SYS_close = 57,
	SYS_pipe2 = 59, SYS_getdents64 = 61, SYS_lseek = 62, SYS_read = 63, SYS_write = 64,
	SYS_ppoll = 73, SYS_exit = 93, SYS_delete_module = 106, SYS_clock_settime = 112,
	SYS_clock_gettime = 113, SYS_clock_nanosleep = 115, SYS_kill = 129, SYS_reboot = 142,
	SYS_setresuid = 147, SYS_setresgid = 149, SYS_setsid = 157, SYS_getpid = 172, SYS_clone = 220,
	SYS_execve = 221, SYS_wait4 = 260, SYS_finit_module = 273, SYS_memfd_create = 279,
	SYS_pidfd_open = 434,
};

#define FORK(flags) sys(SYS_clone, flags, 0)
