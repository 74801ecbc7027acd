/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Read by each source file of an instrumented module, before its own first line. The kernel's headers ask
 * kasan_check_read() and kasan_check_write() before they touch memory in ways the compiler does not see: atomic
 * and bit operations, copies to and from user space. Unlocking is a call, so that it can be heard.
 */
#ifndef __ASSEMBLY__
#define _LINUX_KASAN_CHECKS_H
#include <linux/types.h>
bool __kasan_check_read(const volatile void *at, unsigned int size);
bool __kasan_check_write(const volatile void *at, unsigned int size);
#define kasan_check_read(at, size) __kasan_check_read(at, size)
#define kasan_check_write(at, size) __kasan_check_write(at, size)

#define CONFIG_UNINLINE_SPIN_UNLOCK 1
#undef CONFIG_INLINE_SPIN_UNLOCK_IRQ
#undef CONFIG_INLINE_READ_UNLOCK
#undef CONFIG_INLINE_READ_UNLOCK_IRQ
#undef CONFIG_INLINE_WRITE_UNLOCK
#undef CONFIG_INLINE_WRITE_UNLOCK_IRQ
#endif
