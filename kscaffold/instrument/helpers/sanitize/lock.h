/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KS_LOCK_H
#define KS_LOCK_H

/* From KS_MUTEX on: who waits for these sleeps. */
enum ks_lock { KS_SPIN, KS_READ, KS_WRITE, KS_MUTEX, KS_RWSEM_READ, KS_RWSEM_WRITE };

/* What taking a lock turns off besides preemption. */
enum ks_masks { KS_NOTHING_OFF, KS_BH_OFF, KS_IRQ_OFF };

/* Called before a lock is waited for; false where the task would wait for itself: then it must not. */
bool ks_lock_before(const void *lock, size_t size, enum ks_lock kind, enum ks_masks masks, const char *name,
		    unsigned long ip);
void ks_lock_after(const void *lock, enum ks_lock kind, enum ks_masks masks, unsigned long ip);
/* Called before an unlock; false where there is nothing to unlock. `locked`: what the lock itself says. */
bool ks_unlock(const void *lock, size_t size, enum ks_lock kind, bool locked, unsigned long ip);
void ks_lock_bad_magic(const void *lock, unsigned long ip);

#endif
