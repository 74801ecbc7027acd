/* SPDX-License-Identifier: {{ cookiecutter.spdx }} */
#ifndef COMPAT_H
#define COMPAT_H

/*
 * What making a disk is called in which kernel. A module for one kernel only
 * needs one of each, and no compat.h.
 */

#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/scatterlist.h>
#include <linux/version.h>
#if KERNEL_VERSION(5, 18, 0) > LINUX_VERSION_CODE
#include <linux/genhd.h>
#endif

/* A disk without partitions' numbers set apart, and its queue; or ERR_PTR(). */
static inline struct gendisk *compat_alloc_disk(void)
{
#if KERNEL_VERSION(6, 9, 0) <= LINUX_VERSION_CODE
	/* NULL: the usual limits, such as blocks of 512 bytes. */
	return blk_alloc_disk(NULL, NUMA_NO_NODE);
#elif KERNEL_VERSION(5, 14, 0) <= LINUX_VERSION_CODE
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	return disk ? disk : ERR_PTR(-ENOMEM);
#else
	struct gendisk *disk = alloc_disk(0);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	disk->flags |= GENHD_FL_EXT_DEVT;
	disk->queue = blk_alloc_queue(NUMA_NO_NODE);
	if (!disk->queue) {
		put_disk(disk);
		return ERR_PTR(-ENOMEM);
	}
	return disk;
#endif
}

/* Before 5.15 this can't say that it failed. */
static inline int compat_add_disk(struct gendisk *disk)
{
#if KERNEL_VERSION(5, 15, 0) <= LINUX_VERSION_CODE
	return add_disk(disk);
#else
	add_disk(disk);
	return 0;
#endif
}

static inline void compat_put_disk(struct gendisk *disk)
{
#if KERNEL_VERSION(6, 0, 0) <= LINUX_VERSION_CODE
	put_disk(disk);
#elif KERNEL_VERSION(5, 14, 0) <= LINUX_VERSION_CODE
	blk_cleanup_disk(disk);
#else
	blk_cleanup_queue(disk->queue);
	put_disk(disk);
#endif
}

#if KERNEL_VERSION(5, 15, 0) > LINUX_VERSION_CODE
static inline void memcpy_from_bvec(char *to, struct bio_vec *bvec)
{
	struct scatterlist page;

	sg_init_table(&page, 1);
	sg_set_page(&page, bvec->bv_page, bvec->bv_len, bvec->bv_offset);
	sg_copy_to_buffer(&page, 1, to, bvec->bv_len);
}

static inline void memcpy_to_bvec(struct bio_vec *bvec, const char *from)
{
	struct scatterlist page;

	sg_init_table(&page, 1);
	sg_set_page(&page, bvec->bv_page, bvec->bv_len, bvec->bv_offset);
	sg_copy_from_buffer(&page, 1, from, bvec->bv_len);
}
#endif

#endif /* COMPAT_H */
