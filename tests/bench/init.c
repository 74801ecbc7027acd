/* SPDX-License-Identifier: MIT */
/*
 * PID 1 of the plain cold boots: load a module, unload it, print what the kernel logged, end the machine.
 * No library and no headers, like the sandbox's own agent: gcc -static -nostdlib -ffreestanding.
 */

enum { READ, WRITE, OPEN, LSEEK = 8, MOUNT = 165, REBOOT = 169, DELETE_MODULE = 176, FINIT_MODULE = 313 };
enum { O_RDONLY, O_NONBLOCK = 04000, SEEK_END = 2 };

static long call(long number, long a, long b, long c, long d, long e)
{
	register long r10 asm("r10") = d, r8 asm("r8") = e;
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
		     : "rcx", "r11", "memory");
	return result;
}

static void say(const char *text)
{
	long length = 0;

	while (text[length])
		length++;
	call(WRITE, 1, (long)text, length, 0, 0);
}

void _start(void)
{
	static char record[8192];
	long log, module, length, loaded, unloaded;

	call(MOUNT, (long)"dev", (long)"/dev", (long)"devtmpfs", 0, 0);
	log = call(OPEN, (long)"/dev/kmsg", O_RDONLY | O_NONBLOCK, 0, 0, 0);
	call(LSEEK, log, 0, SEEK_END, 0, 0);
	module = call(OPEN, (long)"/drivers/00.ko", O_RDONLY, 0, 0, 0);
	loaded = call(FINIT_MODULE, module, (long)"", 0, 0, 0);
	unloaded = call(DELETE_MODULE, (long)"hello", O_NONBLOCK, 0, 0, 0);
	while ((length = call(READ, log, (long)record, sizeof(record), 0, 0)) > 0)
		call(WRITE, 1, (long)record, length, 0, 0);
	say(loaded ? "bench: not loaded\n" : unloaded ? "bench: not unloaded\n" : "bench: done\n");
	/* LINUX_REBOOT_CMD_RESTART: QEMU ends, it was started with -no-reboot. */
	call(REBOOT, 0xfee1deadL, 672274793, 0x01234567, 0, 0);
	for (;;)
		;
}
