// SPDX-License-Identifier: GPL-2.0
/* kmalloc() and its kind, kfree(), and slab caches, by every name that kernels have had for them. */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>
#include "ks.h"

/*
 * Objects come from caches of our own, so that their neighbours are ours too. Each has the size of a power of
 * two and so the alignment that kmalloc() promises; at least KS_RIGHT bytes behind the object are free.
 */
#define SMALLEST 5
#define LARGEST 13
static struct kmem_cache *classes[LARGEST + 1];
static const char *const class_names[] = {
	[5] = "ks-32",  [6] = "ks-64",    [7] = "ks-128",   [8] = "ks-256",   [9] = "ks-512",
	[10] = "ks-1k", [11] = "ks-2k", [12] = "ks-4k", [13] = "ks-8k",
};

/* The caches that modules have made. */
static struct {
	struct kmem_cache *cache;
	size_t size;
	const char *name;
	bool by_rcu; /* its objects may be read after they are freed */
} caches[64];

static struct kmem_cache *class_of(size_t size, gfp_t gfp)
{
	unsigned int order = max(ilog2(size + KS_RIGHT - 1) + 1, SMALLEST);

	if (gfp & (__GFP_DMA | __GFP_DMA32) || order > LARGEST)
		return NULL;
	return classes[order];
}

static void sleeps(const char *what, gfp_t gfp, unsigned long ip)
{
	if (gfpflags_allow_blocking(gfp))
		ks_sleeps(what, ip);
}

/* The largest that can be had has nothing behind it. */
static size_t room_behind(size_t size)
{
	return size > KMALLOC_MAX_SIZE - KS_RIGHT ? 0 : KS_RIGHT;
}

static void *obtain(struct kmem_cache *cache, size_t size, gfp_t gfp)
{
	void *object;

	if (!cache)
		return kmalloc(size + room_behind(size), gfp);
	object = kmem_cache_alloc(cache, gfp & ~__GFP_ZERO);
	if (object && gfp & __GFP_ZERO)
		memset(object, 0, size);
	return object;
}

static void *remember(void *object, struct ks_region region)
{
	region.start = (unsigned long)object;
	region.end += region.start;
	ks_add(&region);
	return object;
}

void *ks_alloc(size_t size, gfp_t gfp, unsigned long ip)
{
	struct ks_site *site = ks_site_of(ip);
	struct kmem_cache *cache;
	void *object;

	sleeps("kmalloc(GFP_KERNEL)", gfp, ip);
	if (!size)
		return ZERO_SIZE_PTR;
	cache = class_of(size, gfp);
	object = obtain(cache, size, gfp);
	if (!object && ks_drain(true))
		object = obtain(cache, size, gfp);
	if (!object)
		return NULL;
	return remember(object, (struct ks_region){
		.end = size + room_behind(size),
		.size = size,
		.left = KS_LEFT,
		.kind = cache ? KS_KMALLOC : KS_LARGE,
		.cache = cache,
		.allocated = site,
	});
}

/* A region that has left the quarantine. */
void ks_slab_free(struct ks_region *region)
{
	if (region->cache)
		kmem_cache_free(region->cache, (void *)region->start);
	else
		kfree((void *)region->start);
}

#define HEAP (KS_MAY(KS_KMALLOC) | KS_MAY(KS_LARGE) | KS_MAY(KS_CACHE))

void ks_free(const void *object, unsigned long ip)
{
	if (ZERO_OR_NULL_PTR(object))
		return;
	switch (ks_free_start((unsigned long)object, ip, "kfree", HEAP)) {
	case KS_NOT_OURS:
		kfree(object);
		break;
	case KS_OURS:
		ks_drain(false);
		break;
	case KS_WRONG:
		break;
	}
}

/* The bytes of an object that is ours and alive; 0 for any other. */
static size_t size_of(const void *object)
{
	struct ks_region *region;
	unsigned long flags;
	size_t size = 0;

	raw_spin_lock_irqsave(&ks_lock, flags);
	region = ks_find((unsigned long)object);
	if (region && region->start == (unsigned long)object && !region->freed && region->kind != KS_GLOBAL)
		size = region->size;
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	return size;
}

static void *resize(const void *object, size_t size, gfp_t gfp, unsigned long ip)
{
	size_t before;
	void *fresh;

	if (ZERO_OR_NULL_PTR(object))
		return ks_alloc(size, gfp, ip);
	if (!size) {
		ks_free(object, ip);
		return ZERO_SIZE_PTR;
	}
	before = size_of(object);
	if (!before) {
		/* Freed already, or not an object's start: that is reported. */
		if (!ks_check((unsigned long)object, 1, false, ip))
			return NULL;
		return krealloc(object, size, gfp);
	}
	fresh = ks_alloc(size, gfp, ip);
	if (!fresh)
		return NULL;
	memcpy(fresh, object, min(before, size));
	ks_free(object, ip);
	return fresh;
}

#ifdef HAVE___kmalloc
KS_HOOK(void *, __kmalloc, size_t size, gfp_t gfp)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_noprof
KS_HOOK(void *, __kmalloc_noprof, size_t size, gfp_t gfp)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmem_cache_alloc_trace
KS_HOOK(void *, kmem_cache_alloc_trace, struct kmem_cache *cache, gfp_t gfp, size_t size)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmem_cache_alloc_node_trace
KS_HOOK(void *, kmem_cache_alloc_node_trace, struct kmem_cache *cache, gfp_t gfp, int node, size_t size)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmalloc_trace
KS_HOOK(void *, kmalloc_trace, struct kmem_cache *cache, gfp_t gfp, size_t size)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmalloc_node_trace
KS_HOOK(void *, kmalloc_node_trace, struct kmem_cache *cache, gfp_t gfp, int node, size_t size)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_cache_noprof
KS_HOOK(void *, __kmalloc_cache_noprof, struct kmem_cache *cache, gfp_t gfp, size_t size)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_cache_node_noprof
KS_HOOK(void *, __kmalloc_cache_node_noprof, struct kmem_cache *cache, gfp_t gfp, int node, size_t size)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmalloc_order
KS_HOOK(void *, kmalloc_order, size_t size, gfp_t gfp, unsigned int order)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmalloc_order_trace
KS_HOOK(void *, kmalloc_order_trace, size_t size, gfp_t gfp, unsigned int order)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmalloc_large
KS_HOOK(void *, kmalloc_large, size_t size, gfp_t gfp)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_large_noprof
KS_HOOK(void *, __kmalloc_large_noprof, size_t size, gfp_t gfp)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmalloc_large_node
KS_HOOK(void *, kmalloc_large_node, size_t size, gfp_t gfp, int node)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_large_node_noprof
KS_HOOK(void *, __kmalloc_large_node_noprof, size_t size, gfp_t gfp, int node)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_node
KS_HOOK(void *, __kmalloc_node, size_t size, gfp_t gfp, int node)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_track_caller
KS_HOOK(void *, __kmalloc_track_caller, size_t size, gfp_t gfp, unsigned long caller)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_node_track_caller
KS_HOOK(void *, __kmalloc_node_track_caller, size_t size, gfp_t gfp, int node, unsigned long caller)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
/* With CONFIG_SLAB_BUCKETS (since 6.11) these take a set of caches behind the size. */
#ifdef CONFIG_SLAB_BUCKETS
#define BUCKETS size_t size, void *buckets
#else
#define BUCKETS size_t size
#endif
#ifdef HAVE___kmalloc_node_noprof
KS_HOOK(void *, __kmalloc_node_noprof, BUCKETS, gfp_t gfp, int node)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kmalloc_node_track_caller_noprof
KS_HOOK(void *, __kmalloc_node_track_caller_noprof, BUCKETS, gfp_t gfp, int node, unsigned long caller)
{
	return ks_alloc(size, gfp, KS_CALLER);
}
#endif

/* kvmalloc() takes pages one by one where there is no block: what is small or may not be had comes from kmalloc. */
static void *either(size_t size, gfp_t gfp, unsigned long ip)
{
	void *object = NULL;

	if (size <= KMALLOC_MAX_CACHE_SIZE)
		object = ks_alloc(size, gfp, ip);
	return object ?: ks_vmalloc_sized(size, gfp, ip);
}

#ifdef HAVE_kvmalloc_node
KS_HOOK(void *, kvmalloc_node, size_t size, gfp_t gfp, int node)
{
	return either(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___kvmalloc_node_noprof
#ifdef KS_KVMALLOC_ALIGN
KS_HOOK(void *, __kvmalloc_node_noprof, BUCKETS, unsigned long align, gfp_t gfp, int node)
#else
KS_HOOK(void *, __kvmalloc_node_noprof, BUCKETS, gfp_t gfp, int node)
#endif
{
	return either(size, gfp, KS_CALLER);
}
#endif

#ifdef HAVE_krealloc
KS_HOOK(void *, krealloc, const void *object, size_t size, gfp_t gfp)
{
	return resize(object, size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_krealloc_noprof
KS_HOOK(void *, krealloc_noprof, const void *object, size_t size, gfp_t gfp)
{
	return resize(object, size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_krealloc_node_align_noprof
KS_HOOK(void *, krealloc_node_align_noprof, const void *object, size_t size, unsigned long align, gfp_t gfp, int node)
{
	return resize(object, size, gfp, KS_CALLER);
}
#endif

KS_HOOK(void, kfree, const void *object)
{
	ks_free(object, KS_CALLER);
}

KS_HOOK(void, kfree_sensitive, const void *object)
{
	size_t size = ZERO_OR_NULL_PTR(object) ? 0 : size_of(object);

	if (size)
		memzero_explicit((void *)object, size);
	ks_free(object, KS_CALLER);
}

static void free_either(const void *object, unsigned long ip)
{
	if (is_vmalloc_addr(object))
		ks_vfree_object(object, ip);
	else
		ks_free(object, ip);
}

KS_HOOK(void, kvfree, const void *object)
{
	free_either(object, KS_CALLER);
}

KS_HOOK(void, kvfree_sensitive, const void *object, size_t size)
{
	if (!ZERO_OR_NULL_PTR(object) && ks_check((unsigned long)object, size, true, KS_CALLER))
		memzero_explicit((void *)object, size);
	free_either(object, KS_CALLER);
}

KS_HOOK(size_t, ksize, const void *object)
{
	if (ZERO_OR_NULL_PTR(object))
		return 0;
	return size_of(object) ?: ksize(object);
}

/* Readers may look at the object until the grace period is over, and the kernel frees it then. */
static void forget(unsigned long at, unsigned long ip)
{
	struct ks_region *region;
	unsigned long flags;

	ks_check(at, 1, false, ip);
	raw_spin_lock_irqsave(&ks_lock, flags);
	region = ks_find(at);
	if (region && !region->freed && region->kind != KS_GLOBAL)
		ks_take(region);
	else
		region = NULL;
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	if (region)
		ks_release(region);
}

struct later {
	struct rcu_head head;
	void *object;
	unsigned long ip;
};
static atomic_t later_count;

static void free_late(struct rcu_head *head)
{
	struct later *later = container_of(head, struct later, head);

	ks_free(later->object, later->ip);
	kfree(later);
	atomic_dec(&later_count);
}

/* So that it comes to the quarantine when its readers are done. False: the kernel is to free it. */
static bool free_after_readers(unsigned long at, unsigned long ip)
{
	struct ks_region *region;
	struct later *later;
	unsigned long flags, start = 0;

	ks_check(at, 1, false, ip);
	raw_spin_lock_irqsave(&ks_lock, flags);
	region = ks_find(at);
	if (region && !region->freed && HEAP & KS_MAY(region->kind))
		start = region->start;
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	later = start ? kmalloc(sizeof(*later), GFP_ATOMIC | __GFP_NOWARN) : NULL;
	if (!later)
		return false;
	later->object = (void *)start;
	later->ip = ip;
	atomic_inc(&later_count);
	call_rcu(&later->head, free_late);
	return true;
}

/* What waits for its readers is freed before a module's leaks are looked for. */
void ks_settle(void)
{
	if (atomic_read(&later_count))
		rcu_barrier();
}

#ifdef HAVE_kvfree_call_rcu
/* The second argument: the function (up to 6.1 the head's offset), later the object. */
void ks_kvfree_call_rcu(struct rcu_head *head, void *what);
EXPORT_SYMBOL(ks_kvfree_call_rcu);
void ks_kvfree_call_rcu(struct rcu_head *head, void *what)
{
	void (*real)(struct rcu_head *, void *) = (void *)kvfree_call_rcu;

	unsigned long at = (unsigned long)(head ? (void *)head : what);

	if (free_after_readers(at, KS_CALLER))
		return;
	forget(at, KS_CALLER);
	real(head, what);
}
#endif

static void *duplicate(const void *from, size_t size, gfp_t gfp, unsigned long ip)
{
	void *object;

	ks_check((unsigned long)from, size, false, ip);
	object = ks_alloc(size, gfp, ip);
	if (object)
		memcpy(object, from, size);
	return object;
}

#ifdef HAVE_kmemdup
KS_HOOK(void *, kmemdup, const void *from, size_t size, gfp_t gfp)
{
	return duplicate(from, size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_kmemdup_noprof
KS_HOOK(void *, kmemdup_noprof, const void *from, size_t size, gfp_t gfp)
{
	return duplicate(from, size, gfp, KS_CALLER);
}
#endif

static char *duplicate_text(const char *from, size_t most, gfp_t gfp, unsigned long ip)
{
	size_t length;
	char *text;

	if (!from)
		return NULL;
	length = strnlen(from, most);
	ks_check((unsigned long)from, length < most ? length + 1 : length, false, ip);
	text = ks_alloc(length + 1, gfp, ip);
	if (text) {
		memcpy(text, from, length);
		text[length] = 0;
	}
	return text;
}

/* A constant of the kernel's own is not copied. */
KS_HOOK(const char *, kstrdup_const, const char *from, gfp_t gfp)
{
	const char *text = kstrdup_const(from, gfp);

	if (text && text != from)
		remember((void *)text, (struct ks_region){
			.end = strlen(text) + 1,
			.size = strlen(text) + 1,
			.kind = KS_LARGE,
			.allocated = ks_site_of(KS_CALLER),
		});
	return text;
}

KS_HOOK(char *, kstrdup, const char *from, gfp_t gfp)
{
	return duplicate_text(from, KMALLOC_MAX_SIZE - 1, gfp, KS_CALLER);
}

KS_HOOK(char *, kstrndup, const char *from, size_t most, gfp_t gfp)
{
	return duplicate_text(from, most, gfp, KS_CALLER);
}

KS_HOOK(char *, kmemdup_nul, const char *from, size_t size, gfp_t gfp)
{
	char *text;

	if (!from)
		return NULL;
	ks_check((unsigned long)from, size, false, KS_CALLER);
	text = ks_alloc(size + 1, gfp, KS_CALLER);
	if (text) {
		memcpy(text, from, size);
		text[size] = 0;
	}
	return text;
}

static char *print_text(gfp_t gfp, const char *format, va_list list, unsigned long ip)
{
	va_list again;
	size_t size;
	char *text;

	va_copy(again, list);
	size = vsnprintf(NULL, 0, format, again) + 1;
	va_end(again);
	text = ks_alloc(size, gfp, ip);
	if (text)
		vsnprintf(text, size, format, list);
	return text;
}

KS_HOOK(char *, kvasprintf, gfp_t gfp, const char *format, va_list list)
{
	return print_text(gfp, format, list, KS_CALLER);
}

KS_HOOK(char *, kasprintf, gfp_t gfp, const char *format, ...)
{
	va_list list;
	char *text;

	va_start(list, format);
	text = print_text(gfp, format, list, KS_CALLER);
	va_end(list);
	return text;
}

static void *from_user(const void __user *from, size_t size, bool text, unsigned long ip)
{
	char *object = ks_alloc(size + text, GFP_USER, ip);

	if (!object)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(object, from, size)) {
		ks_free(object, ip);
		return ERR_PTR(-EFAULT);
	}
	if (text)
		object[size] = 0;
	return object;
}

KS_HOOK(void *, memdup_user, const void __user *from, size_t size)
{
	return from_user(from, size, false, KS_CALLER);
}

KS_HOOK(void *, memdup_user_nul, const void __user *from, size_t size)
{
	return from_user(from, size, true, KS_CALLER);
}

KS_HOOK(char *, strndup_user, const char __user *from, long most)
{
	long size = strnlen_user(from, most);
	char *text;

	if (!size)
		return ERR_PTR(-EFAULT);
	if (size > most)
		return ERR_PTR(-EINVAL);
	text = from_user(from, size, false, KS_CALLER);
	if (!IS_ERR(text))
		text[size - 1] = 0;
	return text;
}

/* Slab caches. */

static int cache_number(struct kmem_cache *cache)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(caches); i++)
		if (READ_ONCE(caches[i].cache) == cache)
			return i;
	return -1;
}

static struct kmem_cache *note_cache(struct kmem_cache *cache, const char *name, size_t size, slab_flags_t flags)
{
	int i = cache ? cache_number(NULL) : -1;

	if (i >= 0) {
		caches[i].size = size;
		caches[i].name = kstrdup(name, GFP_KERNEL);
		caches[i].by_rcu = flags & SLAB_TYPESAFE_BY_RCU;
		WRITE_ONCE(caches[i].cache, cache);
	}
	return cache;
}

#ifdef HAVE_kmem_cache_create
KS_HOOK(struct kmem_cache *, kmem_cache_create, const char *name, unsigned int size, unsigned int align,
	slab_flags_t flags, void (*ctor)(void *))
{
	return note_cache(kmem_cache_create(name, size + KS_RIGHT, align, flags, ctor), name, size, flags);
}
#endif
#ifdef HAVE_kmem_cache_create_usercopy
KS_HOOK(struct kmem_cache *, kmem_cache_create_usercopy, const char *name, unsigned int size, unsigned int align,
	slab_flags_t flags, unsigned int offset, unsigned int usersize, void (*ctor)(void *))
{
	return note_cache(kmem_cache_create_usercopy(name, size + KS_RIGHT, align, flags, offset, usersize, ctor), name,
			  size, flags);
}
#endif
#ifdef HAVE___kmem_cache_create_args
KS_HOOK(struct kmem_cache *, __kmem_cache_create_args, const char *name, unsigned int size,
	struct kmem_cache_args *args, slab_flags_t flags)
{
	return note_cache(__kmem_cache_create_args(name, size + KS_RIGHT, args, flags), name, size, flags);
}
#endif

KS_HOOK(unsigned int, kmem_cache_size, struct kmem_cache *cache)
{
	int i = cache_number(cache);

	return i >= 0 ? caches[i].size : kmem_cache_size(cache);
}

KS_HOOK(void, kmem_cache_destroy, struct kmem_cache *cache)
{
	int i = cache ? cache_number(cache) : -1;

	ks_sleeps("kmem_cache_destroy", KS_CALLER);
	if (cache)
		ks_drain_cache(cache);
	if (i >= 0)
		WRITE_ONCE(caches[i].cache, NULL);
	kmem_cache_destroy(cache);
}

static void *note_object(void *object, struct kmem_cache *cache, unsigned long ip)
{
	int i = cache_number(cache);

	if (!object || (i >= 0 && caches[i].by_rcu))
		return object;
	return remember(object, (struct ks_region){
		.end = i >= 0 ? caches[i].size + KS_RIGHT : kmem_cache_size(cache),
		.size = i >= 0 ? caches[i].size : kmem_cache_size(cache),
		.kind = KS_CACHE,
		.cache = cache,
		.label = i >= 0 ? caches[i].name : NULL,
		.allocated = ks_site_of(ip),
	});
}

#ifdef HAVE_kmem_cache_alloc
KS_HOOK(void *, kmem_cache_alloc, struct kmem_cache *cache, gfp_t gfp)
{
	sleeps("kmem_cache_alloc(GFP_KERNEL)", gfp, KS_CALLER);
	return note_object(kmem_cache_alloc(cache, gfp), cache, KS_CALLER);
}
#endif
#ifdef HAVE_kmem_cache_alloc_noprof
KS_HOOK(void *, kmem_cache_alloc_noprof, struct kmem_cache *cache, gfp_t gfp)
{
	sleeps("kmem_cache_alloc(GFP_KERNEL)", gfp, KS_CALLER);
	return note_object(kmem_cache_alloc_noprof(cache, gfp), cache, KS_CALLER);
}
#endif
#ifdef HAVE_kmem_cache_alloc_node
KS_HOOK(void *, kmem_cache_alloc_node, struct kmem_cache *cache, gfp_t gfp, int node)
{
	sleeps("kmem_cache_alloc_node(GFP_KERNEL)", gfp, KS_CALLER);
	return note_object(kmem_cache_alloc_node(cache, gfp, node), cache, KS_CALLER);
}
#endif
#ifdef HAVE_kmem_cache_alloc_node_noprof
KS_HOOK(void *, kmem_cache_alloc_node_noprof, struct kmem_cache *cache, gfp_t gfp, int node)
{
	sleeps("kmem_cache_alloc_node(GFP_KERNEL)", gfp, KS_CALLER);
	return note_object(kmem_cache_alloc_node_noprof(cache, gfp, node), cache, KS_CALLER);
}
#endif

KS_HOOK(void, kmem_cache_free, struct kmem_cache *cache, void *object)
{
	if (!object)
		return;
	switch (ks_free_start((unsigned long)object, KS_CALLER, "kmem_cache_free", KS_MAY(KS_CACHE))) {
	case KS_NOT_OURS:
		kmem_cache_free(cache, object);
		break;
	case KS_OURS:
		ks_drain(false);
		break;
	case KS_WRONG:
		break;
	}
}

KS_HOOK(void, kmem_cache_free_bulk, struct kmem_cache *cache, size_t count, void **objects)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (cache)
			ks_kmem_cache_free(cache, objects[i]);
		else
			ks_free(objects[i], KS_CALLER);
	}
}

int ks_slabs_start(void)
{
	unsigned int order;

	for (order = SMALLEST; order <= LARGEST; order++) {
		/* An area for user copies keeps the cache from being merged with another. */
		classes[order] = kmem_cache_create_usercopy(class_names[order], 1U << order, 1U << order, 0, 0,
							    1U << order, NULL);
		if (!classes[order])
			return -ENOMEM;
	}
	return 0;
}

void ks_slabs_stop(void)
{
	unsigned int order;

	for (order = SMALLEST; order <= LARGEST; order++)
		kmem_cache_destroy(classes[order]);
}
