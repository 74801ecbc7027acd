// SPDX-License-Identifier: GPL-2.0
/* Locks whose waiters sleep. */
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/string.h>
#include "ks.h"
#include "lock.h"

static DEFINE_MUTEX(unlocked);

/*
 * Memory of zeros passes for an unlocked mutex until somebody has to wait for it. (In 7.2 it is one: who waits is no
 * list any more.)
 */
static bool mutex_ready(struct mutex *lock, unsigned long ip)
{
	if (ks_check((unsigned long)lock, sizeof(*lock), true, ip) && !memchr_inv(lock, 0, sizeof(*lock)) &&
	    memchr_inv(&unlocked, 0, sizeof(unlocked)))
		ks_lock_bad_magic(lock, ip);
	return ks_lock_before(lock, sizeof(*lock), KS_MUTEX, KS_NOTHING_OFF, "mutex_lock", ip);
}

KS_HOOK(void, mutex_lock, struct mutex *lock)
{
	if (!mutex_ready(lock, KS_CALLER))
		return;
	mutex_lock(lock);
	ks_lock_after(lock, KS_MUTEX, KS_NOTHING_OFF, KS_CALLER);
}

KS_HOOK(int, mutex_lock_interruptible, struct mutex *lock)
{
	int error;

	if (!mutex_ready(lock, KS_CALLER))
		return 0;
	error = mutex_lock_interruptible(lock);
	if (!error)
		ks_lock_after(lock, KS_MUTEX, KS_NOTHING_OFF, KS_CALLER);
	return error;
}

KS_HOOK(int, mutex_lock_killable, struct mutex *lock)
{
	int error;

	if (!mutex_ready(lock, KS_CALLER))
		return 0;
	error = mutex_lock_killable(lock);
	if (!error)
		ks_lock_after(lock, KS_MUTEX, KS_NOTHING_OFF, KS_CALLER);
	return error;
}

KS_HOOK(int, mutex_trylock, struct mutex *lock)
{
	int got;

	ks_check((unsigned long)lock, sizeof(*lock), true, KS_CALLER);
	got = mutex_trylock(lock);
	if (got)
		ks_lock_after(lock, KS_MUTEX, KS_NOTHING_OFF, KS_CALLER);
	return got;
}

KS_HOOK(void, mutex_unlock, struct mutex *lock)
{
	if (ks_unlock(lock, sizeof(*lock), KS_MUTEX, mutex_is_locked(lock), KS_CALLER))
		mutex_unlock(lock);
}

#define KS_RWSEM_HOOKS(word, kind)                                                                           \
	KS_HOOK(void, down_##word, struct rw_semaphore *lock)                                                \
	{                                                                                                    \
		if (!ks_lock_before(lock, sizeof(*lock), kind, KS_NOTHING_OFF, "down_" #word, KS_CALLER))    \
			return;                                                                              \
		down_##word(lock);                                                                           \
		ks_lock_after(lock, kind, KS_NOTHING_OFF, KS_CALLER);                                        \
	}                                                                                                    \
	KS_HOOK(int, down_##word##_killable, struct rw_semaphore *lock)                                      \
	{                                                                                                    \
		int error;                                                                                   \
                                                                                                             \
		if (!ks_lock_before(lock, sizeof(*lock), kind, KS_NOTHING_OFF, "down_" #word, KS_CALLER))    \
			return 0;                                                                            \
		error = down_##word##_killable(lock);                                                        \
		if (!error)                                                                                  \
			ks_lock_after(lock, kind, KS_NOTHING_OFF, KS_CALLER);                                \
		return error;                                                                                \
	}                                                                                                    \
	KS_HOOK(int, down_##word##_trylock, struct rw_semaphore *lock)                                       \
	{                                                                                                    \
		int got;                                                                                     \
                                                                                                             \
		ks_check((unsigned long)lock, sizeof(*lock), true, KS_CALLER);                               \
		got = down_##word##_trylock(lock);                                                           \
		if (got)                                                                                     \
			ks_lock_after(lock, kind, KS_NOTHING_OFF, KS_CALLER);                                \
		return got;                                                                                  \
	}                                                                                                    \
	KS_HOOK(void, up_##word, struct rw_semaphore *lock)                                                  \
	{                                                                                                    \
		if (ks_unlock(lock, sizeof(*lock), kind, rwsem_is_locked(lock), KS_CALLER))                  \
			up_##word(lock);                                                                     \
	}

KS_RWSEM_HOOKS(read, KS_RWSEM_READ)
KS_RWSEM_HOOKS(write, KS_RWSEM_WRITE)

#ifdef HAVE_down_read_interruptible
KS_HOOK(int, down_read_interruptible, struct rw_semaphore *lock)
{
	int error;

	if (!ks_lock_before(lock, sizeof(*lock), KS_RWSEM_READ, KS_NOTHING_OFF, "down_read", KS_CALLER))
		return 0;
	error = down_read_interruptible(lock);
	if (!error)
		ks_lock_after(lock, KS_RWSEM_READ, KS_NOTHING_OFF, KS_CALLER);
	return error;
}
#endif

KS_HOOK(void, downgrade_write, struct rw_semaphore *lock)
{
	if (ks_unlock(lock, sizeof(*lock), KS_RWSEM_WRITE, rwsem_is_locked(lock), KS_CALLER)) {
		downgrade_write(lock);
		ks_lock_after(lock, KS_RWSEM_READ, KS_NOTHING_OFF, KS_CALLER);
	}
}
