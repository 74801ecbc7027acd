// SPDX-License-Identifier: MIT
/*
 * The guest's only program, PID 1. It answers requests that come over a virtio-serial port, in the
 * frames that ../channel.py describes.
 *
 * PID 1 never runs anything that a module can crash or hang: finit_module, delete_module and programs
 * run in a forked child, so that after an oops or an endless init there is still somebody to ask.
 *
 * Built without a C library and without its headers: whoever can build a module can build this.
 *
 * What differs between machines is in one header each, in arch/; guest_root.py puts the right one before this
 * file. It is written in C's own types, and gives:
 *
 *   SYS_...            an enum of the numbers of all system calls that are made here
 *   syscall6()         makes one with up to six arguments; an error is a negative errno
 *   FORK(flags)        a clone on a copied stack, as fork does
 *   clone_onto()       a clone on the stack that ends at `top` (a multiple of 16): the parent gets the child's
 *                      number, the child calls child(), which does not return
 *   counter()          ticks of the processor's counter, or NO_COUNTER: Linux finds its rate by itself there
 *   _start             calls start() with the stack as the machine's calling convention has it
 *   OWN_COPIES         with memcpy() and memset(), where an instruction does them
 *   RESTORED_UNARMED   where QEMU (7.2) restores a guest whose timers are not armed
 *   OWN_IOCTLS         with the numbers of ioctls, where they are not asm-generic's
 *   what a compiler calls for lack of an instruction (divisions of 64 bits on 32-bit machines)
 *
 * Calls are the newer ones, which every architecture has: openat for open, ppoll for poll, and so on.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;

/* ---- the kernel's interface, as far as it is used here ---- */

enum {
	O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0100, O_TRUNC = 01000, O_NOCTTY = 0400,
	O_NONBLOCK = 04000, O_CLOEXEC = 02000000,
	EINTR = 4, E2BIG = 7, EAGAIN = 11, ENOMEM = 12, EINVAL = 22, EPIPE = 32, ETIME = 62, EMSGSIZE = 90,
	POLLIN = 1, POLLOUT = 4, POLLHUP = 16, WNOHANG = 1, SIGKILL = 9,
	CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1,
	SEEK_SET = 0, SEEK_END = 2, AT_FDCWD = -100, F_SETFL = 4, F_SETPIPE_SZ = 1031,
	CLONE_VM = 0x100, SIGCHLD = 17, NOBODY = 65534,
};

#ifndef OWN_IOCTLS
enum {
	RNDADDENTROPY = 0x40085203, RNDRESEEDCRNG = 0x5207,
	TIOCSCTTY = 0x540e, TIOCSWINSZ = 0x5414, TIOCSPTLCK = 0x40045431, TIOCGPTN = (int)0x80045430,
};
#endif

struct timespec { s64 seconds, nanoseconds; };
struct pollfd { s32 fd; short events, revents; };
struct winsize { u16 rows, columns, x, y; };

#define sys(n, ...) sys_args(n, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define sys_args(n, a, b, c, d, e, f, ...) \
	syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* The compiler may call these for copies and clears of its own. The barrier keeps it from finding a memcpy() in
 * the loop, and calling that. */
#ifndef OWN_COPIES
void *memcpy(void *to, const void *from, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		((u8 *)to)[i] = ((const u8 *)from)[i];
		__asm__ volatile("" : : : "memory");
	}
	return to;
}

void *memset(void *to, int byte, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		((u8 *)to)[i] = byte;
		__asm__ volatile("" : : : "memory");
	}
	return to;
}
#endif

static u64 length(const char *s)
{
	u64 n = 0;

	while (s[n])
		n++;
	return n;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static s64 now(int clock)	/* ns */
{
	struct timespec t = { 0, 0 };

	sys(SYS_clock_gettime, clock, &t);
	return t.seconds * 1000000000 + t.nanoseconds;
}

static void sleep_ms(s64 ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, 0);
}

static s32 open(const char *path, int flags, int mode)
{
	return sys(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* Wait until one of them has something, for a second at most. */
static s32 poll(struct pollfd *files, u32 count, s64 ms)
{
	struct timespec t = { ms >= 1000, ms >= 1000 ? 0 : ms * 1000000 };

	return sys(SYS_ppoll, files, count, &t, 0, 8);
}

/*
 * As poll(), and the time that is left then. A machine that was stopped, or whose host was, goes on with its clock
 * far ahead: that is no time in which anything could run, so a wait counts as what was asked for and a second more
 * at most.
 */
static s64 poll_counted(struct pollfd *files, u32 count, s64 left_ns)
{
	s64 began = now(CLOCK_MONOTONIC), most = left_ns < 1000000000 ? left_ns : 1000000000, passed;

	poll(files, count, left_ns / 1000000);
	passed = now(CLOCK_MONOTONIC) - began;
	return left_ns - (passed > most + 1000000000 ? most : passed);
}

/*
 * ---- the channel: ../channel.py has the same layout ----
 *
 * Every number in a frame is little-endian, whatever the machine: one that is big-endian turns each where it
 * comes in or goes out. Inside this program all are the machine's own.
 */

static u16 le16(u16 n)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap16(n) : n;
}

static u32 le32(u32 n)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap32(n) : n;
}

static u64 le64(u64 n)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(n) : n;
}


enum { MAGIC = 0x3143534b };	/* "KSC1" */
/* In `argument` of EXEC: the program gets a terminal. */
#define TERMINAL 0x80000000u

enum verb {
	HELLO = 1, LOAD = 2, UNLOAD = 3, LIST = 4, LOG = 5, READ = 6, WRITE = 7, RUN = 8, SHELL = 9,
	INPUT = 10, RESIZE = 11, POWEROFF = 12, PHOTOGRAPH = 13, PEEK = 14, SYMBOLS = 15,
	PROVIDE = 16,
	POINTERS = 17,
	PROLONG = 18,
	STACKS = 19,
	EXEC = 32, SIGNAL = 33, INSTALL = 34,
};
enum kind { ACK = 1, END = 2, OUTPUT = 3, WANT = 6, DUE = 7 };

struct request { u32 magic, verb; u64 nonce; u32 argument, timeout_ms, length, zero; };
struct answer { u32 magic, kind; u64 nonce; s32 status; u32 length; };

/* What a child that called into the kernel brought back; the texts follow in this order. */
struct outcome {
	s32 result;		/* what the system call returned; valid when `returned` */
	s32 returned;		/* 0: the child never came back from it */
	s32 signal;		/* what killed the child, or 0 */
	u32 lost;		/* times the kernel's log overran us */
	u64 start_ns, end_ns;	/* CLOCK_MONOTONIC */
	u32 head_length, cut, tail_length, trace_length, stack_length, running;
};

/* RING: the most records that a log of 4 MiB (log_buf_len) has. After so many, all that was there is read. */
enum { RING = 1 << 17, PART = 1024, HALF = 256 << 10, TEXT = 1 << 20, CHUNK = 64 << 10, MOST_WORDS = 8192,
       PIPE = 1 << 20 };

/* ns that a call may come back late. The host gives up two seconds after its deadline. */
enum { LATE = 1000000000 };
/* ns that the host may take to say whether a deadline is over. */
#define PROLONGS 5000000000ll

static s32 port;
static struct request asked;
static u8 chunk[CHUNK];
static u8 text[TEXT];

static int read_all(s32 fd, void *to, u64 n)
{
	u8 *at = to;

	while (n) {
		s64 got = sys(SYS_read, fd, at, n);

		if (got == -EINTR)
			continue;
		if (got <= 0) {
			/* The host's side is closed, between two owners. Nothing else wakes us. */
			sleep_ms(2);
			continue;
		}
		at += got;
		n -= got;
	}
	return 0;
}

static s64 write_all(s32 fd, const void *from, u64 n)
{
	const u8 *at = from;

	while (n) {
		s64 put = sys(SYS_write, fd, at, n > CHUNK ? CHUNK : n);

		if (put == -EINTR || put == -EAGAIN)
			continue;
		if (put <= 0)
			return put;
		at += put;
		n -= put;
	}
	return 0;
}

static void send(enum kind kind, s32 status, u32 n)
{
	struct answer a = { le32(MAGIC), le32(kind), le64(asked.nonce), le32(status), le32(n) };

	write_all(port, &a, sizeof(a));
}

static void finish(s32 status, const void *data, u32 n)
{
	send(END, status, n);
	write_all(port, data, n);
}

/* The next request's header; its payload follows in the channel. */
static void take_request(void)
{
	read_all(port, &asked, sizeof(asked));
	asked.magic = le32(asked.magic);
	asked.verb = le32(asked.verb);
	asked.nonce = le64(asked.nonce);
	asked.argument = le32(asked.argument);
	asked.timeout_ms = le32(asked.timeout_ms);
	asked.length = le32(asked.length);
}

/* Take the rest of a request that can't be served, so that the next one starts at its header. */
static void skip(u32 n)
{
	while (n) {
		u32 part = n > CHUNK ? CHUNK : n;

		read_all(port, chunk, part);
		n -= part;
	}
}

/* Copy n bytes of the request into a file. The request is taken whole even when the disk is full. */
static s64 receive_into(s32 fd, u32 n)
{
	s64 error = 0;

	while (n) {
		u32 part = n > CHUNK ? CHUNK : n;

		read_all(port, chunk, part);
		if (!error)
			error = write_all(fd, chunk, part);
		n -= part;
	}
	return error;
}

/* Read a file to its end; what does not fit is left out. */
static u32 slurp(const char *path, u8 *to, u32 room)
{
	s32 fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	u32 n = 0;

	if (fd < 0)
		return 0;
	while (n < room) {
		/* For a file of /proc/sys the kernel allocates as much as it is asked for. */
		u32 most = room - n > CHUNK ? CHUNK : room - n;
		s64 got = sys(SYS_read, fd, to + n, most);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			break;
		n += got;
	}
	sys(SYS_close, fd);
	return n;
}

static s64 spit(const char *path, const void *data, u64 n, int flags)
{
	s32 fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
	s64 put;

	if (fd < 0)
		return fd;
	put = sys(SYS_write, fd, data, n);
	sys(SYS_close, fd);
	return put < 0 ? put : 0;
}

/* ---- the kernel's log: the first and the last part are kept, what is between is counted ---- */

static struct {
	u8 head[HALF], tail[HALF];
	u32 head_length, tail_at, tail_length, cut, lost;
} kept;

static void keep(const u8 *record, u32 n)
{
	if (!kept.cut && kept.head_length + n + 1 <= HALF && !kept.tail_length) {
		memcpy(kept.head + kept.head_length, record, n);
		kept.head_length += n;
		kept.head[kept.head_length++] = 0;	/* a record holds no NUL: the kernel escapes it */
		return;
	}
	for (u32 i = 0; i <= n; i++) {
		if (kept.tail_length == HALF)
			kept.cut++;
		else
			kept.tail_length++;
		kept.tail[kept.tail_at] = i < n ? record[i] : 0;
		kept.tail_at = (kept.tail_at + 1) % HALF;
	}
}

static s32 open_log(int whence)
{
	s32 fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);

	if (fd >= 0)
		sys(SYS_lseek, fd, 0, whence);
	kept.head_length = kept.tail_at = kept.tail_length = kept.cut = kept.lost = 0;
	return fd;
}

/*
 * Take what the log holds now, at most `most` records, so that the caller comes back to its other duties.
 * How many times it was read is returned.
 */
static u32 drain_log(s32 fd, u32 most)
{
	static u8 record[8192 + 1];
	u32 times = 0;

	while (times < most) {
		times++;
		s64 got = sys(SYS_read, fd, record, 8192);

		if (got == -EPIPE) {		/* overwritten before we read it; the next read goes on */
			kept.lost++;
			continue;
		}
		if (got == -EINTR)
			continue;
		if (got <= 0)
			break;
		keep(record, got);
	}
	return times;
}

static void send_kept(void)
{
	u32 from = kept.tail_length == HALF ? kept.tail_at : 0;
	u32 first = kept.tail_length == HALF ? HALF - from : kept.tail_length;

	write_all(port, kept.head, kept.head_length);
	write_all(port, kept.tail + from, first);
	write_all(port, kept.tail, kept.tail_length - first);
}

/* ---- tracing: set up once before the snapshot by the lines of /setup, on only while a child works ---- */

static void trace(const char *on)
{
	spit("/sys/kernel/tracing/tracing_on", on, 1, 0);
}

/* Clearing waits for every CPU: done before the second load, so that the only load of most guests is spared. */
static void clear_trace(void)
{
	static int used;
	s32 fd;

	if (used++) {
		fd = open("/sys/kernel/tracing/trace", O_WRONLY | O_TRUNC | O_CLOEXEC, 0);
		sys(SYS_close, fd);
	}
}

/*
 * Take what the log holds when a call has ended. Others may go on writing, and faster than it is read: it ends
 * once round the ring, or after `seconds`; what is left then counts as lost. The host is told that we are at it,
 * with `acknowledged`.
 */
static u32 drain_rest(s32 fd, s64 seconds, int acknowledged)
{
	s64 until = now(CLOCK_MONOTONIC) + seconds * 1000000000;
	u32 times = 0, part;

	while ((part = drain_log(fd, PART)) == PART) {
		times += part;
		if (times >= RING)
			return times;
		if (now(CLOCK_MONOTONIC) >= until) {
			kept.lost++;
			return times;
		}
		if (acknowledged)
			send(ACK, 0, 0);
	}
	return times + part;
}

/* ---- modprobe: the kernel starts this program for each module that it asks for (request_module) ----
 *
 * That process tells PID 1, which asks the host, and loads what the host gives. The two share no more than
 * /proc/PID/fd: PID 1 has the end of a pipe for the names, and the modules, each at a known number, while a
 * request of the host's is served that may call into the kernel. At other times nobody can be asked, and the
 * kernel is told at once that there is no such module.
 */

enum { NAMES = 100, NAMES_END = 101, GIVEN = 110, GIVEN_END = 900, WANTS = 16, EEXIST = 17 };

/* What the asking process writes to NAMES_END: `answer` is its own descriptor that takes a struct given. */
struct want { s32 pid, answer; char name[64]; };
/* The modules are the descriptors `first` and so on of PID 1. */
struct given { s32 found, first, count; };

/* What the host was asked for and has not answered yet, in order. */
static struct { struct want want[WANTS]; s64 since[WANTS]; u32 first, count; s32 slot; } wanted;

/* "/proc/PID/", and then `name`. */
static char *path_of(s32 pid, const char *name, char *path)
{
	char digits[16];
	u64 at = 6, n = 0;

	memcpy(path, "/proc/", 6);
	for (u32 rest = pid; rest; rest /= 10)
		digits[n++] = '0' + rest % 10;
	while (n)
		path[at++] = digits[--n];
	path[at++] = '/';
	memcpy(path + at, name, length(name) + 1);
	return path;
}

/* Open what another process has open as `fd`, below 1000. */
static s32 open_of(s32 pid, s32 fd, int flags)
{
	char name[] = "fd/000", path[64];

	name[3] += fd / 100;
	name[4] += fd / 10 % 10;
	name[5] += fd % 10;
	while (name[3] == '0' && name[4])	/* the kernel takes no leading zero */
		memcpy(name + 3, name + 4, length(name + 3));
	return open(path_of(pid, name, path), flags | O_CLOEXEC, 0);
}

__attribute__((noreturn)) static void leave(int status)
{
	sys(SYS_exit, status);
	for (;;)
		;
}

/* As the kernel starts modprobe: `-q -- NAME`. */
static void modprobe(const char *name)
{
	struct want w = { 0 };
	struct given g = { 0 };
	s32 names = open_of(1, NAMES_END, O_WRONLY), ends[2], error = 0;
	u64 n = length(name);

	if (names < 0 || sys(SYS_pipe2, ends, O_CLOEXEC) < 0)
		leave(1);
	w.pid = sys(SYS_getpid);
	w.answer = ends[1];
	memcpy(w.name, name, n < sizeof(w.name) ? n : sizeof(w.name) - 1);
	sys(SYS_write, names, &w, sizeof(w));
	sys(SYS_close, names);
	for (;;) {
		struct pollfd wait = { ends[0], POLLIN, 0 };

		if (poll(&wait, 1, 1000) > 0)
			break;
		names = open_of(1, NAMES_END, O_WRONLY);	/* whom we asked has gone on to something else */
		if (names < 0)
			leave(1);
		sys(SYS_close, names);
	}
	sys(SYS_read, ends[0], &g, sizeof(g));
	for (s32 i = 0; i < g.count; i++) {
		s32 fd = open_of(1, g.first + i, O_RDONLY);

		error = sys(SYS_finit_module, fd, "", 0);
		sys(SYS_close, fd);
	}
	leave(!g.found || (error && error != -EEXIST));
}

static void hear_modprobe(void)
{
	s32 ends[2];

	wanted.first = wanted.count = 0;
	wanted.slot = GIVEN;
	if (sys(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return;
	sys(SYS_dup3, ends[0], NAMES, O_CLOEXEC);
	sys(SYS_dup3, ends[1], NAMES_END, O_CLOEXEC);
	sys(SYS_close, ends[0]);
	sys(SYS_close, ends[1]);
}

static void ignore_modprobe(void)
{
	sys(SYS_close, NAMES_END);
	sys(SYS_close, NAMES);
	while (wanted.slot > GIVEN)
		sys(SYS_close, --wanted.slot);
}

static void give(const struct want *w, struct given g)
{
	s32 fd = open_of(w->pid, w->answer, O_WRONLY);

	if (fd < 0)
		return;
	sys(SYS_write, fd, &g, sizeof(g));
	sys(SYS_close, fd);
}

/* One name that was asked for: the host is told. */
static void pass_on_want(void)
{
	struct want *w = &wanted.want[(wanted.first + wanted.count) % WANTS], unheard;

	if (wanted.count == WANTS)
		w = &unheard;
	if (sys(SYS_read, NAMES, w, sizeof(*w)) != sizeof(*w))
		return;
	if (w == &unheard)
		return give(w, (struct given){ 0 });
	wanted.since[(wanted.first + wanted.count++) % WANTS] = now(CLOCK_MONOTONIC);
	send(WANT, 0, length(w->name));
	write_all(port, w->name, length(w->name));
}

/*
 * A module of n bytes of the request in a file of its own, open for reading. A file that somebody has open for
 * writing is ETXTBSY to finit_module.
 */
static s32 receive_module(u32 n)
{
	s32 written = sys(SYS_memfd_create, "module", 1 /* close on exec */), readable;
	s64 error = receive_into(written, n);

	readable = open_of(sys(SYS_getpid), written, O_RDONLY);
	sys(SYS_close, written);
	if (!error || readable < 0)
		return readable;
	sys(SYS_close, readable);
	return error;
}

/*
 * PROVIDE: the host's answer to the oldest WANT. `argument`: 0 where there is no such module, else their number
 * and 1; payload: u32 length and content of each. How long it took, in ns, is returned: nobody else's time.
 */
static s64 provide(void)
{
	u32 at = wanted.first, rest = asked.length, n;
	struct given g = { asked.argument != 0, wanted.slot, 0 };

	while (rest >= 4) {
		s32 fd;

		read_all(port, &n, 4);
		rest -= 4;
		n = le32(n);
		if (n > rest)
			break;
		fd = receive_module(n);
		rest -= n;
		if (fd >= 0 && wanted.slot < GIVEN_END) {
			sys(SYS_dup3, fd, wanted.slot++, O_CLOEXEC);
			g.count++;
		} else
			g.found = 0;
		sys(SYS_close, fd);
	}
	skip(rest);
	if (!wanted.count)
		return 0;
	wanted.first = (at + 1) % WANTS;
	wanted.count--;
	give(&wanted.want[at], g);
	return now(CLOCK_MONOTONIC) - wanted.since[at];
}

/*
 * What the host sends during a call: modules, and an answer to DUE. The request that is being served stays as it is.
 * The ns that are left are returned.
 */
static s64 hear_host(s64 left, int *due)
{
	struct request served = asked;

	take_request();
	if (asked.verb == PROVIDE) {
		left += provide();
	} else if (asked.verb == PROLONG && *due == 1) {
		*due = asked.timeout_ms ? 0 : 2;
		left = asked.timeout_ms ? (s64)asked.timeout_ms * 1000000 : LATE;
	} else
		skip(asked.length);
	asked = served;
	return left;
}

/* ---- a child that calls into the kernel for a request ---- */

struct report { s64 result; u64 start_ns, end_ns; };

static u32 child_file(s32 pid, const char *name, u8 *to, u32 room)
{
	char path[64];

	return slurp(path_of(pid, name, path), to, room);
}

/* ---- kernel stacks: where those are that do not come back ---- */

struct entry { u64 inode; s64 next; unsigned short size; u8 type; char name[]; };

static u32 number_of(const char *name)
{
	u32 n = 0;

	while (*name >= '0' && *name <= '9')
		n = n * 10 + *name++ - '0';
	return *name ? 0 : n;
}

/* /proc/PID/task/TASK, and a file in it. */
static char *path_of_task(s32 pid, const char *task, const char *file, char *path)
{
	char name[48] = "task/";
	u64 n = length(task);

	memcpy(name + 5, task, n);
	memcpy(name + 5 + n, file, length(file) + 1);
	return path_of(pid, name, path);
}

/* "PID (NAME) STATE", as `stat` begins, and a line of its own. */
static u32 head_of_task(const char *stat, u8 *to, u32 room)
{
	u32 n = slurp(stat, to, room);

	while (n && to[n - 1] != ')')
		n--;
	if (!n || n + 3 > room)
		return 0;
	to[n + 2] = '\n';
	return n + 3;
}

/*
 * The kernel stacks of a task's threads, and of the processes that it began, each behind a line "PID (NAME) STATE"
 * and before an empty one: who waits in a driver for ever may be the child that its parent waits for.
 */
static u32 stacks_of(s32 pid, u8 *to, u32 room, u32 deepest)
{
	u64 tasks[128];
	u8 children[512];
	char path[80];
	s32 fd = open(path_of(pid, "task", path), O_RDONLY | O_CLOEXEC, 0);
	u32 n = 0;
	s64 got;

	while (fd >= 0 && (got = sys(SYS_getdents64, fd, tasks, sizeof(tasks))) > 0)
		for (s64 at = 0; at < got; at += ((struct entry *)((u8 *)tasks + at))->size) {
			const char *task = ((struct entry *)((u8 *)tasks + at))->name;
			u32 count, child = 0;

			if (task[0] < '1' || task[0] > '9')
				continue;
			n += head_of_task(path_of_task(pid, task, "/stat", path), to + n, room - n);
			n += slurp(path_of_task(pid, task, "/stack", path), to + n, room - n);
			if (n < room)
				to[n++] = '\n';
			count = deepest ? slurp(path_of_task(pid, task, "/children", path), children, 512) : 0;
			for (u32 i = 0; i < count; i++) {
				if (children[i] >= '0')
					child = child * 10 + children[i] - '0';
				else if (child) {
					n += stacks_of(child, to + n, room - n, deepest - 1);
					child = 0;
				}
			}
		}
	if (fd >= 0)
		sys(SYS_close, fd);
	return n;
}

/*
 * The kernel stack of each task that is in a module, as stacks_of() has them, behind a `+`: what does not come back may
 * wait for a worker or a thread of the module's. `busy`: of each other task than this one that runs, or sleeps so that
 * no signal wakes it, wherever it is.
 */
static u32 other_stacks(u8 *to, u32 room, u32 busy)
{
	u64 tasks[128];
	char path[64];
	s32 fd = open("/proc", O_RDONLY | O_CLOEXEC, 0);
	u32 n = 0;
	s64 got;

	while (fd >= 0 && (got = sys(SYS_getdents64, fd, tasks, sizeof(tasks))) > 0)
		for (s64 at = 0; at < got; at += ((struct entry *)((u8 *)tasks + at))->size) {
			u32 pid = number_of(((struct entry *)((u8 *)tasks + at))->name), end = n + 1, stack, in = busy;

			if (!pid || room - n < 2 || (busy && pid == 1))
				continue;
			to[n] = '+';
			end += head_of_task(path_of(pid, "stat", path), to + end, room - end);
			if (busy && (end == n + 1 || (to[end - 2] != 'R' && to[end - 2] != 'D')))
				continue;
			stack = end;
			end += child_file(pid, "stack", to + end, room - end);
			for (u32 i = stack + 1; i < end; i++)	/* "[<0>] function+0x1/0x2 [module]" */
				in |= to[i - 1] == ' ' && to[i] == '[';
			if (!in || end == room)
				continue;
			to[end] = '\n';
			n = end + 1;
		}
	if (fd >= 0)
		sys(SYS_close, fd);
	return n;
}

/* Where a task that does not come back is, and who is in a module besides. */
static u32 stacks_at_deadline(s32 pid, u32 deepest, u8 *to, u32 room)
{
	u32 n = stacks_of(pid, to, room, deepest);

	return n + other_stacks(to + n, room - n, 0);
}

/* ---- a photograph: the names of what a kernel has, to find what a module leaves behind ---- */

/*
 * Directories by their depth, files by 0. What is safe to read whatever a module did comes first: the last
 * ones lead the kernel to structures of the module's own, which may have gone. ../../diagnosis/residue.py
 * compares.
 */
static const char *const seen[] = {
	"1/proc", "2/proc/fs", "2/proc/driver", "2/proc/bus", "1/proc/self/net", "2/sys/class", "3/sys/bus",
	"2/sys/devices/virtual", "1/sys/devices/platform", "1/sys/devices", "1/sys/module", "1/sys/kernel",
	"1/sys/kernel/slab", "1/sys/fs", "1/sys/firmware", "1/sys", "2/sys/kernel/debug", "2/dev",
	"0/proc/devices", "0/proc/meminfo", "0/proc/zoneinfo", "0/proc/vmallocinfo", "2/proc/sys", "0/proc/ioports",
	"0/proc/iomem", "0/proc/interrupts", "0/proc/filesystems", "0/proc/misc", "0/proc/crypto",
	"0/proc/slabinfo",
};

enum { CACHES = 512, SEEN = sizeof(seen) / sizeof(*seen), PHOTO = 512 << 10, DEEPEST = 3, DT_DIR = 4, DT_LNK = 10,
       ALL = 0x7fffffff,
       USUAL = ALL & ~(1 << (SEEN - 1)) };

/* `argument` of PHOTOGRAPH: the parts to take, by bits; with FIRST it is the one to compare with. */
#define FIRST 0x80000000u

struct photo { u32 length, starts[SEEN + 1], latest; u8 text[PHOTO]; };

static struct photo before, after;
static s32 photographer;	/* the task that takes the photograph, which is in /proc as well */

static void add(struct photo *p, const void *what, u32 n)
{
	if (p->length + n > PHOTO)
		n = PHOTO - p->length;
	memcpy(p->text + p->length, what, n);
	p->length += n;
}

/* A task that the first photograph does not have: its name is read. */
static void add_task(struct photo *p, u32 pid)
{
	if (pid > p->latest)
		p->latest = pid;
	if (p != &after || pid <= before.latest || pid == (u32)photographer)
		return;
	add(p, "task ", 5);
	p->length += child_file(pid, "comm", p->text + p->length, PHOTO - p->length);
}

/*
 * SLUB lets small caches share one, called `:flags-size`: the name that a module gave is a link to that, and stays
 * when the cache is destroyed. What tells is how many share it.
 */
static void add_sharers(struct photo *p, char *path, u32 n)
{
	memcpy(path + n, "/aliases", 9);
	add(p, " ", 1);
	p->length += slurp(path, p->text + p->length, PHOTO - p->length);
	path[n] = 0;
}

/* `path`: ends with NUL at n, and has room for a name at each level. */
static void walk(struct photo *p, char *path, u32 n, int depth)
{
	static u8 read[DEEPEST][16 << 10];
	s32 fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	u8 *entries = read[depth - 1];
	int slabs = n == 16 && path[12] == 's' && path[13] == 'l';	/* "/sys/kernel/slab" */
	s64 got;

	while (fd >= 0 && (got = sys(SYS_getdents64, fd, entries, sizeof(read[0]))) > 0) {
		for (s64 at = 0; at < got;) {
			struct entry *e = (void *)(entries + at);
			u32 m = length(e->name), pid = number_of(e->name);

			at += e->size;
			if (e->name[0] == '.' && (m == 1 || (m == 2 && e->name[1] == '.')))
				continue;
			if (pid && n == 5) {	/* "/proc" */
				add_task(p, pid);
				continue;
			}
			path[n] = '/';
			memcpy(path + n + 1, e->name, m + 1);
			add(p, path, n + 1 + m);
			if (slabs && e->name[0] == ':')
				add_sharers(p, path, n + 1 + m);
			add(p, slabs && e->type == DT_LNK ? "@\n" : "\n", slabs && e->type == DT_LNK ? 2 : 1);
			/* Below debugfs's `tracing` is another mount, with ten thousand names. */
			if (depth > 1 && e->type == DT_DIR && !(m == 7 && e->name[0] == 't'))
				walk(p, path, n + 1 + m, depth - 1);
		}
	}
	path[n] = 0;
	if (fd >= 0)
		sys(SYS_close, fd);
}

/*
 * SLUB counts the objects of a slab that a processor works on as used, all of them. Shrinking a cache takes its
 * slabs from the processors, until the next object is taken: then each object counts for itself. So all files are
 * open before the first cache shrinks, and nothing but the list is read afterwards.
 */
static u32 read_slabs(u8 *to, u32 room)
{
	static u8 names[32 << 10];
	static s32 caches[CACHES];
	char path[300] = "/sys/kernel/slab/";
	s32 fd = open(path, O_RDONLY | O_CLOEXEC, 0), list = open(seen[SEEN - 1] + 1, O_RDONLY | O_CLOEXEC, 0);
	u32 count = 0, n = 0;
	s64 got;

	while (fd >= 0 && (got = sys(SYS_getdents64, fd, names, sizeof(names))) > 0) {
		for (s64 at = 0; at < got && count < CACHES;) {
			struct entry *e = (void *)(names + at);
			u32 m = length(e->name);

			at += e->size;
			/* kmalloc-…, skbuff_… */
			if (m < 8 || m > 100 || !((e->name[0] == 'k' && e->name[1] == 'm') ||
						  (e->name[0] == 's' && e->name[1] == 'k')))
				continue;
			memcpy(path + 17, e->name, m);
			memcpy(path + 17 + m, "/shrink", 8);
			caches[count++] = open(path, O_WRONLY | O_CLOEXEC, 0);
		}
	}
	sys(SYS_close, fd);
	for (u32 i = 0; i < count; i++)
		sys(SYS_write, caches[i], "1", 1);
	while (n < room && (got = sys(SYS_read, list, to + n, room - n > CHUNK ? CHUNK : room - n)) > 0)
		n += got;
	for (u32 i = 0; i < count; i++)
		sys(SYS_close, caches[i]);
	sys(SYS_close, list);
	return n;
}

/* The number of sections that were taken is known all along: who takes them may not come back. */
static s64 photograph(struct photo *p, u32 wanted)
{
	char path[1024];

	p->length = p->latest = 0;
	photographer = sys(SYS_getpid);
	for (u32 i = 0; i < SEEN; i++) {
		u32 n = length(seen[i] + 1), depth = seen[i][0] - '0';

		p->starts[i] = p->length;
		p->starts[SEEN] = i;
		if (!(wanted >> i & 1))
			continue;
		memcpy(path, seen[i] + 1, n + 1);
		if (depth)
			walk(p, path, n, depth);
		else if (i == SEEN - 1)
			p->length += read_slabs(p->text + p->length, PHOTO - p->length);
		else
			p->length += slurp(path, p->text + p->length, PHOTO - p->length);
	}
	p->starts[SEEN] = SEEN;
	return 0;
}

/* Part i of a photograph. */
static u8 *part(struct photo *p, u32 i, u32 *n)
{
	u32 end = i + 1 < SEEN ? p->starts[i + 1] : p->length;

	*n = end - p->starts[i];
	return p->text + p->starts[i];
}

/*
 * The parts that differ, as `\1path\n`, the text before, `\2`, the text after. The part that was not come
 * back from ends with `\3` instead.
 */
static u32 differences(u8 *to, u32 room, u32 wanted)
{
	u32 n = 0, taken = after.starts[SEEN];

	for (u32 i = 0; i < SEEN && i <= taken; i++) {
		u32 old_length, new_length = 0, m = length(seen[i] + 1);
		u8 *old = part(&before, i, &old_length), *new = i < taken ? part(&after, i, &new_length) : 0;
		u32 same = old_length == new_length ? 0 : 1;

		for (u32 k = 0; new && !same && k < old_length; k++)
			same = old[k] != new[k];
		if (!(wanted >> i & 1) || (new && !same) || n + m + old_length + new_length + 3 > room)
			continue;
		to[n++] = 1;
		memcpy(to + n, seen[i] + 1, m);
		n += m;
		to[n++] = '\n';
		memcpy(to + n, old, old_length);
		n += old_length;
		to[n++] = new ? 2 : 3;
		memcpy(to + n, new, new_length);
		n += new_length;
	}
	return n;
}

/* ---- pointers: what of the kernel's own memory leads to where a module was ---- */

/*
 * Looked through, by /proc/kcore, are the kernel's variables: lists of notifiers, probes and drivers begin there. (The
 * host reads the timers by PEEK.) Memory that was given out is not: what is free again still holds what it held.
 */
struct segment { u64 offset, virt, phys, size; };

static struct {
	struct segment segments[32];
	u64 low, high;
	u32 count, found;
	s32 core;
} search;

/* WORD: a pointer; HEAD, ENTRY: of the ELF file that /proc/kcore is, and of a segment. */
enum { FOUND = 34, MOST_FOUND = 256, OBJECT = 64, WORD = sizeof(long) };
enum { HEAD = WORD == 8 ? 64 : 52, ENTRY = WORD == 8 ? 56 : 32, COUNT_AT = WORD == 8 ? 56 : 44 };

static u64 word_of(const u8 *at)
{
	unsigned long n;

	memcpy(&n, at, WORD);
	return n;
}

static u64 hexadecimal(const u8 **at)
{
	u64 n = 0;

	for (;; ++*at) {
		u8 c = **at;

		if (c >= '0' && c <= '9')
			n = n << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (c - 'a' + 10);
		else
			return n;
	}
}

/* n bytes at a virtual address; how many could be had. */
static s64 peek_core(u64 virt, void *to, u32 n)
{
	for (u32 i = 0; i < search.count; i++) {
		struct segment *s = search.segments + i;

		if (virt - s->virt >= s->size || s->phys == ~0ull)
			continue;
		sys(SYS_lseek, search.core, s->offset + virt - s->virt, SEEK_SET);
		return sys(SYS_read, search.core, to, n);
	}
	return -EINVAL;
}

/* Where memory of that physical address is for the kernel; 0 where nobody knows. */
static u64 virtual_of(u64 phys)
{
	for (u32 i = 0; i < search.count; i++)
		if (search.segments[i].phys != ~0ull && phys - search.segments[i].phys < search.segments[i].size)
			return search.segments[i].virt + phys - search.segments[i].phys;
	return 0;
}

static void found(u64 at, u64 pointer)
{
	u8 *line = text + FOUND * search.found;

	if (search.found == MOST_FOUND)
		return;
	for (int i = 0; i < 16; i++) {
		line[i] = "0123456789abcdef"[at >> (60 - 4 * i) & 15];
		line[17 + i] = "0123456789abcdef"[pointer >> (60 - 4 * i) & 15];
	}
	line[16] = ' ';
	line[33] = '\n';
	search.found++;
}

static int leads_there(u64 word)
{
	return word - search.low < search.high - search.low;
}

/*
 * Whether two words are where a range begins and ends: the kernel's notes of pages, which nobody follows. Some have
 * its last byte (struct ftrace_mod_map, of the functions of an init that has gone, where the next module is put).
 */
static int is_range(u64 word, u64 beside)
{
	u64 apart;

	beside += (beside & 4095) == 4095;
	apart = word > beside ? word - beside : beside - word;
	return !((word | beside) & 4095) && apart && apart < 256 << 20;
}

/*
 * The lowest address that a pointer of the kernel's has: at the upper end, where a machine's header does not say
 * otherwise. With smaller ones numbers count as pointers.
 */
#ifndef LOWEST_ADDRESS
#define LOWEST_ADDRESS (WORD == 8 ? ~0ull << 48 : 0xc0000000ull)
#endif

static int may_be_address(u64 word)
{
	return word >= LOWEST_ADDRESS;
}

/*
 * The first bytes of the object that a word points to: a hook's function, what a list goes on with. Objects of 64
 * bytes lie at multiples of 64: what is behind is another one, a vmap_area of a module that has gone, for instance.
 */
static void look_behind(u64 at, u64 word)
{
	unsigned long object[OBJECT / WORD];
	u32 size = OBJECT - word % OBJECT, count = size / WORD;

	if (!may_be_address(word) || word % WORD || peek_core(word, object, size) != size)
		return;
	for (u32 i = 0; i < count; i++) {
		u64 before = i ? object[i - 1] : 0, after = i + 1 < count ? object[i + 1] : 0;

		/* a range here: a vmap_area, which goes some time after the module's memory */
		if (leads_there(object[i]) && !is_range(object[i], before) && !is_range(object[i], after))
			found(at, object[i]);
	}
}

/* `deep`: what the variables point to, too. */
static void look_through(u64 from, u64 size, int deep)
{
	u64 before = 0;

	for (u64 at = 0; at < size;) {
		s64 got = peek_core(from + at, chunk, size - at > CHUNK ? CHUNK : size - at);

		if (got < WORD)
			return;
		for (s64 i = 0; i + WORD <= got; i += WORD) {
			u64 word = word_of(chunk + i), after = i + 2 * WORD <= got ? word_of(chunk + i + WORD) : 0;

			if (leads_there(word)) {
				if (!is_range(word, before) && !is_range(word, after))
					found(from + at + i, word);
			} else if (deep) {
				look_behind(from + at + i, word);
			}
			before = word;
		}
		at += got;
	}
}

static int read_segments(void)
{
	static u8 header[HEAD + ENTRY * 64];
	u32 count;

	search.core = open("/proc/kcore", O_RDONLY | O_CLOEXEC, 0);
	if (search.core < 0 || sys(SYS_read, search.core, header, sizeof(header)) < HEAD)
		return 0;
	count = header[COUNT_AT] | header[COUNT_AT + 1];
	for (u32 i = search.count = 0; i < count && i < 64 && search.count < 32; i++) {
		u8 *p = header + HEAD + ENTRY * i;
		u64 phys = word_of(p + 3 * WORD);

		if (p[0] + p[3] == 1)	/* PT_LOAD, in either byte order */
			search.segments[search.count++] = (struct segment){
				word_of(p + WORD), word_of(p + 2 * WORD), phys == ~0ul ? ~0ull : phys, word_of(p + 4 * WORD) };
	}
	return search.count;
}

/* Ranges of /proc/iomem: `  02a00000-02c45dff : Kernel data`. */
static s64 find_pointers(void)
{
	static u8 ranges[16 << 10];
	u32 n = slurp("/proc/iomem", ranges, sizeof(ranges) - 1);
	const u8 *line = ranges;

	search.found = 0;
	if (!read_segments())
		return -EINVAL;
	for (ranges[n] = 0; *line;) {
		u64 first, last, virt;

		while (*line == ' ')
			line++;
		first = hexadecimal(&line);
		line += *line == '-';
		last = hexadecimal(&line);
		/* " : Kernel data", " : Kernel bss" */
		if (line[3] == 'K' && line[4] == 'e' && line[9] == ' ' && (line[10] == 'd' || line[10] == 'b'))
			if ((virt = virtual_of(first)))
				look_through(virt, last + 1 - first, asked.argument);
		while (*line && *line++ != '\n')
			;
	}
	sys(SYS_close, search.core);
	return 0;
}

/* `argument` of LOAD, beside the flags of finit_module(2): the child gives up root first, as NOBODY. */
#define AS_USER 0x80000000u

static s64 load_as_user(s32 ko, const char *name)
{
	s64 error = sys(SYS_setresgid, NOBODY, NOBODY, NOBODY);

	if (!error)	/* with the last of root's numbers go its capabilities */
		error = sys(SYS_setresuid, NOBODY, NOBODY, NOBODY);
	return error ? error : sys(SYS_finit_module, ko, name, asked.argument & ~AS_USER);
}

static s64 call_kernel(u32 verb, s32 ko, const char *name)
{
	if (verb == PHOTOGRAPH)
		return photograph(asked.argument & FIRST ? &before : &after, asked.argument & ALL);
	if (verb == POINTERS)
		return find_pointers();
	if (verb == LOAD && asked.argument & AS_USER)
		return load_as_user(ko, name);
	if (verb == LOAD)
		return sys(SYS_finit_module, ko, name, asked.argument);
	return sys(SYS_delete_module, name, asked.argument);
}

static struct { u32 verb; s32 ko, end; const char *name; } call;

__attribute__((used)) static void child(void)
{
	struct report r;

	r.start_ns = now(CLOCK_MONOTONIC);
	r.result = call_kernel(call.verb, call.ko, call.name);
	r.end_ns = now(CLOCK_MONOTONIC);
	sys(SYS_write, call.end, &r, sizeof(r));
	sys(SYS_exit, 0);
}

/*
 * A child in our own memory, on a stack of its own: a fork's copying of page tables costs 15 ms under
 * TCG, more than unloading a module. The child only makes the one call, so it can't harm us.
 */
static s32 start_child(void)
{
	static u8 stack[16384] __attribute__((aligned(16)));

	return clone_onto(stack + sizeof(stack), CLONE_VM | SIGCHLD);
}

/* A line in the log that tells where this request's records begin, for whoever finds only the console. */
static void mark_log(void)
{
	char line[] = "<6>kscaffold: request 0123456789abcdef\n";

	for (int i = 0; i < 16; i++)
		line[22 + i] = "0123456789abcdef"[asked.nonce >> (60 - 4 * i) & 15];
	spit("/dev/kmsg", line, sizeof(line) - 1, 0);
}

static void send_outcome(struct outcome o)
{
	o.result = le32(o.result);
	o.returned = le32(o.returned);
	o.signal = le32(o.signal);
	o.lost = le32(o.lost);
	o.start_ns = le64(o.start_ns);
	o.end_ns = le64(o.end_ns);
	o.head_length = le32(o.head_length);
	o.cut = le32(o.cut);
	o.tail_length = le32(o.tail_length);
	o.trace_length = le32(o.trace_length);
	o.stack_length = le32(o.stack_length);
	o.running = le32(o.running);
	write_all(port, &o, sizeof(o));
}

/* Call from a child, watch the log meanwhile, and answer with everything that is known at the end. */
static void in_child(u32 verb, s32 ko, const char *name)
{
	struct outcome o = { 0 };
	struct report r = { 0 };
	s32 ends[2], status = 0, log, pid;
	s64 left = (s64)asked.timeout_ms * 1000000;
	u32 got = 0;
	/*
	 * 1: the time is over, and the host has been told. A clock can't know how long this machine had no processor,
	 * and the host can. 2: it gives no more; who is a moment late has come back all the same.
	 */
	int traced = verb == LOAD, due = 0;

	send(ACK, 0, 0);
	sys(SYS_pipe2, ends, O_CLOEXEC);
	mark_log();
	log = open_log(SEEK_END);
	if (traced) {
		clear_trace();
		trace("1");
	}
	hear_modprobe();
	call.verb = verb;
	call.ko = ko;
	call.name = name;
	call.end = ends[1];
	pid = start_child();
	sys(SYS_close, ends[1]);	/* the table of files is not shared: the child has its own */
	o.start_ns = now(CLOCK_MONOTONIC);
	o.running = 1;
	while (o.running) {
		struct pollfd wait[] = {
			{ ends[0], POLLIN, 0 }, { log, POLLIN, 0 }, { NAMES, POLLIN, 0 },
			{ wanted.count || due == 1 ? port : -1, POLLIN, 0 },
		};

		if (left < 1000000) {
			if (due)
				break;
			send(DUE, 0, 0);
			due = 1;
			left = PROLONGS;
			continue;
		}
		left = poll_counted(wait, 4, left);
		if (wait[1].revents)
			drain_log(log, 256);
		if (wait[2].revents & POLLIN)
			pass_on_want();
		if (wait[3].revents)
			left = hear_host(left, &due);
		if (wait[0].revents) {		/* the report, or the end of a child that was killed */
			got = sys(SYS_read, ends[0], &r, sizeof(r)) == sizeof(r);
			sys(SYS_wait4, pid, &status, 0, 0);
			o.running = 0;
		}
	}
	if (traced)
		trace("0");
	ignore_modprobe();
	o.end_ns = now(CLOCK_MONOTONIC);
	if (got) {
		o.result = r.result;
		o.returned = 1;
		o.start_ns = r.start_ns;
		o.end_ns = r.end_ns;
	}
	o.signal = o.running ? 0 : status & 0x7f;
	drain_rest(log, o.running ? 1 : 10, 1);
	if (o.running) {
		o.stack_length = stacks_at_deadline(pid, 0, chunk, CHUNK);
		sys(SYS_kill, pid, SIGKILL);	/* ends a sleep that can be interrupted; harmless otherwise */
	}
	if (traced)
		o.trace_length = slurp("/sys/kernel/tracing/trace", text, TEXT);
	if (verb == PHOTOGRAPH && !(asked.argument & FIRST))
		o.trace_length = differences(text, TEXT, asked.argument);
	if (verb == POINTERS && o.returned && !o.result)
		o.trace_length = FOUND * search.found;
	o.lost = kept.lost;
	o.head_length = kept.head_length;
	o.tail_length = kept.tail_length;
	o.cut = kept.cut;
	send(END, 0, sizeof(o) + o.head_length + o.tail_length + o.trace_length + o.stack_length);
	send_outcome(o);
	send_kept();
	write_all(port, text, o.trace_length);
	write_all(port, chunk, o.stack_length);
	if (log >= 0)
		sys(SYS_close, log);
	sys(SYS_close, ends[0]);
}

/* ---- the verbs ---- */

/*
 * Payload: u64 ns since 1970, 32 bytes of seed. A snapshot froze the clock and the random pool. The answer is
 * /proc/modules as it was before the first load.
 */
static void hello(void)
{
	static u8 modules[8192];
	static u32 n;
	static int photographed;
	struct { u64 realtime_ns; struct { s32 bits, size; u8 seed[32]; } entropy; } p;
	struct timespec t;
	s32 fd;

	if (asked.length != 40) {
		skip(asked.length);
		return finish(-EINVAL, 0, 0);
	}
	read_all(port, &p.realtime_ns, 8);
	p.realtime_ns = le64(p.realtime_ns);
	read_all(port, p.entropy.seed, 32);
	p.entropy.bits = 256;
	p.entropy.size = 32;
	t.seconds = p.realtime_ns / 1000000000;
	t.nanoseconds = p.realtime_ns % 1000000000;
	sys(SYS_clock_settime, CLOCK_REALTIME, &t);
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC, 0);
	sys(SYS_ioctl, fd, RNDADDENTROPY, &p.entropy);
	sys(SYS_ioctl, fd, RNDRESEEDCRNG, 0);
	sys(SYS_close, fd);
	if (!photographed++) {	/* in the snapshot, so that no run waits for it */
		photograph(&before, USUAL);
		n = slurp("/proc/modules", modules, sizeof(modules));
	}
#ifdef RESTORED_UNARMED
	/* A sleep that is shorter than what the kernel waits for already makes it arm its timer again; where that
	 * does not help, no answer comes. */
	t.seconds = 0;
	t.nanoseconds = 1;
	sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, 0);
#endif
	finish(0, modules, n);
}

/* Payload: u32 length of the arguments, the arguments, the .ko. */
static void load(void)
{
	static char arguments[CHUNK];
	u32 n, rest = asked.length;
	s32 readable;

	if (rest < 4) {
		skip(rest);
		return finish(-EINVAL, 0, 0);
	}
	read_all(port, &n, 4);
	n = le32(n);
	rest -= 4;
	if (n >= CHUNK || n > rest) {
		skip(rest);
		return finish(-EMSGSIZE, 0, 0);
	}
	read_all(port, arguments, n);
	arguments[n] = 0;
	readable = receive_module(rest - n);
	if (readable < 0)
		finish(readable, 0, 0);
	else
		in_child(LOAD, readable, arguments);
	sys(SYS_close, readable);
}

/* Take the whole payload as a C string into so many bytes; 0, and an answer, when it does not fit. */
static char *take_string_into(char *s, u32 most, s32 error)
{
	if (asked.length >= most) {
		skip(asked.length);
		finish(error, 0, 0);
		return 0;
	}
	read_all(port, s, asked.length);
	s[asked.length] = 0;
	return s;
}

static char *take_string(void)
{
	static char s[CHUNK];

	return take_string_into(s, CHUNK, -EMSGSIZE);
}

/* Split the payload's NUL-terminated strings in place; the last pointer is 0. */
static char **strings_of(char *s, u32 n, char **list, u32 most)
{
	u32 count = 0;

	for (u32 at = 0; at < n && count < most - 1; at += length(s + at) + 1)
		list[count++] = s + at;
	list[count] = 0;
	return list;
}

static char **arguments_of(char *s, u32 n)
{
	static char *argv[256];

	return strings_of(s, n, argv, 256);
}

static void unload(void)
{
	char *name = take_string();

	if (name)
		in_child(UNLOAD, -1, name);
}

static void compare(void)
{
	skip(asked.length);
	in_child(PHOTOGRAPH, -1, 0);
}

/* Payload: the first address of a range and that behind its last, u64 each; `argument`: look into objects
 * that the variables point to as well, which takes longer. The answer's trace has a line for each
 * pointer into it: where that is, and what it is. */
static void pointers(void)
{
	u64 range[2];

	if (asked.length != sizeof(range)) {
		skip(asked.length);
		return finish(-EINVAL, 0, 0);
	}
	read_all(port, range, sizeof(range));
	search.low = le64(range[0]);
	search.high = le64(range[1]);
	in_child(POINTERS, -1, 0);
}

static void list(void)
{
	skip(asked.length);
	finish(0, text, slurp("/proc/modules", text, TEXT));
}

/*
 * Everything the kernel's log holds; the host knows which records it has seen by their numbers. Status: how
 * many times the log was read.
 */
static void log_records(void)
{
	s32 fd = open_log(SEEK_SET);
	u32 times;

	skip(asked.length);
	times = drain_rest(fd, 3, 0);
	if (fd >= 0)
		sys(SYS_close, fd);
	send(END, times, kept.head_length + kept.tail_length);
	send_kept();
}

static void read_file(void)
{
	char *path = take_string();
	s32 fd;
	u32 n;

	if (!path)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return finish(fd, 0, 0);
	sys(SYS_close, fd);
	n = slurp(path, text, TEXT);
	finish(0, text, n);
}

/* Payload: path, NUL, then for each part of the file a u64 offset and a u64 length. What can't be read is zeros. */
static void peek(void)
{
	char *s = take_string();
	u32 n = 0;
	s32 fd;

	if (!s)
		return;
	fd = open(s, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return finish(fd, 0, 0);
	for (u64 at = length(s) + 1; at + 16 <= asked.length; at += 16) {
		u64 part[2], end;
		s64 got = 1;

		memcpy(part, s + at, sizeof(part));
		end = n + le64(part[1]);
		if (end > TEXT)
			break;
		memset(text + n, 0, end - n);
		/* A 32-bit kernel's lseek(2) takes as much as its memory has. */
		if (sys(SYS_lseek, fd, le64(part[0]), SEEK_SET) < 0)
			n = end;
		while (n < end && (got = sys(SYS_read, fd, text + n, end - n)) > 0)
			n += got;
		n = end;
	}
	sys(SYS_close, fd);
	finish(0, text, n);
}

/*
 * Payload: names, each NUL-terminated. The addresses that /proc/kallsyms has for these symbols of the kernel's own,
 * a u64 each; 0 for what it has not. It has a hundred thousand lines and more: `address type name`, and a tab and
 * [module] behind what is a module's.
 */
static void symbols(void)
{
	static u64 found[64];
	char *s = take_string(), **names, name[64];
	u32 field = 0, n = 0, count = 0, left;
	u64 address = 0;
	s64 got;
	s32 fd;

	if (!s)
		return;
	names = arguments_of(s, asked.length);
	while (names[count] && count < 64)
		found[count++] = 0;
	left = count;
	fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return finish(fd, 0, 0);
	while (left && (got = sys(SYS_read, fd, chunk, CHUNK)) > 0)
		for (s64 i = 0; i < got; i++) {
			u8 c = chunk[i];

			if (c == '\n') {
				name[n] = 0;
				for (u32 k = 0; field == 2 && k < count; k++)
					if (name[0] == names[k][0] && !found[k] && same(name, names[k])) {
						found[k] = le64(address);
						left--;
					}
				field = n = address = 0;
			} else if (c == ' ' || c == '\t')
				field++;
			else if (field == 0)
				address = address << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
			else if (field == 2 && n < sizeof(name) - 1)
				name[n++] = c;
		}
	sys(SYS_close, fd);
	finish(0, found, count * sizeof(*found));
}

/* Payload: path, NUL, contents. `argument` is the mode of a new file. */
static void write_file(void)
{
	char path[4096];
	u32 at = 0, rest = asked.length;
	s32 fd, is_new;
	s64 error;

	do {
		if (!rest || at == sizeof(path)) {
			skip(rest);
			return finish(-EINVAL, 0, 0);
		}
		read_all(port, path + at, 1);
		rest--;
	} while (path[at++]);
	/* A file of /proc, /sys or /dev is written to as it is; O_CREAT there would be refused. */
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
	is_new = fd < 0;
	if (is_new)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, asked.argument);
	else if (asked.argument) {
		sys(SYS_close, fd);
		fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC, 0);
	}
	if (fd < 0) {
		skip(rest);
		return finish(fd, 0, 0);
	}
	error = receive_into(fd, rest);
	sys(SYS_close, fd);
	if (error < 0 && is_new)
		sys(SYS_unlinkat, AT_FDCWD, path, 0);	/* a part of a file would pass for the whole */
	finish(error, 0, 0);
}

static char *environment[] = {
	"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/", "TERM=linux", "PS1=sandbox# ", 0
};

/* Payload: the arguments, each NUL-terminated; the first is the program's path. Status: as wait(2) has it. */
static void run(void)
{
	char *s = take_string(), **argv;
	s32 ends[2], status = 0, pid;
	s64 left = (s64)asked.timeout_ms * 1000000;
	u32 n = 0;

	if (!s)
		return;
	argv = arguments_of(s, asked.length);
	if (!argv[0])
		return finish(-EINVAL, 0, 0);
	sys(SYS_pipe2, ends, O_CLOEXEC);
	send(ACK, 0, 0);
	pid = FORK(SIGCHLD);
	if (pid == 0) {
		s32 nothing = open("/dev/null", O_RDONLY, 0);

		sys(SYS_setsid);
		sys(SYS_dup3, nothing, 0, 0);
		sys(SYS_dup3, ends[1], 1, 0);
		sys(SYS_dup3, ends[1], 2, 0);
		sys(SYS_execve, argv[0], argv, environment);
		sys(SYS_exit, 127);
	}
	sys(SYS_close, ends[1]);
	for (;;) {
		struct pollfd wait = { ends[0], POLLIN, 0 };
		s64 got;

		if (left < 1000000) {
			sys(SYS_kill, -pid, SIGKILL);
			sys(SYS_kill, pid, SIGKILL);
			sys(SYS_close, ends[0]);
			sleep_ms(20);
			sys(SYS_wait4, pid, &status, WNOHANG, 0);
			return finish(-ETIME, text, n);
		}
		left = poll_counted(&wait, 1, left);
		if (!wait.revents)
			continue;
		got = n < TEXT ? sys(SYS_read, ends[0], text + n, TEXT - n)
			       : sys(SYS_read, ends[0], chunk, CHUNK);	/* past the bound: read and drop */
		if (got == -EINTR)
			continue;
		if (got <= 0)
			break;
		if (n < TEXT)
			n += got;
	}
	sys(SYS_close, ends[0]);
	sys(SYS_wait4, pid, &status, 0, 0);
	finish(status, text, n);
}

enum { TERMINAL_NAME = 16 };
static struct winsize window = { 24, 80, 0, 0 };	/* of the host's terminal */

/* The payload of RESIZE, for the terminal that is open (-1: none). */
static void take_window(s32 master)
{
	if (asked.length != sizeof(window))
		return skip(asked.length);
	read_all(port, &window, sizeof(window));
	window.rows = le16(window.rows);
	window.columns = le16(window.columns);
	window.x = le16(window.x);
	window.y = le16(window.y);
	if (master >= 0)
		sys(SYS_ioctl, master, TIOCSWINSZ, &window);
}

/* A new terminal: our end of it, or an errno. `path`: of the program's end. */
static s32 open_terminal(char *path)
{
	s32 master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0), zero = 0, number = 0;
	u64 at = 9;

	if (master < 0)
		return master;
	sys(SYS_ioctl, master, TIOCSPTLCK, &zero);
	sys(SYS_ioctl, master, TIOCGPTN, &number);
	memcpy(path, "/dev/pts/", at);
	if (number >= 10)
		path[at++] = '0' + number / 10 % 10;
	path[at++] = '0' + number % 10;
	path[at] = 0;
	sys(SYS_ioctl, master, TIOCSWINSZ, &window);
	return master;
}

/* In a child that leads a session: make the terminal its own, and its three streams. */
static void take_terminal(const char *path)
{
	s32 fd = open(path, O_RDWR, 0);

	sys(SYS_ioctl, fd, TIOCSCTTY, 0);
	for (s32 i = 0; i < 3; i++)
		sys(SYS_dup3, fd, i, 0);
}

/* An interactive program on a terminal of its own. Payload: as RUN. Afterwards INPUT and RESIZE come in. */
static void shell(void)
{
	char *s = take_string(), **argv, path[TERMINAL_NAME];
	s32 master, pid, status = 0;
	u64 shell_nonce = asked.nonce;

	if (!s)
		return;
	argv = arguments_of(s, asked.length);
	master = open_terminal(path);
	if (master < 0 || !argv[0])
		return finish(master < 0 ? master : -EINVAL, 0, 0);
	send(ACK, 0, 0);
	pid = FORK(SIGCHLD);
	if (pid == 0) {
		sys(SYS_setsid);
		take_terminal(path);
		sys(SYS_execve, argv[0], argv, environment);
		sys(SYS_exit, 127);
	}
	for (;;) {
		struct pollfd wait[2] = { { master, POLLIN, 0 }, { port, POLLIN, 0 } };

		poll(wait, 2, 1000);
		if (wait[0].revents) {
			s64 got = sys(SYS_read, master, chunk, CHUNK);

			if (got <= 0 && got != -EINTR)
				break;		/* EIO: the last process on the terminal has gone */
			if (got > 0) {
				send(OUTPUT, 0, got);
				write_all(port, chunk, got);
			}
		}
		if (wait[1].revents & POLLIN) {
			take_request();
			asked.nonce = shell_nonce;	/* all that is answered here is the shell's */
			if (asked.verb == RESIZE) {
				take_window(master);
			} else if (asked.verb == INPUT) {
				receive_into(master, asked.length);
			} else {
				skip(asked.length);
				if (asked.verb == POWEROFF)
					break;
			}
		}
	}
	sys(SYS_close, master);
	sys(SYS_kill, -pid, SIGKILL);
	sys(SYS_wait4, pid, &status, 0, 0);
	finish(status, 0, 0);
}

/* ---- a program of the user's: three streams, a directory, an environment, a deadline ---- */

/* The directories above a path, made where they are not there. */
static void make_parents(char *path)
{
	for (u32 at = 1; path[at]; at++)
		if (path[at] == '/') {
			path[at] = 0;
			sys(SYS_mkdirat, AT_FDCWD, path, 0755);
			path[at] = '/';
		}
}

static s64 copy(const char *from, const char *to, int mode)
{
	s32 in = open(from, O_RDONLY | O_CLOEXEC, 0), out;
	s64 got, error = 0;

	if (in < 0)
		return in;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	while (out >= 0 && error >= 0 && (got = sys(SYS_read, in, chunk, CHUNK)) > 0)
		error = write_all(out, chunk, got);
	sys(SYS_close, in);
	if (out < 0)
		return out;
	sys(SYS_close, out);
	if (error < 0)
		sys(SYS_unlinkat, AT_FDCWD, to, 0);
	return error < 0 ? error : 0;
}

/*
 * Put a file that was written before, under the name of its contents, to another place too. Payload: path NUL
 * place NUL. `argument` is the mode of a copy; 0 makes a second name of the same file. -ENOENT: that content was
 * never written.
 */
static void install(void)
{
	static char *names[4];
	char *s = take_string();
	s64 error;

	if (!s)
		return;
	strings_of(s, asked.length, names, 4);
	if (!names[0] || !names[1])
		return finish(-EINVAL, 0, 0);
	make_parents(names[0]);
	make_parents(names[1]);
	error = open(names[0], O_RDONLY | O_CLOEXEC, 0);
	if (error >= 0) {
		sys(SYS_close, error);
		/* What runs, or is read, keeps the file that it has. */
		sys(SYS_unlinkat, AT_FDCWD, names[1], 0);
		if (asked.argument)
			error = copy(names[0], names[1], asked.argument);
		else
			error = sys(SYS_linkat, AT_FDCWD, names[0], AT_FDCWD, names[1], 0);
	}
	finish(error, 0, 0);
}

/* What EXEC works with. `input`: of what the host has sent, `input_length` bytes are still to be written. */
static struct {
	s32 pid, ended, in, out[2], failure, terminal;
	u32 input_at, input_length;
	int input_ends;
	s64 left;	/* ns */
	int due;	/* as in in_child() */
	u8 input[CHUNK];
} program;

/* What a driver's read or write returned that none may: the exit status of pass_file()'s process. */
enum { TOOK_NOTHING = 1, TOO_MUCH = 2 };

/* With plain calls, for what they return is the driver's answer: also -EAGAIN and -EINTR. */
static s64 put_into(s32 file, const u8 *at, s64 n)
{
	while (n > 0) {
		s64 put = sys(SYS_write, file, at, n);

		if (put < 0)
			return put;
		if (!put || put > n)
			sys(SYS_exit, put ? TOO_MUCH : TOOK_NOTHING);
		at += put;
		n -= put;
	}
	return 0;
}

/*
 * In the child, for a program without a path: read a file to the output, or write the input to it, with blocking
 * calls, as a user's program would. A driver may crash or hang in them, so PID 1 makes none of them.
 */
static s64 pass_file(char **argv)
{
	int writing = argv[0] && argv[0][0] == 'w';
	s32 file = open(argv[1], writing ? O_WRONLY : O_RDONLY, 0);
	s64 got, put = 0;

	if (file < 0)
		return file;
	while ((got = sys(SYS_read, writing ? 0 : file, chunk, CHUNK)) > 0 && put >= 0) {
		if (got > CHUNK)
			sys(SYS_exit, TOO_MUCH);
		put = writing ? put_into(file, chunk, got) : write_all(1, chunk, got);
	}
	return got < 0 ? got : put < 0 ? put : 0;
}

/*
 * In the child: arrange the streams and become the program. `terminal`: the name of the one that is all three.
 * What can't be is told through `failure`.
 */
static void become(char **argv, char **envp, const char *directory, const s32 *ends, const char *terminal,
		   s32 failure)
{
	s32 error;

	sys(SYS_setsid);
	if (terminal)
		take_terminal(terminal);
	else
		for (s32 i = 0; i < 3; i++)
			sys(SYS_dup3, ends[i], i, 0);
	error = sys(SYS_chdir, directory);
	if (!error && !argv[0][0]) {
		error = pass_file(argv + 1);
		if (!error)
			sys(SYS_exit, 0);
	} else if (!error)
		error = sys(SYS_execve, argv[0], argv + 1, envp);
	sys(SYS_write, failure, &error, sizeof(error));
	sys(SYS_exit, 127);
}

/* A request that came while the program runs. */
static void hear(u64 nonce)
{
	take_request();
	if (asked.verb == PROVIDE) {
		program.left += provide();
	} else if (asked.verb == PROLONG && program.due == 1) {
		program.due = asked.timeout_ms ? 0 : 2;
		program.left = (s64)asked.timeout_ms * 1000000;
	} else if (asked.verb == INPUT && asked.length <= CHUNK && !program.input_length) {
		read_all(port, program.input, asked.length);
		program.input_at = 0;
		program.input_length = asked.length;
		program.input_ends = !asked.length;
	} else if (asked.verb == RESIZE) {
		take_window(program.terminal);
	} else {
		skip(asked.length);
		if (asked.verb == SIGNAL)
			sys(SYS_kill, -program.pid, asked.argument);
		else if (asked.verb == POWEROFF)	/* the host has left */
			sys(SYS_kill, -program.pid, SIGKILL);
	}
	asked.nonce = nonce;	/* all that is answered here is the program's */
}

/* Pass on what one of its two outputs holds now; 0 at its end. */
static int pass_output(int which)
{
	s64 got = sys(SYS_read, program.out[which], chunk, CHUNK);

	if (got == -EINTR || got == -EAGAIN)
		return 1;
	if (got <= 0) {
		sys(SYS_close, program.out[which]);
		program.out[which] = -1;
		return 0;
	}
	send(OUTPUT, which + 1, got);
	write_all(port, chunk, got);
	return 1;
}

/* Write as much of its input as it takes now. */
static void pass_input(u64 nonce)
{
	u32 part = program.input_length;
	s64 put = part ? sys(SYS_write, program.in, program.input + program.input_at, part) : 0;

	if (put == -EINTR || put == -EAGAIN)
		return;
	program.input_at += put > 0 ? put : 0;
	program.input_length -= put > 0 ? put : 0;
	if (put < 0 || program.input_ends) {	/* nobody reads it any more, or no more comes */
		sys(SYS_close, program.in);
		program.in = -1;
		program.input_length = 0;
	}
	asked.nonce = nonce;
	if (!program.input_length)
		send(ACK, 0, 0);	/* the next piece may come */
}

/* Look after the program until it has ended, or the time is over; 0 then. */
static int attend(void)
{
	u64 nonce = asked.nonce;

	for (;;) {
		struct pollfd wait[] = {
			{ program.ended, POLLIN, 0 }, { port, POLLIN, 0 }, { program.out[0], POLLIN, 0 },
			{ program.out[1], POLLIN, 0 },
			{ program.input_length || program.input_ends ? program.in : -1, POLLOUT, 0 },
			{ NAMES, POLLIN, 0 },
		};

		if (program.left < 1000000) {
			if (program.due)
				return 0;
			send(DUE, 0, 0);
			program.due = 1;
			program.left = PROLONGS;
		}
		program.left = poll_counted(wait, 6, program.left);
		if (wait[5].revents & POLLIN)
			pass_on_want();
		if (wait[1].revents & POLLIN)
			hear(nonce);
		for (int i = 0; i < 2; i++)
			if (wait[2 + i].revents)
				pass_output(i);
		if (wait[4].revents)
			pass_input(nonce);
		if (wait[0].revents)
			return 1;
		if (program.ended < 0 && program.out[0] < 0 && program.out[1] < 0)
			return 1;	/* a kernel without pidfd_open */
	}
}

/* What is left in a pipe. A child of the program's may keep it open: it is not waited for. */
static void drain_output(int which)
{
	for (;;) {
		struct pollfd wait = { program.out[which], POLLIN, 0 };

		if (program.out[which] < 0 || poll(&wait, 1, 0) <= 0 || !pass_output(which))
			return;
	}
}

/*
 * Payload: the directory to be in, the program's path (empty: pass_file), its arguments and its environment,
 * each NUL-terminated;
 * `argument` is the number of all but the environment, with TERMINAL where a terminal is to be all three
 * streams; its size is that of the last RESIZE. OUTPUT comes with status 1 or 2, of which stream it is.
 * Each ACK allows the host one INPUT of at most CHUNK bytes, an empty one is the end of the input. Status: as
 * wait(2) has it, -ETIME at the deadline (the payload is the kernel stacks of the program and of all who are in a module), else the errno of the start.
 */
static void exec(void)
{
	/* What nobody uses of these takes no memory. A shell's limit is 2 MiB. */
	static char strings[512 << 10], *words[MOST_WORDS], *envp[MOST_WORDS];
	char *s = take_string_into(strings, sizeof(strings), -E2BIG), name[TERMINAL_NAME];
	s32 in[2], out[2], errors[2], failure[2], status = 0, error = 0;
	u32 count = 0, n = 0, stuck = 0, given = asked.argument & ~TERMINAL;

	if (!s)
		return;
	strings_of(s, asked.length, words, MOST_WORDS);
	while (words[count])
		count++;
	if (count && words[count - 1] + length(words[count - 1]) + 1 < s + asked.length)
		return finish(-E2BIG, 0, 0);
	if (given < 3 || count < given)
		return finish(-EINVAL, 0, 0);
	for (u32 i = given; i < count; i++)
		envp[n++] = words[i];
	envp[n] = 0;
	words[given] = 0;
	program.terminal = asked.argument & TERMINAL ? open_terminal(name) : -1;
	make_parents(words[0]);
	sys(SYS_mkdirat, AT_FDCWD, words[0], 0755);
	sys(SYS_pipe2, in, O_CLOEXEC);
	sys(SYS_pipe2, out, O_CLOEXEC);
	sys(SYS_pipe2, errors, O_CLOEXEC);
	sys(SYS_pipe2, failure, O_CLOEXEC | O_NONBLOCK);
	sys(SYS_fcntl, in[1], F_SETFL, O_NONBLOCK);
	/* The fewer turns of reader and writer, the faster; a kernel without the memory keeps 64 KiB. */
	sys(SYS_fcntl, in[1], F_SETPIPE_SZ, PIPE);
	sys(SYS_fcntl, out[1], F_SETPIPE_SZ, PIPE);
	mark_log();
	send(ACK, 0, 0);
	hear_modprobe();
	program.left = (s64)asked.timeout_ms * 1000000;
	program.due = 0;
	program.pid = FORK(SIGCHLD);
	if (program.pid == 0) {
		s32 ends[] = { in[0], out[1], errors[1] };

		sys(SYS_close, in[1]);	/* else a program without a path would wait for the end of its own input */
		become(words + 1, envp, words[0], ends, program.terminal < 0 ? 0 : name, failure[1]);
	}
	sys(SYS_close, in[0]);
	sys(SYS_close, out[1]);
	sys(SYS_close, errors[1]);
	sys(SYS_close, failure[1]);
	program.ended = sys(SYS_pidfd_open, program.pid, 0);
	if (program.terminal >= 0) {	/* the pipes have served their purpose: nobody has their other ends */
		sys(SYS_close, in[1]);
		sys(SYS_close, out[0]);
		in[1] = sys(SYS_dup3, program.terminal, out[0], O_CLOEXEC);
		sys(SYS_fcntl, in[1], F_SETFL, O_NONBLOCK);
		out[0] = program.terminal;
	}
	program.in = in[1];
	program.out[0] = out[0];
	program.out[1] = errors[0];
	program.input_length = program.input_ends = 0;
	if (program.pid < 0) {
		error = program.pid;
	} else if (!attend()) {
		stuck = stacks_at_deadline(program.pid, 3, text, TEXT);
		/* All of its group; a task that is stuck in the kernel stays. */
		sys(SYS_kill, -program.pid, SIGKILL);
		sleep_ms(20);
		error = -ETIME;
	}
	ignore_modprobe();
	drain_output(0);
	drain_output(1);
	if (program.pid > 0 && !error)
		sys(SYS_wait4, program.pid, &status, 0, 0);
	sys(SYS_read, failure[0], &error, sizeof(error));
	for (int i = 0; i < 2; i++)
		if (program.out[i] >= 0)
			sys(SYS_close, program.out[i]);
	if (program.in >= 0)
		sys(SYS_close, program.in);
	sys(SYS_close, program.ended);
	sys(SYS_close, failure[0]);
	finish(error ? error : status, text, stuck);
}

static void power_off(void)
{
	skip(asked.length);
	finish(0, 0, 0);
	sys(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc);
}

/* ---- start ---- */

/* The drivers of the channel, in the order the host put them. */
static void load_drivers(void)
{
	char path[] = "/drivers/00.ko";

	for (int i = 0; i < 100; i++) {
		s32 fd;

		path[9] = '0' + i / 10;
		path[10] = '0' + i % 10;
		fd = open(path, O_RDONLY | O_CLOEXEC, 0);
		if (fd < 0)
			return;
		sys(SYS_finit_module, fd, "", 0);
		sys(SYS_close, fd);
	}
}

/*
 * Lines of `path<TAB>value`: each value is written to its path. What this kernel does not have fails
 * silently; the host reads back what it needs to know.
 */
static void set_up(void)
{
	u32 n = slurp("/setup", text, TEXT - 1), start = 0, tab = 0;

	for (u32 i = 0; i < n; i++) {
		if (text[i] == '\t' && !tab) {
			tab = i;
			text[i] = 0;
		} else if (text[i] == '\n') {
			if (tab)
				spit((char *)text + start, text + tab + 1, i - tab - 1, 0);
			start = i + 1;
			tab = 0;
		}
	}
}

/*
 * A second after its start the kernel has measured its clock source and takes it, and logs both. Waited for
 * before the snapshot, it is over; else it would fall into the first load's log.
 */
static void settle(void)
{
	char name[16];

	for (int i = 0; i < 150; i++) {
		u32 n = slurp("/sys/devices/system/clocksource/clocksource0/current_clocksource",
			      (u8 *)name, sizeof(name));

		if (n < 9 || name[3] != '-')	/* all but "tsc-early" */
			return;
		sleep_ms(10);
	}
}

/* The node appears a moment after its driver; opening it gives ENXIO until the host has answered. */
static int open_port(void)
{
	for (int i = 0; i < 10000; i++) {
		port = open("/dev/vport0p1", O_RDWR | O_CLOEXEC, 0);
		if (port >= 0)
			return 0;
		sleep_ms(1);
	}
	return -1;
}

static void serve(void)
{
	for (;;) {
		s32 status;

		while (sys(SYS_wait4, -1, &status, WNOHANG, 0) > 0)
			;
		take_request();
		if (asked.magic != MAGIC) {
			/* Out of step: nothing after this can be trusted. The host sees us end. */
			sys(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc);
		}
		switch (asked.verb) {
		case HELLO: hello(); break;
		case LOAD: load(); break;
		case UNLOAD: unload(); break;
		case LIST: list(); break;
		case LOG: log_records(); break;
		case READ: read_file(); break;
		case WRITE: write_file(); break;
		case RUN: run(); break;
		case SHELL: shell(); break;
		case POWEROFF: power_off(); break;
		case PHOTOGRAPH: compare(); break;
		case PEEK: peek(); break;
		case SYMBOLS: symbols(); break;
		case POINTERS: pointers(); break;
		case STACKS: finish(0, text, other_stacks(text, TEXT, asked.argument)); break;
		case EXEC: exec(); break;
		case RESIZE: take_window(-1); finish(0, 0, 0); break;
		case INSTALL: install(); break;
		case PROLONG: skip(asked.length); break;	/* of a call that came back meanwhile */
		default: skip(asked.length); finish(-EINVAL, 0, 0);
		}
	}
}

/*
 * Run on the host instead: print how fast the processor's counter goes, in kHz, over 50 ms. Nothing, where a
 * guest's kernel need not be told.
 */
static void print_counter_khz(void)
{
#ifndef NO_COUNTER
	char digits[20];
	u32 n = sizeof(digits);
	u64 ticks, khz;
	s64 began = now(CLOCK_MONOTONIC), ended;

	ticks = counter();
	sleep_ms(50);
	khz = counter() - ticks;
	ended = now(CLOCK_MONOTONIC);
	khz = khz * 1000 / ((ended - began) / 1000);
	digits[--n] = '\n';
	for (; khz; khz /= 10)
		digits[--n] = '0' + khz % 10;
	write_all(1, digits + n, sizeof(digits) - n);
#endif
	sys(SYS_exit, 0);
}

/*
 * As the kernel starts /sbin/poweroff and /sbin/reboot (kernel/reboot.c, orderly_poweroff() and
 * orderly_reboot()): say so on the console, and do what these do at their end. Does nothing for other names.
 */
static void end_machine(const char *program)
{
	static const char off[] = "<0>the kernel started /sbin/poweroff";
	static const char again[] = "<0>the kernel started /sbin/reboot";
	const u64 before = sizeof("<0>the kernel started ") - 1;
	s32 log;

	if (!same(program, off + before) && !same(program, again + before))
		return;
	log = open("/dev/kmsg", O_WRONLY, 0);
	if (same(program, off + before)) {
		sys(SYS_write, log, off, sizeof(off) - 1);
		sys(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc);
	}
	sys(SYS_write, log, again, sizeof(again) - 1);
	sys(SYS_reboot, 0xfee1dead, 672274793, 0x01234567);
	leave(1);
}

/* Not PID 1: started by a guest's kernel as modprobe, poweroff or reboot, or on the host. */
static void start_as_another(void)
{
	u32 n = slurp("/proc/self/cmdline", text, TEXT - 1);
	static char *argv[8];

	strings_of((char *)text, n, argv, 8);
	if (argv[0])
		end_machine(argv[0]);
	if (argv[0] && argv[1] && argv[2] && argv[3] && argv[1][0] == '-' && argv[1][1] == 'q')
		modprobe(argv[3]);
	print_counter_khz();
}

void start(void)
{
	if (sys(SYS_getpid) != 1)
		start_as_another();
	sys(SYS_mkdirat, AT_FDCWD, "/proc", 0755);
	sys(SYS_mkdirat, AT_FDCWD, "/sys", 0755);
	sys(SYS_mkdirat, AT_FDCWD, "/tmp", 01777);
	sys(SYS_mount, "none", "/dev", "devtmpfs", 0, 0);
	sys(SYS_mount, "none", "/proc", "proc", 0, 0);
	sys(SYS_mount, "none", "/sys", "sysfs", 0, 0);
	sys(SYS_mount, "none", "/sys/kernel/debug", "debugfs", 0, 0);
	sys(SYS_mount, "none", "/sys/kernel/tracing", "tracefs", 0, 0);
	sys(SYS_mkdirat, AT_FDCWD, "/dev/pts", 0755);
	sys(SYS_mount, "none", "/dev/pts", "devpts", 0, 0);
	load_drivers();
	set_up();
	settle();
	if (open_port() == 0)
		serve();
	sys(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc);
}
