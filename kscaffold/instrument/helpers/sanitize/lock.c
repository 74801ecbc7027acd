// SPDX-License-Identifier: GPL-2.0
/* Who holds which lock since where, in which order locks were taken, and in which contexts. */
#include <linux/hardirq.h>
#include <linux/kallsyms.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include "ks.h"
#include "lock.h"

static DEFINE_RAW_SPINLOCK(table_lock);

struct held {
	unsigned long lock;
	pid_t task; /* not its address, which the next task may get */
	struct ks_site *site;
	enum ks_lock kind;
	u8 context; /* of the taking: see context() */
	u8 again;   /* how often the same task wanted it once more, and was not given it */
	bool told;
};

#define ANY -1
#define MOST_HELD 128
static struct held held[MOST_HELD];
static unsigned int held_count;

/* `first` was held when `second` was taken. */
struct order {
	unsigned long first, second;
	struct ks_site *first_site, *second_site;
};

#define MOST_ORDERS 512
static struct order orders[MOST_ORDERS];
static unsigned int order_count;

/* Where a spinlock was taken: in interrupts, and where interrupts could have come. */
enum { IN_HARD, IN_SOFT, OPEN_TO_HARD, OPEN_TO_SOFT, USES };
struct usage {
	unsigned long lock;
	struct ks_site *sites[USES];
};

#define MOST_USAGES 256
static struct usage usages[MOST_USAGES];
static unsigned int usage_count;

static u8 context(void)
{
	return hardirq_count() ? 2 : in_serving_softirq() ? 1 : 0;
}


static void say_lock(int id, const char *key, unsigned long lock)
{
	char name[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(name, lock);
	if (name[0] == '0')
		ks_line(id, "%s %px", key, (void *)lock);
	else
		ks_line(id, "%s %px %pS", key, (void *)lock, (void *)lock);
}

/* One lock in the wrong, and up to three other places. */
static void say(const char *kind, unsigned long ip, unsigned long lock, const char *first_key,
		const struct ks_site *first, const char *second_key, const struct ks_site *second)
{
	int id = ks_begin(kind, ip, lock);

	if (!id)
		return;
	ks_frames(id, ip);
	say_lock(id, "lock", lock);
	if (first)
		ks_site_line(id, first_key, first);
	if (second)
		ks_site_line(id, second_key, second);
	ks_end(id);
}

/* What the lock itself says. The kernel may have released for the module what the module took. */
static bool really_held(const struct held *entry)
{
	switch (entry->kind) {
	case KS_SPIN:
		return raw_spin_is_locked((raw_spinlock_t *)entry->lock);
	case KS_MUTEX:
		return mutex_is_locked((struct mutex *)entry->lock);
	case KS_RWSEM_READ:
	case KS_RWSEM_WRITE:
		return rwsem_is_locked((struct rw_semaphore *)entry->lock);
	default:
		return true;
	}
}

/* table_lock is held. */
static struct held *find(unsigned long lock, pid_t task)
{
	int i;

	for (i = held_count - 1; i >= 0; i--)
		if (held[i].lock == lock && (task == ANY || held[i].task == task))
			return &held[i];
	return NULL;
}

static void drop(struct held *entry)
{
	held_count--;
	memmove(entry, entry + 1, (held + held_count - entry) * sizeof(*entry));
}

/* table_lock is held. Whether `to` was ever taken while `from` was held, over others too; `*by`: the first step. */
static bool reaches(unsigned long from, unsigned long to, const struct order **by, int depth)
{
	unsigned int i;

	for (i = 0; i < order_count; i++) {
		const struct order *ignored;

		if (orders[i].first != from)
			continue;
		if (orders[i].second == to || (depth && reaches(orders[i].second, to, &ignored, depth - 1))) {
			*by = &orders[i];
			return true;
		}
	}
	return false;
}

static void note_order(const struct held *before, unsigned long lock, struct ks_site *site)
{
	unsigned int i;

	for (i = 0; i < order_count; i++)
		if (orders[i].first == before->lock && orders[i].second == lock)
			return;
	if (order_count < MOST_ORDERS)
		orders[order_count++] = (struct order){ before->lock, lock, before->site, site };
}

static void check_order(unsigned long lock, struct ks_site *site)
{
	const struct order *step = NULL;
	struct ks_site *inner = NULL;
	struct order opposite;
	unsigned long flags;
	int i;

	raw_spin_lock_irqsave(&table_lock, flags);
	for (i = 0; i < held_count && !step; i++) {
		if (held[i].task != current->pid || held[i].context != context() || held[i].lock == lock ||
		    !really_held(&held[i]) || !ks_is_known(held[i].lock))
			continue;
		if (reaches(lock, held[i].lock, &step, 4)) {
			opposite = *step;
			inner = held[i].site;
			break;
		}
		note_order(&held[i], lock, site);
	}
	raw_spin_unlock_irqrestore(&table_lock, flags);
	if (step) {
		int id = ks_begin("circular-locking", site->ip, lock);

		if (!id)
			return;
		ks_frames(id, site->ip);
		say_lock(id, "lock", lock);
		ks_site_line(id, "held", inner);
		ks_site_line(id, "opposite-first", opposite.first_site);
		ks_site_line(id, "opposite-second", opposite.second_site);
		ks_end(id);
	}
}

static struct usage *usage_of(unsigned long lock)
{
	unsigned int i;

	for (i = 0; i < usage_count; i++)
		if (usages[i].lock == lock)
			return &usages[i];
	if (usage_count == MOST_USAGES)
		return NULL;
	usages[usage_count] = (struct usage){ .lock = lock };
	return &usages[usage_count++];
}

/* A lock that an interrupt takes must be taken with that interrupt off everywhere else. */
static void check_usage(unsigned long lock, struct ks_site *site, enum ks_masks masks, bool reader)
{
	bool hard_off = irqs_disabled() || masks == KS_IRQ_OFF;
	bool soft_off = hard_off || softirq_count() || masks == KS_BH_OFF;
	struct ks_site *inside = NULL, *open = NULL;
	struct usage *usage;
	unsigned long flags;

	raw_spin_lock_irqsave(&table_lock, flags);
	usage = usage_of(lock);
	if (usage) {
		/* Readers don't keep readers out: only one in an interrupt matters, to writers outside. */
		if (hardirq_count())
			usage->sites[IN_HARD] = usage->sites[IN_HARD] ?: site;
		else if (in_serving_softirq())
			usage->sites[IN_SOFT] = usage->sites[IN_SOFT] ?: site;
		if (!hardirq_count() && !hard_off && !reader)
			usage->sites[OPEN_TO_HARD] = usage->sites[OPEN_TO_HARD] ?: site;
		if (!in_interrupt() && !soft_off && !reader)
			usage->sites[OPEN_TO_SOFT] = usage->sites[OPEN_TO_SOFT] ?: site;
		if (usage->sites[IN_HARD] && usage->sites[OPEN_TO_HARD]) {
			inside = usage->sites[IN_HARD];
			open = usage->sites[OPEN_TO_HARD];
		} else if (usage->sites[IN_SOFT] && usage->sites[OPEN_TO_SOFT]) {
			inside = usage->sites[IN_SOFT];
			open = usage->sites[OPEN_TO_SOFT];
		}
	}
	raw_spin_unlock_irqrestore(&table_lock, flags);
	/* The place to mend is the one that leaves interrupts on, wherever that was noticed. */
	if (inside)
		say("inconsistent-lock-state", open->ip, lock, "interrupt", inside, NULL, NULL);
}

bool ks_lock_before(const void *at, size_t size, enum ks_lock kind, enum ks_masks masks, const char *name,
		    unsigned long ip)
{
	struct ks_site *site = ks_site_of(ip), *before = NULL;
	unsigned long lock = (unsigned long)at, flags;
	bool fatal = false, other_context = false;
	struct held *mine;

	ks_check(lock, size, true, ip);
	if (kind >= KS_MUTEX)
		ks_sleeps(name, ip);
	raw_spin_lock_irqsave(&table_lock, flags);
	mine = find(lock, current->pid);
	if (mine && !really_held(mine)) {
		drop(mine);
		mine = NULL;
	}
	if (mine && !(kind == KS_READ && mine->kind == KS_READ)) {
		before = mine->site;
		other_context = mine->context != context();
		fatal = !(kind == KS_RWSEM_READ && mine->kind == KS_RWSEM_READ);
		if (fatal)
			mine->again++;
	}
	raw_spin_unlock_irqrestore(&table_lock, flags);
	if (before)
		say(other_context ? "inconsistent-lock-state" : "recursive-locking", ip, lock, "held", before, NULL,
		    NULL);
	if (fatal)
		return false;
	if (!before && ks_is_known(lock))
		check_order(lock, site);
	return true;
}

void ks_lock_after(const void *at, enum ks_lock kind, enum ks_masks masks, unsigned long ip)
{
	struct ks_site *site = ks_site_of(ip);
	unsigned long flags;

	if (kind < KS_MUTEX && ks_is_known((unsigned long)at))
		check_usage((unsigned long)at, site, masks, kind == KS_READ);
	raw_spin_lock_irqsave(&table_lock, flags);
	if (held_count < MOST_HELD)
		held[held_count++] = (struct held){
			.lock = (unsigned long)at,
			.task = current->pid,
			.site = site,
			.kind = kind,
			.context = context(),
		};
	raw_spin_unlock_irqrestore(&table_lock, flags);
}

/* Whether a lock that is taken for reading is unlocked as one for writing, or the other way round. */
static bool is_other_half(enum ks_lock taken, enum ks_lock unlocked)
{
	bool both_rw = taken <= KS_WRITE && unlocked <= KS_WRITE;
	bool both_sem = taken >= KS_RWSEM_READ && unlocked >= KS_RWSEM_READ;

	return taken != unlocked && taken != KS_SPIN && unlocked != KS_SPIN && (both_rw || both_sem);
}

bool ks_unlock(const void *at, size_t size, enum ks_lock kind, bool locked, unsigned long ip)
{
	unsigned long lock = (unsigned long)at, flags;
	struct ks_site *taken = NULL;
	bool real = true, mine, other = false;
	struct held *entry;

	ks_check(lock, size, true, ip);
	raw_spin_lock_irqsave(&table_lock, flags);
	entry = find(lock, current->pid);
	mine = entry;
	if (!entry)
		entry = find(lock, ANY);
	if (mine && is_other_half(entry->kind, kind)) {
		taken = entry->site;
		drop(entry);
		other = true;
	} else if (entry && mine && entry->again) {
		entry->again--;
		real = false;
	} else if (entry) {
		taken = entry->site;
		drop(entry);
	}
	raw_spin_unlock_irqrestore(&table_lock, flags);
	if (!real)
		return false;
	if (other) {
		/* The kernel's count would be wrong for ever, and whoever waits next would hang. */
		say("bad-unlock-balance", ip, lock, "held", taken, NULL, NULL);
		return false;
	}
	if (taken && !mine && kind != KS_RWSEM_READ && kind != KS_READ)
		say("unlock-by-another", ip, lock, "held", taken, NULL, NULL);
	/* What nobody here took may have been taken by the kernel for the module: then it is locked. */
	if (!taken && !locked) {
		say("bad-unlock-balance", ip, lock, NULL, NULL, NULL, NULL);
		return false;
	}
	return true;
}

void ks_lock_bad_magic(const void *at, unsigned long ip)
{
	say("lock-not-initialized", ip, (unsigned long)at, NULL, NULL, NULL, NULL);
}

bool ks_holds_spinlock(struct ks_site **since)
{
	unsigned long flags;
	bool found = false;
	int i;

	if (!READ_ONCE(held_count))
		return false;
	raw_spin_lock_irqsave(&table_lock, flags);
	for (i = 0; i < held_count && !found; i++)
		if (held[i].task == current->pid && held[i].kind < KS_MUTEX) {
			*since = held[i].site;
			found = true;
		}
	raw_spin_unlock_irqrestore(&table_lock, flags);
	return found;
}

/* Reports each held lock that `wrong` chooses, once. */
static void tell_each(const char *kind, unsigned long ip, bool (*wrong)(const struct held *, unsigned long, unsigned long),
		      unsigned long a, unsigned long b)
{
	int i;

	if (!READ_ONCE(held_count))
		return;
	for (i = 0;; i++) {
		struct held one = {};
		unsigned long flags;

		raw_spin_lock_irqsave(&table_lock, flags);
		if (i < held_count && !held[i].told && wrong(&held[i], a, b)) {
			one = held[i];
			held[i].told = true;
		}
		if (i >= held_count) {
			raw_spin_unlock_irqrestore(&table_lock, flags);
			return;
		}
		raw_spin_unlock_irqrestore(&table_lock, flags);
		if (one.lock && really_held(&one))
			say(kind, ip ?: one.site->ip, one.lock, "held", one.site, NULL, NULL);
	}
}

static bool is_ours(const struct held *entry, unsigned long a, unsigned long b)
{
	return entry->task == current->pid && !entry->context;
}

static bool is_in(const struct held *entry, unsigned long start, unsigned long end)
{
	return entry->lock >= start && entry->lock < end;
}

static bool is_of_module(const struct held *entry, unsigned long module, unsigned long b)
{
	return entry->site->owner == (struct module *)module || within_module(entry->lock, (struct module *)module);
}

void ks_returned(void)
{
	if (READ_ONCE(held_count) && !in_interrupt())
		tell_each("lock-held-on-return", 0, is_ours, 0, 0);
}

static void forget(unsigned long start, unsigned long end)
{
	unsigned long flags;
	int i;

	raw_spin_lock_irqsave(&table_lock, flags);
	for (i = held_count - 1; i >= 0; i--)
		if (is_in(&held[i], start, end))
			drop(&held[i]);
	for (i = order_count - 1; i >= 0; i--)
		if ((orders[i].first >= start && orders[i].first < end) ||
		    (orders[i].second >= start && orders[i].second < end))
			orders[i] = orders[--order_count];
	for (i = usage_count - 1; i >= 0; i--)
		if (usages[i].lock >= start && usages[i].lock < end)
			usages[i] = usages[--usage_count];
	raw_spin_unlock_irqrestore(&table_lock, flags);
}

void ks_object_freed(unsigned long start, unsigned long end, unsigned long ip)
{
	if (!READ_ONCE(held_count) && !READ_ONCE(usage_count) && !READ_ONCE(order_count))
		return;
	tell_each("held-lock-freed", ip, is_in, start, end);
	forget(start, end);
}

/* The module goes: what is still locked stays so for ever, and its places mean nothing after it. */
void ks_locks_left(struct module *module)
{
	unsigned long flags;
	int i;

	tell_each("lock-held-at-unload", 0, is_of_module, (unsigned long)module, 0);
	raw_spin_lock_irqsave(&table_lock, flags);
	for (i = held_count - 1; i >= 0; i--)
		if (is_of_module(&held[i], (unsigned long)module, 0))
			drop(&held[i]);
	for (i = order_count - 1; i >= 0; i--)
		if (orders[i].first_site->owner == module || orders[i].second_site->owner == module)
			orders[i] = orders[--order_count];
	usage_count = 0;
	raw_spin_unlock_irqrestore(&table_lock, flags);
}
