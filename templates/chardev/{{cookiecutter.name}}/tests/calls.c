// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Calls that no program of good sense makes, and those that have to wait. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../{{ cookiecutter.name }}.h"

#define NOWHERE ((void *)8)
#define FULL 4096

static const char *path;
static char page[FULL];

static int device(int flags)
{
	int file = open(path, flags);

	if (file < 0) {
		perror(path);
		exit(1);
	}

	return file;
}

/* What a call returned, or why it failed: errno. */
static void tell(const char *call, long result)
{
	printf("%s %ld\n", call, result < 0 ? -(long)errno : result);
}

static void bad_addresses(void)
{
	int file = device(O_RDWR);

	tell("write", write(file, NOWHERE, 4));
	tell("write", write(file, "hello", 5));
	tell("read", read(file, NOWHERE, 4));
	tell("ioctl", ioctl(file, MAILBOX_LENGTH, NOWHERE));
}

static void odd_calls(void)
{
	int file = device(O_RDWR);

	tell("lseek", lseek(file, 0, SEEK_SET));
	tell("ioctl", ioctl(file, 1234, 0));
	tell("read", read(file, page, 0));
}

/* What is behind the memory that a call is given stays as it is. */
static void behind(void)
{
	int file = device(O_RDWR);
	__u32 length[] = { 0, 7 };
	char got[] = "........";

	tell("write", write(file, "hello", 5));
	tell("ioctl", ioctl(file, MAILBOX_LENGTH, length));
	tell("length", length[0]);
	tell("behind", length[1]);
	tell("read", read(file, got, 8));
	tell("behind", strcmp(got + 5, "..."));
}

static void without_waiting(void)
{
	int file = device(O_RDWR | O_NONBLOCK);

	tell("read", read(file, page, 1));
	tell("write", write(file, page, FULL));
	tell("write", write(file, page, 1));
	tell("read", read(file, page, FULL));
}

/* A child sleeps in read() until there is something. */
static void wake_reader(void)
{
	int file = device(O_RDWR), status;
	char got[6] = "";

	if (!fork())
		_exit(read(file, got, 5) != 5 || strcmp(got, "hello"));
	usleep(50000);
	tell("write", write(file, "hello", 5));
	wait(&status);
	tell("child", status);
}

/* A child sleeps in write() until there is room. */
static void wake_writer(void)
{
	int file = device(O_RDWR), status;
	char got[6] = "";

	tell("write", write(file, page, FULL));
	if (!fork())
		_exit(write(file, "hello", 5) != 5);
	usleep(50000);
	tell("read", read(file, page, FULL));
	wait(&status);
	tell("child", status);
	tell("read", read(file, got, 5));
}

/* A child sleeps in poll() until the device is ready for the event. */
static void poller(int file, short event)
{
	struct pollfd asked = { .fd = file, .events = event };

	if (!fork()) {
		alarm(10); /* it ends a child that nobody wakes */
		_exit(poll(&asked, 1, -1) != 1 || asked.revents != event);
	}
	usleep(50000);
}

static void wake_poll(void)
{
	int file = device(O_RDWR), status;

	poller(file, POLLIN);
	tell("write", write(file, page, FULL));
	wait(&status);
	tell("child", status);
	poller(file, POLLOUT);
	tell("read", read(file, page, FULL));
	wait(&status);
	tell("child", status);
}

static void ignore(int number)
{
}

/* A handler without SA_RESTART: the call that waits ends with EINTR. */
static void interrupted(void)
{
	struct sigaction action = { .sa_handler = ignore };
	int file = device(O_RDWR);

	sigaction(SIGALRM, &action, NULL);
	ualarm(50000, 0);
	tell("read", read(file, page, 1));
	tell("write", write(file, page, FULL));
	ualarm(50000, 0);
	tell("write", write(file, page, 1));
}

/* What rmmod does. */
static void rmmod_while_open(const char *module)
{
	device(O_RDWR);
	tell("rmmod", syscall(SYS_delete_module, module, O_NONBLOCK));
}

/* Every call once, many times over. */
static void again(long times)
{
	struct pollfd asked = { .events = POLLIN };
	__u32 length;

	while (times-- > 0) {
		asked.fd = device(O_RDWR);
		if (write(asked.fd, page, 8) != 8 || poll(&asked, 1, 0) != 1 ||
		    ioctl(asked.fd, MAILBOX_LENGTH, &length) ||
		    read(asked.fd, page, 4) != 4 ||
		    ioctl(asked.fd, MAILBOX_CLEAR))
			exit(1);
		close(asked.fd);
	}
}

int main(int count, char **words)
{
	const char *what = words[2];

	path = words[1];
	if (!strcmp(what, "bad-addresses"))
		bad_addresses();
	else if (!strcmp(what, "odd-calls"))
		odd_calls();
	else if (!strcmp(what, "behind"))
		behind();
	else if (!strcmp(what, "without-waiting"))
		without_waiting();
	else if (!strcmp(what, "wake-reader"))
		wake_reader();
	else if (!strcmp(what, "wake-writer"))
		wake_writer();
	else if (!strcmp(what, "wake-poll"))
		wake_poll();
	else if (!strcmp(what, "interrupted"))
		interrupted();
	else if (!strcmp(what, "rmmod-while-open"))
		rmmod_while_open(words[3]);
	else if (!strcmp(what, "again"))
		again(strtol(words[3], NULL, 0));

	return 0;
}
