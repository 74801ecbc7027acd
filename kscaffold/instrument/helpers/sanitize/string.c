// SPDX-License-Identifier: GPL-2.0
/* Functions of the kernel's that read or write memory for the module: both ends are checked first. */
#include <linux/ctype.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/uaccess.h>
#include "ks.h"

#define READS(at, size) ks_check((unsigned long)(at), size, false, KS_CALLER)
#define WRITES(at, size) ks_check((unsigned long)(at), size, true, KS_CALLER)

static size_t text_size(const char *text, size_t most)
{
	size_t length = strnlen(text, most);

	return length < most ? length + 1 : most;
}

#define READS_TEXT(text, most) READS(text, text_size(text, most))
#define ALL (~0UL >> 1)

/*
 * Under a sanitizer the kernel's headers (since 6.4) and newer compilers call these by other names, too: which ones
 * depends on what kernel and compiler were configured for.
 */
#define KS_MEMORY_HOOKS(prefix)                                                          \
	KS_HOOK(void *, prefix##memset, void *to, int byte, size_t size)                 \
	{                                                                                \
		WRITES(to, size);                                                        \
		return memset(to, byte, size);                                           \
	}                                                                                \
	KS_HOOK(void *, prefix##memcpy, void *to, const void *from, size_t size)         \
	{                                                                                \
		READS(from, size);                                                       \
		WRITES(to, size);                                                        \
		return memcpy(to, from, size);                                           \
	}                                                                                \
	KS_HOOK(void *, prefix##memmove, void *to, const void *from, size_t size)        \
	{                                                                                \
		READS(from, size);                                                       \
		WRITES(to, size);                                                        \
		return memmove(to, from, size);                                          \
	}

KS_MEMORY_HOOKS()
KS_MEMORY_HOOKS(__asan_)
KS_MEMORY_HOOKS(__hwasan_)
KS_MEMORY_HOOKS(__)

KS_HOOK(int, memcmp, const void *a, const void *b, size_t size)
{
	READS(a, size);
	READS(b, size);
	return memcmp(a, b, size);
}

KS_HOOK(void *, memchr, const void *at, int byte, size_t size)
{
	void *found = memchr(at, byte, size);

	READS(at, found ? found - at + 1 : size);
	return found;
}

KS_HOOK(char *, strcpy, char *to, const char *from)
{
	size_t size = text_size(from, ALL);

	READS(from, size);
	WRITES(to, size);
	return memcpy(to, from, size);
}

#ifdef HAVE_strncpy /* gone in 7.x */
KS_HOOK(char *, strncpy, char *to, const char *from, size_t most)
{
	READS_TEXT(from, most);
	WRITES(to, most);
	return strncpy(to, from, most);
}
#endif

KS_HOOK(char *, strcat, char *to, const char *from)
{
	size_t size = text_size(from, ALL), before = strlen(to);

	READS(from, size);
	READS(to, before + 1);
	WRITES(to, before + size);
	memcpy(to + before, from, size);
	return to;
}

KS_HOOK(char *, strncat, char *to, const char *from, size_t most)
{
	size_t length = strnlen(from, most), before = strlen(to);

	READS_TEXT(from, most);
	READS(to, before + 1);
	WRITES(to, before + length + 1);
	memcpy(to + before, from, length);
	to[before + length] = 0;
	return to;
}

#ifdef HAVE_strlcpy
KS_HOOK(size_t, strlcpy, char *to, const char *from, size_t size)
{
	size_t length = strlen(from);

	READS(from, length + 1);
	if (size)
		WRITES(to, min(length + 1, size));
	return strlcpy(to, from, size);
}
#endif
#ifdef HAVE_strscpy
KS_HOOK(ssize_t, strscpy, char *to, const char *from, size_t size)
{
	size_t read = text_size(from, size);

	READS(from, read);
	WRITES(to, read);
	return strscpy(to, from, size);
}
#endif
#ifdef HAVE_sized_strscpy
KS_HOOK(ssize_t, sized_strscpy, char *to, const char *from, size_t size)
{
	size_t read = text_size(from, size);

	READS(from, read);
	WRITES(to, read);
	return sized_strscpy(to, from, size);
}
#endif
#ifdef HAVE_strlcat
KS_HOOK(size_t, strlcat, char *to, const char *from, size_t size)
{
	size_t before = strnlen(to, size), length = strlen(from);

	READS(from, length + 1);
	if (before < size)
		WRITES(to, min(before + length + 1, size));
	return strlcat(to, from, size);
}
#endif

KS_HOOK(size_t, strlen, const char *text)
{
	size_t length = strlen(text);

	READS(text, length + 1);
	return length;
}

KS_HOOK(size_t, strnlen, const char *text, size_t most)
{
	READS_TEXT(text, most);
	return strnlen(text, most);
}

KS_HOOK(int, strcmp, const char *a, const char *b)
{
	size_t same = 0;

	while (a[same] && a[same] == b[same])
		same++;
	READS(a, same + 1);
	READS(b, same + 1);
	return strcmp(a, b);
}

KS_HOOK(int, strncmp, const char *a, const char *b, size_t most)
{
	size_t same = 0;

	while (same < most && a[same] && a[same] == b[same])
		same++;
	READS(a, min(same + 1, most));
	READS(b, min(same + 1, most));
	return strncmp(a, b, most);
}

KS_HOOK(char *, strchr, const char *text, int byte)
{
	char *found = strchr(text, byte);

	READS(text, found ? found - text + 1 : text_size(text, ALL));
	return found;
}

KS_HOOK(char *, strrchr, const char *text, int byte)
{
	READS_TEXT(text, ALL);
	return strrchr(text, byte);
}

KS_HOOK(char *, strstr, const char *text, const char *part)
{
	READS_TEXT(text, ALL);
	READS_TEXT(part, ALL);
	return strstr(text, part);
}

/* How much of a text a number's reader looks at in any case: sign, decimal digits, and what ends them. */
static size_t number_size(const char *text)
{
	size_t at = *text == '-' || *text == '+';

	while (isdigit(text[at]))
		at++;
	/* One line's end may follow, and then the text's. */
	return at + (at && text[at] == '\n' ? 2 : 1);
}

#define KS_NUMBER_HOOK(name, type)                                       \
	KS_HOOK(int, name, const char *text, unsigned int base, type *to) \
	{                                                                \
		READS(text, number_size(text));                          \
		WRITES(to, sizeof(*to));                                 \
		return name(text, base, to);                             \
	}

KS_NUMBER_HOOK(kstrtoull, unsigned long long)
KS_NUMBER_HOOK(kstrtoll, long long)
KS_NUMBER_HOOK(_kstrtoul, unsigned long)
KS_NUMBER_HOOK(_kstrtol, long)
KS_NUMBER_HOOK(kstrtouint, unsigned int)
KS_NUMBER_HOOK(kstrtoint, int)
KS_NUMBER_HOOK(kstrtou16, u16)
KS_NUMBER_HOOK(kstrtos16, s16)
KS_NUMBER_HOOK(kstrtou8, u8)
KS_NUMBER_HOOK(kstrtos8, s8)

/* How many of the `most` bytes asked for lie between a position and the end. */
static size_t bytes_at(loff_t at, size_t most, size_t end)
{
	return at < 0 || at >= end ? 0 : min_t(size_t, most, end - at);
}

KS_HOOK(ssize_t, simple_read_from_buffer, void __user *to, size_t count, loff_t *at, const void *from, size_t available)
{
	READS(from + *at, bytes_at(*at, count, available));
	ks_faults("simple_read_from_buffer", KS_CALLER);
	return simple_read_from_buffer(to, count, at, from, available);
}

KS_HOOK(ssize_t, simple_write_to_buffer, void *to, size_t available, loff_t *at, const void __user *from, size_t count)
{
	WRITES(to + *at, bytes_at(*at, count, available));
	ks_faults("simple_write_to_buffer", KS_CALLER);
	return simple_write_to_buffer(to, available, at, from, count);
}

/*
 * The kernel's own check of sizes the compiler knows (CONFIG_FORTIFY_SOURCE) ends the task: what it found is told
 * before that.
 */
static void say_fortified(unsigned long ip)
{
	int id = ks_begin("out-of-bounds", ip, 0);

	if (!id)
		return;
	ks_frames(id, ip);
	ks_line(id, "text a string or memory function was to go beyond the size of its object");
	ks_end(id);
}

#ifdef HAVE_fortify_panic
void __noreturn ks_fortify_panic(const char *name);
EXPORT_SYMBOL(ks_fortify_panic);
void __noreturn ks_fortify_panic(const char *name)
{
	say_fortified(KS_CALLER);
	fortify_panic(name);
}
#endif
#ifdef HAVE___fortify_panic
void __noreturn ks___fortify_panic(u8 reason, size_t have, size_t want);
EXPORT_SYMBOL(ks___fortify_panic);
void __noreturn ks___fortify_panic(u8 reason, size_t have, size_t want)
{
	say_fortified(KS_CALLER);
	__fortify_panic(reason, have, want);
}
#endif

static int print(char *to, size_t size, const char *format, va_list list, unsigned long ip)
{
	va_list again;
	int length;

	va_copy(again, list);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (size && length >= 0)
		ks_check((unsigned long)to, min_t(size_t, size, length + 1), true, ip);
	return vsnprintf(to, size, format, list);
}

KS_HOOK(int, vsnprintf, char *to, size_t size, const char *format, va_list list)
{
	return print(to, size, format, list, KS_CALLER);
}

KS_HOOK(int, snprintf, char *to, size_t size, const char *format, ...)
{
	va_list list;
	int length;

	va_start(list, format);
	length = print(to, size, format, list, KS_CALLER);
	va_end(list);
	return length;
}

KS_HOOK(int, scnprintf, char *to, size_t size, const char *format, ...)
{
	va_list list;
	int length;

	va_start(list, format);
	length = print(to, size, format, list, KS_CALLER);
	va_end(list);
	if (!size)
		return 0;
	return length < size ? length : size - 1;
}

KS_HOOK(int, vsprintf, char *to, const char *format, va_list list)
{
	return print(to, INT_MAX, format, list, KS_CALLER);
}

KS_HOOK(int, sprintf, char *to, const char *format, ...)
{
	va_list list;
	int length;

	va_start(list, format);
	length = print(to, INT_MAX, format, list, KS_CALLER);
	va_end(list);
	return length;
}

#ifdef HAVE__copy_from_user
KS_HOOK(unsigned long, _copy_from_user, void *to, const void __user *from, unsigned long size)
{
	WRITES(to, size);
	ks_faults("copy_from_user", KS_CALLER);
	return _copy_from_user(to, from, size);
}
#endif
#ifdef HAVE__copy_to_user
KS_HOOK(unsigned long, _copy_to_user, void __user *to, const void *from, unsigned long size)
{
	READS(from, size);
	ks_faults("copy_to_user", KS_CALLER);
	return _copy_to_user(to, from, size);
}
#endif
