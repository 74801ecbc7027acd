// SPDX-License-Identifier: MIT
/*
 * Makes the system calls it is told to, for tests that use a device in a guest; ../guesttool.py writes
 * its arguments. Each argument is one call: "NUMBER,ARGUMENT,...", where an argument is
 *
 *   123     a number (also negative)
 *   =2      what the third call returned
 *   xHEX    the address of these bytes
 *   bHEX    the same; they are printed after the call
 *
 * "?2:" before a call: only where the third call returned 0, "!2:" only where it did not (after fork).
 * Each call prints a line: its index, what it returned, then each "b". Built like the guest's agent.
 */

typedef unsigned char u8;
typedef long s64;

enum { SYS_write = 1, SYS_exit = 60, MOST = 200, ROOM = 1 << 20 };

static s64 results[MOST];
static u8 room[ROOM];
static char line[ROOM];
static s64 used, length;

static s64 call(s64 n, s64 *a)
{
	register s64 r10 __asm__("r10") = a[3];
	register s64 r8 __asm__("r8") = a[4];
	register s64 r9 __asm__("r9") = a[5];
	s64 result;

	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(n), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static void put_number(s64 n)
{
	char digits[24];
	s64 count = 0;

	if (n < 0) {
		line[length++] = '-';
		n = -n;
	}
	do
		digits[count++] = '0' + n % 10;
	while (n /= 10);
	while (count)
		line[length++] = digits[--count];
}

static s64 number(const char **at)
{
	s64 n = 0, sign = 1;

	if (**at == '-') {
		sign = -1;
		++*at;
	}
	while (**at >= '0' && **at <= '9')
		n = n * 10 + *(*at)++ - '0';
	return n * sign;
}

static int digit(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static u8 *bytes(const char **at)
{
	u8 *start = room + used;

	while (**at && **at != ',') {
		room[used++] = digit((*at)[0]) << 4 | digit((*at)[1]);
		*at += 2;
	}
	used = (used + 15) & ~15L;
	return start;
}

static void perform(s64 index, const char *at)
{
	s64 arguments[6] = { 0 }, sizes[6] = { 0 }, n, count = 0, before = used;

	if (*at == '?' || *at == '!') {
		int zero = *at++ == '?';

		if ((results[number(&at)] == 0) != zero)
			return;
		at++;
	}
	n = number(&at);
	while (*at++ == ',' && count < 6) {
		if (*at == '=') {
			at++;
			arguments[count++] = results[number(&at)];
		} else if (*at == 'x' || *at == 'b') {
			const char *from = at + 1;
			int shown = *at == 'b';

			at++;
			arguments[count] = (s64)bytes(&at);
			if (shown)
				sizes[count] = (at - from) / 2;
			count++;
		} else {
			arguments[count++] = number(&at);
		}
	}
	results[index] = call(n, arguments);

	length = 0;
	put_number(index);
	line[length++] = ' ';
	put_number(results[index]);
	for (count = 0; count < 6; count++) {
		if (!sizes[count])
			continue;
		line[length++] = ' ';
		for (n = 0; n < sizes[count]; n++) {
			u8 byte = ((u8 *)arguments[count])[n];

			line[length++] = "0123456789abcdef"[byte >> 4];
			line[length++] = "0123456789abcdef"[byte & 15];
		}
	}
	line[length++] = '\n';
	call(SYS_write, (s64[6]){ 1, (s64)line, length });
	used = before;
}

__attribute__((used)) static void go(s64 *stack)
{
	char **argv = (char **)(stack + 1);

	for (s64 i = 1; i < stack[0] && i <= MOST; i++)
		perform(i - 1, argv[i]);
	call(SYS_exit, (s64[6]){ 0 });
}

__attribute__((naked)) void _start(void)
{
	__asm__ volatile("mov %rsp, %rdi\n\tand $-16, %rsp\n\tcall go");
}

/* The compiler may call this for a clear of its own. */
void *memset(void *to, int byte, unsigned long n)
{
	void *result = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
	return result;
}
