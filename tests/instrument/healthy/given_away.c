// SPDX-License-Identifier: GPL-2.0
/* Memory that the kernel frees for the module, and memory that looks strange and is right. */
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

struct flexible {
	int count;
	char text[];
};

static struct kmem_cache *cache;

static void made(void *object)
{
	memset(object, 0, 48);
}

static int __init given_away_init(void)
{
	struct flexible *f;
	struct page *page;
	const char *name;
	void *p, *q;
	char *text;

	/* put_page() frees what alloc_page() gave. */
	page = alloc_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	memset(page_address(page), 1, PAGE_SIZE);
	put_page(page);

	f = kmalloc(struct_size(f, text, 10), GFP_KERNEL);
	if (!f)
		return -ENOMEM;
	f->count = 10;
	memset(f->text, 'x', 9);
	f->text[9] = 0;
	strim(f->text);
	f = krealloc(f, struct_size(f, text, 3000), GFP_KERNEL);
	if (!f)
		return -ENOMEM;
	f->text[2999] = 0;
	kfree(f);

	kfree(NULL);
	kvfree(NULL);
	vfree(NULL);
	p = kmalloc(0, GFP_KERNEL);
	kfree(p);

	/* A constant is not copied, and not freed. */
	name = kstrdup_const("constant", GFP_KERNEL);
	kfree_const(name);
	text = kasprintf(GFP_KERNEL, "%s-%d", "made", 5);
	if (!text || strcmp(text, "made-5"))
		return -EINVAL;
	kfree_const(text);

	cache = kmem_cache_create("given_away", 48, 16, SLAB_HWCACHE_ALIGN, made);
	if (!cache)
		return -ENOMEM;
	p = kmem_cache_alloc(cache, GFP_KERNEL);
	q = kmem_cache_alloc(cache, GFP_KERNEL);
	if (p)
		memset(p, 2, 48);
	kmem_cache_free(cache, p);
	if (q)
		kmem_cache_free(cache, q);

	p = kvmalloc(1 << 20, GFP_KERNEL);
	if (p)
		memset(p, 3, 1 << 20);
	kvfree(p);
	p = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (p && ((unsigned long)p & (PAGE_SIZE - 1)))
		return -EINVAL;
	kfree(p);
	p = alloc_pages_exact(3 * PAGE_SIZE, GFP_KERNEL);
	if (p) {
		memset(p, 4, 3 * PAGE_SIZE);
		free_pages_exact(p, 3 * PAGE_SIZE);
	}
	return 0;
}

static void __exit given_away_exit(void)
{
	kmem_cache_destroy(cache);
}

module_init(given_away_init);
module_exit(given_away_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("lets the kernel free");
