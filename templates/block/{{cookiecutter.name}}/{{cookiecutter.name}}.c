// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "compat.h"

static unsigned int megabytes = 4;
module_param(megabytes, uint, 0444);
MODULE_PARM_DESC(megabytes, "size of the disk");

static char *memory;
static struct gendisk *disk;

/*
 * A bio is one request to read or write: where on the disk, and a list of pieces
 * of memory. The block layer has seen to it that it lies within the disk and is
 * made of whole sectors of 512 bytes. It may come from several CPUs at once; who
 * writes the same sector twice at the same time gets either, as from any disk.
 *
 * A disk that takes its time would start the transfer here and call bio_endio()
 * when it is done; one with a queue of its own uses blk-mq instead.
 */
static void ram_submit_bio(struct bio *bio)
{
	char *place = memory + (bio->bi_iter.bi_sector << SECTOR_SHIFT);
	struct bvec_iter iter;
	struct bio_vec piece;

	/* Others, such as discard, come only to disks that say they can. */
	if (bio_op(bio) != REQ_OP_READ && bio_op(bio) != REQ_OP_WRITE) {
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
		return;
	}

	bio_for_each_segment(piece, bio, iter) {
		if (bio_op(bio) == REQ_OP_WRITE)
			memcpy_from_bvec(place, &piece);
		else
			memcpy_to_bvec(&piece, place);
		place += piece.bv_len;
	}
	bio_endio(bio);
}

#if KERNEL_VERSION(5, 16, 0) > LINUX_VERSION_CODE
static blk_qc_t ram_submit_bio_and_return(struct bio *bio)
{
	ram_submit_bio(bio);

	return BLK_QC_T_NONE;
}

#define ram_submit_bio ram_submit_bio_and_return
#endif

static const struct block_device_operations ram_operations = {
	/* The module can't be removed while the disk is open or mounted. */
	.owner = THIS_MODULE,
	.submit_bio = ram_submit_bio,
};

static int __init {{ cookiecutter.ident }}_init(void)
{
	int err;

	/* Nobody may go past the end of the sizes that follow. */
	if (!megabytes || megabytes > 1024)
		return -EINVAL;

	/* Zeroed: what was in that memory before is nobody's business. */
	memory = vzalloc((size_t)megabytes * SZ_1M);
	if (!memory)
		return -ENOMEM;

	disk = compat_alloc_disk();
	if (IS_ERR(disk)) {
		err = PTR_ERR(disk);
		goto free_memory;
	}
	strscpy(disk->disk_name, KBUILD_MODNAME, DISK_NAME_LEN);
	disk->fops = &ram_operations;
	set_capacity(disk, (sector_t)megabytes * SZ_1M / SECTOR_SIZE);

	/* Reads the disk already, to find partitions: all has to be ready. */
	err = compat_add_disk(disk);
	if (err)
		goto free_disk;
	pr_info("see /dev/%s, %u MB\n", disk->disk_name, megabytes);

	return 0;

free_disk:
	compat_put_disk(disk);
free_memory:
	vfree(memory);

	return err;
}

static void __exit {{ cookiecutter.ident }}_exit(void)
{
	/* Waits for the bios that are under way; no new ones come. */
	del_gendisk(disk);
	compat_put_disk(disk);
	vfree(memory);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
