// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/*
 * A program that uses the device. In a sandbox, after `kscaffold load`:
 *
 *	kscaffold exec user/{{ cookiecutter.name }}.c /dev/{{ cookiecutter.kernel_name }} length
 *
 * elsewhere: gcc -o {{ cookiecutter.name }} user/{{ cookiecutter.name }}.c && ./{{ cookiecutter.name }} /dev/{{ cookiecutter.kernel_name }} length
 */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../{{ cookiecutter.name }}.h"

/* Prints how many bytes wait to be read. */
static int length(int file)
{
	__u32 bytes;

	if (ioctl(file, MAILBOX_LENGTH, &bytes)) {
		perror("MAILBOX_LENGTH");
		return 1;
	}
	printf("%u\n", bytes);

	return 0;
}

static int clear(int file)
{
	if (ioctl(file, MAILBOX_CLEAR)) {
		perror("MAILBOX_CLEAR");
		return 1;
	}

	return 0;
}

/* Prints what could be done now without waiting. */
static int ready(int file)
{
	struct pollfd asked = { .fd = file, .events = POLLIN | POLLOUT };

	if (poll(&asked, 1, 0) < 0) {
		perror("poll");
		return 1;
	}
	if (asked.revents & POLLIN)
		puts("read");
	if (asked.revents & POLLOUT)
		puts("write");

	return 0;
}

/* Waits until there is something to read, and prints it; for ever, as cat does. */
static int listen(int file)
{
	struct pollfd asked = { .fd = file, .events = POLLIN };
	char text[256];
	ssize_t size;

	while (poll(&asked, 1, -1) > 0) {
		size = read(file, text, sizeof(text));
		if (size <= 0)
			break;
		fwrite(text, 1, size, stdout);
		fflush(stdout);
	}
	perror("listen");

	return 1;
}

static const struct {
	const char *name;
	int (*run)(int file);
} commands[] = {
	{ "length", length },
	{ "clear", clear },
	{ "ready", ready },
	{ "listen", listen },
};

int main(int count, char **words)
{
	unsigned int i;
	int file;

	if (count != 3) {
		fprintf(stderr, "usage: %s DEVICE length|clear|ready|listen\n",
			words[0]);
		return 2;
	}
	file = open(words[1], O_RDWR);
	if (file < 0) {
		perror(words[1]);
		return 1;
	}
	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(words[2], commands[i].name))
			return commands[i].run(file);
	fprintf(stderr, "%s: not known\n", words[2]);

	return 2;
}
