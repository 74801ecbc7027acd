// SPDX-License-Identifier: GPL-2.0
/* The record of known memory, and the places in code that made it. */
#include <linux/hash.h>
#include <linux/kallsyms.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include "ks.h"

DEFINE_RAW_SPINLOCK(ks_lock);

static struct rb_root regions = RB_ROOT;
static struct kmem_cache *region_cache;
static unsigned long untracked;

/* A bit for each page that some region touched, by a hash: most accesses are to memory that none knows. */
#define PAGES_SHIFT 17
static unsigned long *pages;

#define SITES 4096
static struct ks_site *sites;
static unsigned int sites_used;
static struct hlist_head site_table[1024];

static LIST_HEAD(quarantine);
static size_t quarantine_bytes;
static unsigned int quarantine_count;
#define QUARANTINE_BYTES (8U << 20)
#define QUARANTINE_COUNT 16384U

const char *const ks_kind_names[] = {
	[KS_KMALLOC] = "kmalloc", [KS_LARGE] = "kmalloc", [KS_CACHE] = "slab",     [KS_VMALLOC] = "vmalloc",
	[KS_PAGES] = "pages",     [KS_GLOBAL] = "global", [KS_PERCPU] = "percpu",
};

bool ks_maybe(unsigned long addr)
{
	return test_bit(hash_long(addr >> PAGE_SHIFT, PAGES_SHIFT), pages);
}

struct ks_site *ks_site_of(unsigned long ip)
{
	struct hlist_head *head = &site_table[hash_long(ip, 10)];
	struct ks_site *site;
	unsigned long flags;

	raw_spin_lock_irqsave(&ks_lock, flags);
	hlist_for_each_entry(site, head, node)
		if (site->ip == ip)
			goto found;
	site = &sites[min(sites_used, SITES - 1U)];
	if (sites_used < SITES) {
		sites_used++;
		site->ip = ip;
		hlist_add_head(&site->node, head);
	}
found:
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	return site;
}

/* Init's code goes away when init has returned, and its names with it. */
void ks_keep_site_names(struct module *module)
{
	unsigned int i;

	for (i = 0; i < READ_ONCE(sites_used); i++) {
		struct ks_site *site = &sites[i];

		if (site->ip && !site->owner && within_module(site->ip, module)) {
			site->owner = module;
			if (!site->name)
				site->name = kasprintf(GFP_KERNEL, "%pB", (void *)site->ip);
		}
	}
}

/* The module goes: another one may get its addresses. */
void ks_forget_sites(struct module *module)
{
	unsigned int i;
	unsigned long flags;

	ks_keep_site_names(module);
	raw_spin_lock_irqsave(&ks_lock, flags);
	for (i = 0; i < sites_used; i++)
		if (sites[i].owner == module && sites[i].ip) {
			hlist_del_init(&sites[i].node);
			sites[i].ip = 0;
			sites[i].owner = NULL;
		}
	raw_spin_unlock_irqrestore(&ks_lock, flags);
}

struct ks_region *ks_find(unsigned long addr)
{
	struct rb_node *node = regions.rb_node;

	while (node) {
		struct ks_region *region = rb_entry(node, struct ks_region, node);

		if (addr < region->start)
			node = node->rb_left;
		else if (addr >= region->end)
			node = node->rb_right;
		else
			return region;
	}
	return NULL;
}

struct ks_region *ks_after(unsigned long addr)
{
	struct rb_node *node = regions.rb_node;
	struct ks_region *best = NULL;

	while (node) {
		struct ks_region *region = rb_entry(node, struct ks_region, node);

		if (region->start > addr) {
			best = region;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

void ks_take(struct ks_region *region)
{
	rb_erase(&region->node, &regions);
	if (!list_empty(&region->waiting)) {
		list_del_init(&region->waiting);
		quarantine_bytes -= region->end - region->start;
		quarantine_count--;
	}
}

/* ks_lock is held. The kernel gave this memory away again: what was known of it is past. */
static struct ks_region *take_overlapping(unsigned long start, unsigned long end)
{
	struct ks_region *old = ks_find(start);

	if (!old) {
		old = ks_after(start);
		if (old && old->start >= end)
			old = NULL;
	}
	if (old)
		ks_take(old);
	return old;
}

/*
 * Writes of code that was not compiled for this are seen late: the bytes behind an object have a pattern while it
 * lives, and a freed object's bytes have a sum.
 */
#define PATTERN 0xcb
#define MOST_SUMMED 4096

static bool has_pattern(const struct ks_region *region)
{
	return region->kind <= KS_CACHE && region->end > region->start + region->size;
}

static u32 sum_of(const struct ks_region *region)
{
	const u8 *at = (const u8 *)region->start;
	size_t i, size = min_t(size_t, region->size, MOST_SUMMED);
	u32 sum = 2166136261U;

	for (i = 0; i < size; i++)
		sum = (sum ^ at[i]) * 16777619U;
	return sum;
}

static void say_late(const char *kind, const char *text, const struct ks_region *about, unsigned long ip)
{
	int id = ks_begin(kind, ip, about->start);

	if (!id)
		return;
	if (about->freed && about->released && ip == about->released->ip)
		ks_site_line(id, "at", about->released);
	else
		ks_frames(id, ip);
	ks_line(id, "object %s %px %zu %zu %s", ks_kind_names[about->kind], (void *)about->start, about->size,
		about->size, about->label ?: "-");
	ks_line(id, "text %s", text);
	ks_site_line(id, "alloc", about->allocated);
	if (about->freed)
		ks_site_line(id, "free", about->released);
	ks_end(id);
}

static void check_pattern(const struct ks_region *region, unsigned long ip)
{
	if (has_pattern(region) && !region->told &&
	    memchr_inv((void *)(region->start + region->size), PATTERN, KS_RIGHT))
		say_late("slab-out-of-bounds", "bytes behind the object were overwritten before it was freed", region,
			 ip);
}

static void check_sum(const struct ks_region *region)
{
	if (region->kind <= KS_CACHE && !region->told && region->sum != sum_of(region))
		say_late("use-after-free", "the object was written to after it was freed", region,
			 region->released->ip);
}

bool ks_add(const struct ks_region *what)
{
	struct ks_region *region = kmem_cache_alloc(region_cache, GFP_ATOMIC | __GFP_NOWARN);
	struct rb_node **link, *parent;
	struct ks_region *old;
	unsigned long flags, at;

	if (!region) {
		untracked++;
		return false;
	}
	*region = *what;
	INIT_LIST_HEAD(&region->waiting);
	region->pid = current->pid;
	if (has_pattern(region))
		memset((void *)(region->start + region->size), PATTERN, KS_RIGHT);
again:
	raw_spin_lock_irqsave(&ks_lock, flags);
	old = take_overlapping(region->start, region->end);
	if (old) {
		raw_spin_unlock_irqrestore(&ks_lock, flags);
		kmem_cache_free(region_cache, old);
		goto again;
	}
	parent = NULL;
	link = &regions.rb_node;
	while (*link) {
		parent = *link;
		if (region->start < rb_entry(parent, struct ks_region, node)->start)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&region->node, parent, link);
	rb_insert_color(&region->node, &regions);
	for (at = (region->start - region->left) & PAGE_MASK; at < region->end; at += PAGE_SIZE)
		__set_bit(hash_long(at >> PAGE_SHIFT, PAGES_SHIFT), pages);
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	return true;
}

void ks_release(struct ks_region *region)
{
	kmem_cache_free(region_cache, region);
}

unsigned long ks_untracked(void)
{
	return untracked;
}

static void free_really(struct ks_region *region)
{
	check_sum(region);
	switch (region->kind) {
	case KS_VMALLOC:
		vfree((void *)region->start);
		break;
	case KS_PAGES:
		ks_pages_free(region);
		break;
	case KS_GLOBAL:
	case KS_PERCPU:
		break;
	default:
		ks_slab_free(region);
	}
	ks_release(region);
}

/* Gives back what was freed of one cache's objects: it is about to go. */
void ks_drain_cache(const struct kmem_cache *cache)
{
	struct ks_region *region, *found;
	unsigned long flags;

	do {
		found = NULL;
		raw_spin_lock_irqsave(&ks_lock, flags);
		list_for_each_entry(region, &quarantine, waiting)
			if (region->cache == cache && region->kind == KS_CACHE) {
				found = region;
				break;
			}
		if (found)
			ks_take(found);
		raw_spin_unlock_irqrestore(&ks_lock, flags);
		if (found)
			free_really(found);
	} while (found);
}

/*
 * Gives back the oldest of what was freed, down to the quarantine's bounds or, with `all`, everything. Returns
 * whether something was given back.
 */
bool ks_drain(bool all)
{
	struct ks_region *region, *oldest;
	unsigned long flags;
	bool some = false;

	for (;;) {
		oldest = NULL;
		raw_spin_lock_irqsave(&ks_lock, flags);
		if (all || quarantine_bytes > QUARANTINE_BYTES || quarantine_count > QUARANTINE_COUNT)
			list_for_each_entry(region, &quarantine, waiting) {
				/* vfree() may sleep */
				if (region->kind == KS_VMALLOC && (in_interrupt() || irqs_disabled_flags(flags)))
					continue;
				oldest = region;
				break;
			}
		if (oldest)
			ks_take(oldest);
		raw_spin_unlock_irqrestore(&ks_lock, flags);
		if (!oldest)
			return some;
		some = true;
		free_really(oldest);
	}
}

static void say_wrong_free(const char *kind, unsigned long addr, unsigned long ip, const struct ks_region *about)
{
	struct ks_report what = { .kind = kind, .access = "free", .addr = addr, .ip = ip };

	ks_say(&what, about);
}

/*
 * The module frees `addr` by a function that takes regions of `kinds`. KS_OURS: the region is in the quarantine
 * now. KS_WRONG: reported, and nothing may be done. KS_NOT_OURS: the kernel's own affair.
 */
enum ks_free ks_free_start(unsigned long addr, unsigned long ip, const char *by, unsigned int kinds)
{
	struct ks_site *site = ks_site_of(ip);
	struct ks_region *region, about;
	const char *wrong = NULL;
	unsigned long flags;

	raw_spin_lock_irqsave(&ks_lock, flags);
	region = ks_find(addr);
	if (!region) {
		raw_spin_unlock_irqrestore(&ks_lock, flags);
		return KS_NOT_OURS;
	}
	if (region->start != addr || region->kind == KS_GLOBAL)
		wrong = "invalid-free";
	else if (region->freed)
		wrong = "double-free";
	else if (!(kinds & KS_MAY(region->kind)))
		wrong = "alloc-dealloc-mismatch";
	about = *region;
	if (!wrong) {
		region->sum = region->kind <= KS_CACHE ? sum_of(region) : 0;
		region->freed = true;
		region->released = site;
		list_add_tail(&region->waiting, &quarantine);
		quarantine_bytes += region->end - region->start;
		quarantine_count++;
	}
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	if (wrong) {
		say_wrong_free(wrong, addr, ip, &about);
		return KS_WRONG;
	}
	check_pattern(&about, ip);
	ks_object_freed(about.start, about.start + about.size, ip);
	return KS_OURS;
}

/* The kernel itself frees this: kfree_rcu(), put_page(), a release function of the kernel's. */
static void heard_free(unsigned long addr, unsigned int kinds)
{
	struct ks_region *region;
	unsigned long flags;

	if (!ks_maybe(addr))
		return;
	raw_spin_lock_irqsave(&ks_lock, flags);
	region = ks_find(addr);
	if (region && region->start == addr && (kinds & KS_MAY(region->kind)))
		ks_take(region);
	else
		region = NULL;
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	if (!region)
		return;
	if (region->freed)
		say_wrong_free("double-free", addr, _RET_IP_, region);
	if (region->kind == KS_PAGES)
		ks_guards_free(region);
	ks_release(region);
}

void ks_heard_kfree(unsigned long addr)
{
	heard_free(addr, KS_MAY(KS_KMALLOC) | KS_MAY(KS_LARGE) | KS_MAY(KS_CACHE));
}

void ks_heard_page_free(unsigned long addr)
{
	heard_free(addr, KS_MAY(KS_PAGES));
}

static bool belongs(const struct ks_region *region, struct module *module)
{
	if (region->kind == KS_GLOBAL)
		return within_module(region->start, module);
	if (!region->allocated)
		return false;
	return region->allocated->owner == module || within_module(region->allocated->ip, module);
}

/* ks_lock is held. A region of the module's that is still there: any, or of that site and kind. */
static struct ks_region *next_left(struct module *module, struct ks_site *site, size_t size)
{
	struct rb_node *node;

	for (node = rb_first(&regions); node; node = rb_next(node)) {
		struct ks_region *region = rb_entry(node, struct ks_region, node);

		if (!belongs(region, module) || region->freed)
			continue;
		if (region->kind == KS_GLOBAL || !site || (region->allocated == site && region->size == size))
			return region;
	}
	return NULL;
}

/* Reports what the module allocated and never freed, by place and size, and forgets all that was its own. */
void ks_leaks(struct module *module)
{
	struct ks_site *site = NULL;
	struct ks_region first = {};
	unsigned long count = 0, flags;

	for (;;) {
		struct ks_region *region;

		raw_spin_lock_irqsave(&ks_lock, flags);
		region = next_left(module, site, first.size);
		if (region)
			ks_take(region);
		raw_spin_unlock_irqrestore(&ks_lock, flags);
		if (region && region->kind == KS_GLOBAL) {
			ks_release(region);
			continue;
		}
		if (region && !count)
			first = *region, site = region->allocated;
		if (region) {
			count++;
			ks_release(region);
			continue;
		}
		if (!count)
			return;
		{
			int id = ks_begin("memory-leak", site->ip, first.size);

			if (id) {
				ks_line(id, "leak %lu %zu %s %px pid %d", count, first.size, ks_kind_names[first.kind],
					(void *)first.start, first.pid);
				ks_site_line(id, "alloc", site);
				ks_end(id);
			}
		}
		count = 0;
		site = NULL;
		first.size = 0;
	}
}

int ks_regions_start(void)
{
	region_cache = KMEM_CACHE(ks_region, 0);
	pages = vzalloc(BITS_TO_LONGS(1UL << PAGES_SHIFT) * sizeof(long));
	sites = vzalloc(SITES * sizeof(*sites));
	return region_cache && pages && sites ? 0 : -ENOMEM;
}

void ks_regions_stop(void)
{
	unsigned long flags;
	unsigned int i;

	ks_drain(true);
	for (;;) {
		struct rb_node *node;

		raw_spin_lock_irqsave(&ks_lock, flags);
		node = rb_first(&regions);
		if (node)
			rb_erase(node, &regions);
		raw_spin_unlock_irqrestore(&ks_lock, flags);
		if (!node)
			break;
		ks_release(rb_entry(node, struct ks_region, node));
	}
	kmem_cache_destroy(region_cache);
	for (i = 0; sites && i < sites_used; i++)
		kfree(sites[i].name);
	vfree(sites);
	vfree(pages);
}
