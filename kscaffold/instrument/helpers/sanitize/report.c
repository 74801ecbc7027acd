// SPDX-License-Identifier: GPL-2.0
/*
 * Reports go to the kernel's log, a fact a line, each as `ks_sanitize: NUMBER KEY VALUE`. kscaffold reads them
 * from there and tells them as KASAN and lockdep would.
 */
#include <linux/kernel.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/stacktrace.h>
#include "ks.h"

/* So many between two modules' goings; what was said before is in the log, and forgotten here. */
#define MOST 64
static atomic_t reports;
static int forgotten;
static struct {
	const char *kind;
	unsigned long ip;
	unsigned long addr;
	const struct module *owner;
} said[MOST];

/* A copy is checked by the kernel's header and by the hook of the function behind it, at two addresses. */
#define NEAR 96

static bool same(int i, const char *kind, unsigned long ip, unsigned long addr)
{
	if (!said[i].kind || strcmp(said[i].kind, kind))
		return false;
	if (said[i].ip == ip)
		return !strcmp(kind, "memory-leak") ? said[i].addr == addr : true;
	return said[i].addr == addr && addr && ip - said[i].ip + NEAR < 2 * NEAR;
}

/* The number of a new report; 0 where the same was said already, or enough was. */
int ks_begin(const char *kind, unsigned long ip, unsigned long addr)
{
	int id, i;

	for (i = 0; i < MOST; i++)
		if (same(i, kind, ip, addr))
			return 0;
	if (atomic_read(&reports) - READ_ONCE(forgotten) >= MOST)
		return 0;
	id = atomic_inc_return(&reports);
	i = (id - 1) % MOST;
	said[i].ip = ip;
	said[i].addr = addr;
	said[i].owner = ks_owner(ip);
	said[i].kind = kind;
	ks_line(id, "report %s task %s/%d cpu %d", kind, current->comm, current->pid, raw_smp_processor_id());
	return id;
}

/* The module has gone: another one, or itself once more, may get its addresses, and has bugs of its own. */
void ks_forget_reports(const struct module *module)
{
	int i;

	for (i = 0; i < MOST; i++)
		if (said[i].owner == module || !said[i].owner)
			said[i].kind = NULL;
	WRITE_ONCE(forgotten, atomic_read(&reports));
}

void ks_line(int id, const char *format, ...)
{
	struct va_format text = { .fmt = format };
	va_list list;

	va_start(list, format);
	text.va = &list;
	printk(KERN_ERR "ks_sanitize: %d %pV\n", id, &text);
	va_end(list);
}

void ks_site_line(int id, const char *key, const struct ks_site *site)
{
	if (!site)
		return;
	if (site->name)
		ks_line(id, "%s %s", key, site->name);
	else
		ks_line(id, "%s %pB", key, (void *)site->ip);
}

void ks_frames(int id, unsigned long ip)
{
	unsigned long entries[16];
	unsigned int count = stack_trace_save(entries, ARRAY_SIZE(entries), 0), i, told = 0;
	bool begun = false;

	ks_line(id, "at %pB", (void *)ip);
	for (i = 0; i < count && told < 6; i++) {
		if (begun) {
			ks_line(id, "by %pB", (void *)entries[i]);
			told++;
		}
		begun |= entries[i] == ip;
	}
}

void ks_end(int id)
{
	ks_line(id, "end");
}

static const char *kind_of(const char *kind, const struct ks_region *about)
{
	static const char *const bounds[] = {
		[KS_KMALLOC] = "slab-out-of-bounds",    [KS_LARGE] = "slab-out-of-bounds",
		[KS_CACHE] = "slab-out-of-bounds",      [KS_VMALLOC] = "vmalloc-out-of-bounds",
		[KS_PAGES] = "page-out-of-bounds",      [KS_GLOBAL] = "global-out-of-bounds",
		[KS_PERCPU] = "percpu-out-of-bounds",
	};

	return strcmp(kind, "out-of-bounds") ? kind : bounds[about->kind];
}

/* One report about memory. Nothing of ours is locked. */
void ks_say(const struct ks_report *what, const struct ks_region *about)
{
	int id = ks_begin(kind_of(what->kind, about), what->ip, what->addr);

	if (!id)
		return;
	if (what->access)
		ks_line(id, "access %s %zu %px", what->access, what->size, (void *)what->addr);
	ks_frames(id, what->ip);
	ks_line(id, "object %s %px %zu %ld %s", ks_kind_names[about->kind], (void *)about->start, about->size,
		(long)(what->addr - about->start), about->label ?: "-");
	ks_site_line(id, "alloc", about->allocated);
	if (about->freed)
		ks_site_line(id, "free", about->released);
	ks_end(id);
}
