/* SPDX-License-Identifier: {{ cookiecutter.spdx }} */
#ifndef {{ cookiecutter.ident | upper }}_H
#define {{ cookiecutter.ident | upper }}_H

/* For the module and for programs that use its device. */

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The number of an ioctl says its direction and size too. The first part should
 * differ from other drivers': Documentation/userspace-api/ioctl/ioctl-number.rst
 */
#define MAILBOX_IOC 0xe7
#define MAILBOX_CLEAR _IO(MAILBOX_IOC, 1)
#define MAILBOX_LENGTH _IOR(MAILBOX_IOC, 2, __u32)

#endif /* {{ cookiecutter.ident | upper }}_H */
