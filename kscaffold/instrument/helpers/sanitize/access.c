// SPDX-License-Identifier: GPL-2.0
/* What the compiler calls before each access, and for each global variable. */
#include <linux/hardirq.h>
#include "ks.h"

/* ks_lock is held. The region that this access may not touch, or NULL. `kind` gets the report's word. */
static struct ks_region *wronged(unsigned long addr, size_t size, const char **kind)
{
	struct ks_region *region = ks_find(addr);

	if (region) {
		*kind = region->freed ? "use-after-free" : "out-of-bounds";
		if (region->freed && addr < region->start + region->size)
			return region;
		*kind = "out-of-bounds";
		if (addr + size <= region->start + region->size)
			return NULL;
		if (addr >= region->start + region->size) {
			/* Between two objects: before the second, when it is nearer. */
			struct ks_region *next = ks_after(addr);

			if (next && next->start - addr <= next->left &&
			    next->start - addr < addr - (region->start + region->size) + 1)
				return next;
		}
		return region;
	}
	region = ks_after(addr);
	*kind = "out-of-bounds";
	if (region && region->start < addr + size)
		return region;
	if (region && region->start - addr <= region->left && !region->freed)
		return region;
	return NULL;
}

bool ks_check(unsigned long addr, size_t size, bool write, unsigned long ip)
{
	struct ks_report what = { .access = write ? "write" : "read", .addr = addr, .size = size, .ip = ip };
	struct ks_region *region, about;
	unsigned long flags;

	if (!size || (!ks_maybe(addr) && !ks_maybe(addr + size - 1)) || in_nmi())
		return true;
	raw_spin_lock_irqsave(&ks_lock, flags);
	region = wronged(addr, size, &what.kind);
	if (region) {
		region->told = true;
		about = *region;
	}
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	if (!region)
		return true;
	ks_say(&what, &about);
	return false;
}

#define KS_ACCESS(size)                                                    \
	KS_HOOK(void, __asan_load##size##_noabort, unsigned long addr)     \
	{                                                                  \
		ks_check(addr, size, false, KS_CALLER);                    \
	}                                                                  \
	KS_HOOK(void, __asan_store##size##_noabort, unsigned long addr)    \
	{                                                                  \
		ks_check(addr, size, true, KS_CALLER);                     \
	}

KS_ACCESS(1)
KS_ACCESS(2)
KS_ACCESS(4)
KS_ACCESS(8)
KS_ACCESS(16)

KS_HOOK(void, __asan_loadN_noabort, unsigned long addr, size_t size)
{
	ks_check(addr, size, false, KS_CALLER);
}

KS_HOOK(void, __asan_storeN_noabort, unsigned long addr, size_t size)
{
	ks_check(addr, size, true, KS_CALLER);
}

/* What the kernel's own headers ask before atomic operations, bit operations and copies to and from user. */
KS_HOOK(bool, __kasan_check_read, const volatile void *at, unsigned int size)
{
	return ks_check((unsigned long)at, size, false, KS_CALLER);
}

KS_HOOK(bool, __kasan_check_write, const volatile void *at, unsigned int size)
{
	return ks_check((unsigned long)at, size, true, KS_CALLER);
}

KS_HOOK(void, __asan_handle_no_return, void)
{
}

/* The compiler's record of a global variable (GCC's libsanitizer, __asan_global, version 8). */
struct global {
	unsigned long start;
	size_t size;
	size_t end;
	const char *name;
	const char *file;
	unsigned long has_dynamic_init;
	void *location;
	unsigned long odr_indicator;
};

KS_HOOK(void, __asan_register_globals, struct global *globals, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct ks_region region = {
			.start = globals[i].start,
			.end = globals[i].start + globals[i].end,
			.size = globals[i].size,
			.kind = KS_GLOBAL,
			.label = globals[i].name,
		};

		ks_add(&region);
	}
}

KS_HOOK(void, __asan_unregister_globals, struct global *globals, size_t count)
{
}
