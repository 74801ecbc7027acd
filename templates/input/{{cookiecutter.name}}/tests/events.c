// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* events FILE PRESS DIGIT: writes DIGIT to PRESS, and prints the events that come. */

#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
	struct input_event event;
	struct pollfd asked = { .events = POLLIN };
	int press;

	if (count != 4)
		return 2;
	/* Events before the open are not for this program. */
	asked.fd = open(words[1], O_RDONLY);
	press = open(words[2], O_WRONLY);
	if (asked.fd < 0 || press < 0 ||
	    write(press, words[3], strlen(words[3])) < 0) {
		perror("events");
		return 1;
	}
	while (poll(&asked, 1, 200) > 0 &&
	       read(asked.fd, &event, sizeof(event)) == sizeof(event)) {
		if (event.type == EV_SYN)
			puts("sync");
		else
			printf("key %d %d\n", event.code, event.value);
	}

	return 0;
}
