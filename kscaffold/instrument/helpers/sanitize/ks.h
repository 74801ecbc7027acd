/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The sanitizer of kscaffold: keeps a record of what an instrumented module allocates and locks, and compares
 * the module's accesses with the record. `have.h` is written by kscaffold: one HAVE_name for each symbol that
 * this kernel exports and some hook asks for.
 */
#ifndef KS_H
#define KS_H

#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>
#include "have.h"

/* Who called the hook: an address in the instrumented module. */
#define KS_CALLER ((unsigned long)__builtin_return_address(0))

/*
 * A hook takes the place of the kernel's function of that name in an instrumented module: the module's import
 * NAME is renamed to ks_NAME.
 */
#define KS_HOOK(type, name, ...)              \
	type ks_##name(__VA_ARGS__);          \
	EXPORT_SYMBOL(ks_##name);             \
	noinline type ks_##name(__VA_ARGS__)

enum ks_kind { KS_KMALLOC, KS_LARGE, KS_CACHE, KS_VMALLOC, KS_PAGES, KS_GLOBAL, KS_PERCPU };

/* A place in the module's code. `name` is kept once the code may go away: init's own, after init. */
struct ks_site {
	struct hlist_node node;
	unsigned long ip;
	const char *name;
	struct module *owner;
};

/*
 * Memory that is known: an allocation or a global variable. The object is [start, start + size), what follows
 * up to `end` belongs to nobody.
 */
struct ks_region {
	struct rb_node node;
	struct list_head waiting; /* in the quarantine */
	unsigned long start;
	unsigned long end;
	size_t size;
	enum ks_kind kind;
	bool freed;
	bool told; /* some report was about it */
	u32 sum;   /* of its bytes when it was freed */
	u8 order;
	u16 left; /* bytes before it that belong to nobody */
	struct kmem_cache *cache;
	const char *label; /* of a global: its name; of a slab object: its cache's */
	struct ks_site *allocated;
	struct ks_site *released;
	pid_t pid;
};

#define KS_RIGHT 16 /* bytes at least behind each object that nobody owns */
#define KS_LEFT 16  /* bytes before a slab object that count as its neighbourhood */

/* report.c */
struct ks_report {
	const char *kind;   /* as KASAN and lockdep call it */
	const char *access; /* read, write, free, or NULL */
	unsigned long addr;
	size_t size;
	unsigned long ip;
};
void ks_say(const struct ks_report *what, const struct ks_region *about);
int ks_begin(const char *kind, unsigned long ip, unsigned long addr);
void ks_line(int id, const char *format, ...) __printf(2, 3);
void ks_site_line(int id, const char *key, const struct ks_site *site);
void ks_frames(int id, unsigned long ip);
void ks_end(int id);
void ks_forget_reports(const struct module *module);

/* region.c */
extern const char *const ks_kind_names[];
extern raw_spinlock_t ks_lock;
struct ks_site *ks_site_of(unsigned long ip);
void ks_keep_site_names(struct module *module);
void ks_forget_sites(struct module *module);
bool ks_add(const struct ks_region *what);
struct ks_region *ks_find(unsigned long addr); /* ks_lock is held */
struct ks_region *ks_after(unsigned long addr); /* ks_lock is held */
void ks_take(struct ks_region *region); /* ks_lock is held */
void ks_release(struct ks_region *region);
bool ks_maybe(unsigned long addr);
int ks_regions_start(void);
void ks_regions_stop(void);
void ks_leaks(struct module *module);
unsigned long ks_untracked(void);

/* What the free of an address comes to. */
enum ks_free { KS_NOT_OURS, KS_OURS, KS_WRONG };
enum ks_free ks_free_start(unsigned long addr, unsigned long ip, const char *by, unsigned int kinds);
#define KS_MAY(kind) (1U << (kind))

/* access.c */
bool ks_check(unsigned long addr, size_t size, bool write, unsigned long ip);

/* slab.c */
void *ks_alloc(size_t size, gfp_t gfp, unsigned long ip);
void ks_free(const void *object, unsigned long ip);
void ks_slab_free(struct ks_region *region);
bool ks_drain(bool all);
void ks_drain_cache(const struct kmem_cache *cache);
int ks_slabs_start(void);
void ks_slabs_stop(void);
void ks_settle(void);
void ks_heard_kfree(unsigned long addr);
void ks_heard_page_free(unsigned long addr);

/* pages.c */
void ks_pages_free(struct ks_region *region);
void ks_guards_free(struct ks_region *region);
void *ks_vmalloc_region(void *at, size_t size, unsigned long ip);
void *ks_vmalloc_sized(size_t size, gfp_t gfp, unsigned long ip);
void ks_vfree_object(const void *object, unsigned long ip);

/* main.c */
bool ks_is_known(unsigned long addr);
const struct module *ks_owner(unsigned long addr);

/* lock.c, context.c */
bool ks_sleeps(const char *what, unsigned long ip);
void ks_faults(const char *what, unsigned long ip);
void ks_object_freed(unsigned long start, unsigned long end, unsigned long ip);
void ks_returned(void);
void ks_locks_left(struct module *module);
bool ks_holds_spinlock(struct ks_site **since);

#endif
