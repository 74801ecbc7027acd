// SPDX-License-Identifier: GPL-2.0
/* Whole pages, and memory of vmalloc(). */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/vmalloc.h>
#include "ks.h"

#define MOST_GUARDED 3 /* orders above get no pages of nobody's around them */

/*
 * Pages in the middle of a block four times as large; of the rest the two beside them stay as guards, and the
 * others go back. Each page has a count of its own then, so that put_page() works as on any.
 */
static struct page *guarded(gfp_t gfp, unsigned int order)
{
	struct page *block = alloc_pages(gfp | __GFP_NOWARN, order + 2);
	unsigned int i, first = 1U << order, last = 2U << order;

	if (!block)
		return NULL;
	split_page(block, order + 2);
	for (i = 0; i < 4U << order; i++)
		if (i < first - 1 || i > last)
			__free_page(block + i);
	return block + first;
}

static struct page *obtain(gfp_t gfp, unsigned int order, unsigned long ip)
{
	struct page *page = NULL;
	struct ks_region region = { .kind = KS_PAGES, .order = order, .allocated = ks_site_of(ip) };

	if (gfpflags_allow_blocking(gfp))
		ks_sleeps("alloc_pages(GFP_KERNEL)", ip);
	if (order <= MOST_GUARDED && !(gfp & (__GFP_COMP | __GFP_HIGHMEM)))
		page = guarded(gfp, order);
	if (page)
		region.left = PAGE_SIZE / 2;
	else
		page = alloc_pages(gfp, order);
	if (!page || PageHighMem(page))
		return page;
	region.start = (unsigned long)page_address(page);
	region.size = PAGE_SIZE << order;
	region.end = region.start + region.size + (region.left ? PAGE_SIZE : 0);
	if (!ks_add(&region) && region.left) {
		/* No memory to note it: whoever frees it by order takes it for a block of that order. */
		ks_pages_free(&region);
		page = alloc_pages(gfp, order);
	}
	return page;
}

void ks_guards_free(struct ks_region *region)
{
	if (!region->left)
		return;
	__free_page(virt_to_page((void *)(region->start - PAGE_SIZE)));
	__free_page(virt_to_page((void *)(region->start + region->size)));
}

void ks_pages_free(struct ks_region *region)
{
	struct page *page = virt_to_page((void *)region->start);
	unsigned int i;

	if (!region->left) {
		__free_pages(page, region->order);
		return;
	}
	for (i = 0; i < 1U << region->order; i++)
		__free_page(page + i);
	ks_guards_free(region);
}

#ifdef HAVE_alloc_pages
KS_HOOK(struct page *, alloc_pages, gfp_t gfp, unsigned int order)
{
	return obtain(gfp, order, KS_CALLER);
}
#endif
#ifdef HAVE_alloc_pages_noprof
KS_HOOK(struct page *, alloc_pages_noprof, gfp_t gfp, unsigned int order)
{
	return obtain(gfp, order, KS_CALLER);
}
#endif
#ifdef HAVE_alloc_pages_current
KS_HOOK(struct page *, alloc_pages_current, gfp_t gfp, unsigned int order)
{
	return obtain(gfp, order, KS_CALLER);
}
#endif

static unsigned long address(struct page *page)
{
	return page ? (unsigned long)page_address(page) : 0;
}

#ifdef HAVE___get_free_pages
KS_HOOK(unsigned long, __get_free_pages, gfp_t gfp, unsigned int order)
{
	return address(obtain(gfp & ~__GFP_HIGHMEM, order, KS_CALLER));
}
#endif
#ifdef HAVE_get_free_pages_noprof
KS_HOOK(unsigned long, get_free_pages_noprof, gfp_t gfp, unsigned int order)
{
	return address(obtain(gfp & ~__GFP_HIGHMEM, order, KS_CALLER));
}
#endif
#ifdef HAVE_get_zeroed_page
KS_HOOK(unsigned long, get_zeroed_page, gfp_t gfp)
{
	return address(obtain((gfp | __GFP_ZERO) & ~__GFP_HIGHMEM, 0, KS_CALLER));
}
#endif
#ifdef HAVE_get_zeroed_page_noprof
KS_HOOK(unsigned long, get_zeroed_page_noprof, gfp_t gfp)
{
	return address(obtain((gfp | __GFP_ZERO) & ~__GFP_HIGHMEM, 0, KS_CALLER));
}
#endif

static void give_back(unsigned long at, unsigned int order, unsigned long ip)
{
	switch (ks_free_start(at, ip, "free_pages", KS_MAY(KS_PAGES))) {
	case KS_NOT_OURS:
		free_pages(at, order);
		break;
	case KS_OURS:
		ks_drain(false);
		break;
	case KS_WRONG:
		break;
	}
}

KS_HOOK(void, free_pages, unsigned long at, unsigned int order)
{
	if (at)
		give_back(at, order, KS_CALLER);
}

KS_HOOK(void, __free_pages, struct page *page, unsigned int order)
{
	if (page_count(page) != 1 || PageHighMem(page))
		__free_pages(page, order); /* others have it still */
	else
		give_back((unsigned long)page_address(page), order, KS_CALLER);
}

/* Each page of these has a count of its own; the kernel is heard when it frees the first. */
static void *note_exact(void *at, size_t size, unsigned long ip)
{
	struct ks_region region = {
		.start = (unsigned long)at,
		.end = (unsigned long)at + PAGE_ALIGN(size),
		.size = size,
		.kind = KS_PAGES,
		.allocated = ks_site_of(ip),
	};

	if (at)
		ks_add(&region);
	return at;
}

#ifdef HAVE_alloc_pages_exact
KS_HOOK(void *, alloc_pages_exact, size_t size, gfp_t gfp)
{
	return note_exact(alloc_pages_exact(size, gfp), size, KS_CALLER);
}
#endif
#ifdef HAVE_alloc_pages_exact_noprof
KS_HOOK(void *, alloc_pages_exact_noprof, size_t size, gfp_t gfp)
{
	return note_exact(alloc_pages_exact_noprof(size, gfp), size, KS_CALLER);
}
#endif

/* A variable of each processor's: its address is no memory, and only a leak can be seen. */
static void __percpu *note_percpu(void __percpu *at, size_t size, unsigned long ip)
{
	struct ks_region region = {
		.start = (__force unsigned long)at,
		.end = (__force unsigned long)at + size,
		.size = size,
		.kind = KS_PERCPU,
		.allocated = ks_site_of(ip),
	};

	if (at)
		ks_add(&region);
	return at;
}

#ifdef HAVE___alloc_percpu
KS_HOOK(void __percpu *, __alloc_percpu, size_t size, size_t align)
{
	ks_sleeps("alloc_percpu", KS_CALLER);
	return note_percpu(__alloc_percpu(size, align), size, KS_CALLER);
}
KS_HOOK(void __percpu *, __alloc_percpu_gfp, size_t size, size_t align, gfp_t gfp)
{
	return note_percpu(__alloc_percpu_gfp(size, align, gfp), size, KS_CALLER);
}
#endif
#ifdef HAVE_pcpu_alloc_noprof
KS_HOOK(void __percpu *, pcpu_alloc_noprof, size_t size, size_t align, bool reserved, gfp_t gfp)
{
	return note_percpu(pcpu_alloc_noprof(size, align, reserved, gfp), size, KS_CALLER);
}
#endif

KS_HOOK(void, free_percpu, void __percpu *at)
{
	struct ks_region *region;
	unsigned long flags;

	raw_spin_lock_irqsave(&ks_lock, flags);
	region = at ? ks_find((__force unsigned long)at) : NULL;
	if (region && region->kind == KS_PERCPU)
		ks_take(region);
	else
		region = NULL;
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	if (region)
		ks_release(region);
	free_percpu(at);
}

/* vmalloc(): the kernel keeps an unmapped page behind each; what is left of the last page belongs to nobody. */
void *ks_vmalloc_region(void *at, size_t size, unsigned long ip)
{
	struct ks_region region = {
		.start = (unsigned long)at,
		.end = (unsigned long)at + PAGE_ALIGN(size),
		.size = size,
		.kind = KS_VMALLOC,
		.allocated = ks_site_of(ip),
	};

	if (at && size)
		ks_add(&region);
	return at;
}

void *ks_vmalloc_sized(size_t size, gfp_t gfp, unsigned long ip)
{
	ks_sleeps("vmalloc", ip);
	return ks_vmalloc_region(__vmalloc(size, gfp), size, ip);
}

#define KS_VMALLOC_HOOK(name, call)                                             \
	KS_HOOK(void *, name, unsigned long size)                               \
	{                                                                       \
		ks_sleeps("vmalloc", KS_CALLER);                                \
		return ks_vmalloc_region(call(size), size, KS_CALLER);          \
	}

#ifdef HAVE_vmalloc
KS_VMALLOC_HOOK(vmalloc, vmalloc)
KS_VMALLOC_HOOK(vzalloc, vzalloc)
KS_VMALLOC_HOOK(vmalloc_user, vmalloc_user)
KS_VMALLOC_HOOK(vmalloc_32, vmalloc_32)
#endif
#ifdef HAVE_vmalloc_noprof
KS_VMALLOC_HOOK(vmalloc_noprof, vmalloc_noprof)
KS_VMALLOC_HOOK(vzalloc_noprof, vzalloc_noprof)
KS_VMALLOC_HOOK(vmalloc_user_noprof, vmalloc_user_noprof)
KS_VMALLOC_HOOK(vmalloc_32_noprof, vmalloc_32_noprof)
#endif
#ifdef HAVE___vmalloc
KS_HOOK(void *, __vmalloc, unsigned long size, gfp_t gfp)
{
	return ks_vmalloc_sized(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE___vmalloc_noprof
KS_HOOK(void *, __vmalloc_noprof, unsigned long size, gfp_t gfp)
{
	return ks_vmalloc_sized(size, gfp, KS_CALLER);
}
#endif
#ifdef HAVE_vmalloc_node
KS_HOOK(void *, vmalloc_node, unsigned long size, int node)
{
	return ks_vmalloc_sized(size, GFP_KERNEL, KS_CALLER);
}
KS_HOOK(void *, vzalloc_node, unsigned long size, int node)
{
	return ks_vmalloc_sized(size, GFP_KERNEL | __GFP_ZERO, KS_CALLER);
}
#endif

void ks_vfree_object(const void *object, unsigned long ip)
{
	switch (ks_free_start((unsigned long)object, ip, "vfree", KS_MAY(KS_VMALLOC))) {
	case KS_NOT_OURS:
		vfree(object);
		break;
	case KS_OURS:
		ks_drain(false);
		break;
	case KS_WRONG:
		break;
	}
}

KS_HOOK(void, vfree, const void *object)
{
	if (!object)
		return;
	if (!in_interrupt())
		ks_sleeps("vfree", KS_CALLER);
	ks_vfree_object(object, KS_CALLER);
}
