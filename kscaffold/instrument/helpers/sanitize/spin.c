// SPDX-License-Identifier: GPL-2.0
/* Spinlocks and reader-writer locks. */
#include <linux/spinlock.h>
#include "ks.h"
#include "lock.h"

/*
 * A task that would wait for itself is not let in: the interrupts are turned off as it asked, and that is all,
 * so that its unlock finds what it expects.
 */
#define KS_SPIN_HOOKS(word, type, kind)                                                                      \
	KS_HOOK(void, _raw_##word##_lock, type *lock)                                                        \
	{                                                                                                    \
		if (!ks_lock_before(lock, sizeof(*lock), kind, KS_NOTHING_OFF, #word "_lock", KS_CALLER))    \
			return;                                                                              \
		_raw_##word##_lock(lock);                                                                    \
		ks_lock_after(lock, kind, KS_NOTHING_OFF, KS_CALLER);                                        \
	}                                                                                                    \
	KS_HOOK(void, _raw_##word##_lock_bh, type *lock)                                                     \
	{                                                                                                    \
		if (!ks_lock_before(lock, sizeof(*lock), kind, KS_BH_OFF, #word "_lock_bh", KS_CALLER)) {    \
			local_bh_disable();                                                                  \
			return;                                                                              \
		}                                                                                            \
		_raw_##word##_lock_bh(lock);                                                                 \
		ks_lock_after(lock, kind, KS_BH_OFF, KS_CALLER);                                             \
	}                                                                                                    \
	KS_HOOK(void, _raw_##word##_lock_irq, type *lock)                                                    \
	{                                                                                                    \
		if (!ks_lock_before(lock, sizeof(*lock), kind, KS_IRQ_OFF, #word "_lock_irq", KS_CALLER)) {  \
			local_irq_disable();                                                                 \
			return;                                                                              \
		}                                                                                            \
		_raw_##word##_lock_irq(lock);                                                                \
		ks_lock_after(lock, kind, KS_IRQ_OFF, KS_CALLER);                                            \
	}                                                                                                    \
	KS_HOOK(unsigned long, _raw_##word##_lock_irqsave, type *lock)                                       \
	{                                                                                                    \
		unsigned long flags;                                                                         \
                                                                                                             \
		if (!ks_lock_before(lock, sizeof(*lock), kind, KS_IRQ_OFF, #word "_lock_irqsave",            \
				    KS_CALLER)) {                                                            \
			local_irq_save(flags);                                                               \
			return flags;                                                                        \
		}                                                                                            \
		flags = _raw_##word##_lock_irqsave(lock);                                                    \
		ks_lock_after(lock, kind, KS_IRQ_OFF, KS_CALLER);                                            \
		return flags;                                                                                \
	}                                                                                                    \
	KS_HOOK(int, _raw_##word##_trylock, type *lock)                                                      \
	{                                                                                                    \
		int got;                                                                                     \
                                                                                                             \
		ks_check((unsigned long)lock, sizeof(*lock), true, KS_CALLER);                               \
		got = _raw_##word##_trylock(lock);                                                           \
		if (got)                                                                                     \
			ks_lock_after(lock, kind, KS_IRQ_OFF, KS_CALLER);                                    \
		return got;                                                                                  \
	}                                                                                                    \
	KS_HOOK(void, _raw_##word##_unlock, type *lock)                                                      \
	{                                                                                                    \
		if (ks_unlock(lock, sizeof(*lock), kind, word##_is_locked(lock), KS_CALLER))                 \
			_raw_##word##_unlock(lock);                                                          \
	}                                                                                                    \
	KS_HOOK(void, _raw_##word##_unlock_bh, type *lock)                                                   \
	{                                                                                                    \
		if (ks_unlock(lock, sizeof(*lock), kind, word##_is_locked(lock), KS_CALLER))                 \
			_raw_##word##_unlock_bh(lock);                                                       \
		else                                                                                         \
			local_bh_enable();                                                                   \
	}                                                                                                    \
	KS_HOOK(void, _raw_##word##_unlock_irq, type *lock)                                                  \
	{                                                                                                    \
		if (ks_unlock(lock, sizeof(*lock), kind, word##_is_locked(lock), KS_CALLER))                 \
			_raw_##word##_unlock_irq(lock);                                                      \
		else                                                                                         \
			local_irq_enable();                                                                  \
	}                                                                                                    \
	KS_HOOK(void, _raw_##word##_unlock_irqrestore, type *lock, unsigned long flags)                      \
	{                                                                                                    \
		if (ks_unlock(lock, sizeof(*lock), kind, word##_is_locked(lock), KS_CALLER))                 \
			_raw_##word##_unlock_irqrestore(lock, flags);                                        \
		else                                                                                         \
			local_irq_restore(flags);                                                            \
	}

#define spin_is_locked(lock) raw_spin_is_locked(lock)
#define read_is_locked(lock) rwlock_is_locked(lock)
#define write_is_locked(lock) rwlock_is_locked(lock)

static bool rwlock_is_locked(rwlock_t *lock)
{
#ifdef CONFIG_QUEUED_RWLOCKS
	return atomic_read(&lock->raw_lock.cnts);
#else
	return true;
#endif
}

KS_SPIN_HOOKS(spin, raw_spinlock_t, KS_SPIN)
KS_SPIN_HOOKS(read, rwlock_t, KS_READ)
KS_SPIN_HOOKS(write, rwlock_t, KS_WRITE)

KS_HOOK(int, _raw_spin_trylock_bh, raw_spinlock_t *lock)
{
	int got;

	ks_check((unsigned long)lock, sizeof(*lock), true, KS_CALLER);
	got = _raw_spin_trylock_bh(lock);
	if (got)
		ks_lock_after(lock, KS_SPIN, KS_IRQ_OFF, KS_CALLER);
	return got;
}
