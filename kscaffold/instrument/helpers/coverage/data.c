// SPDX-License-Identifier: GPL-2.0
/*
 * The counters that gcc puts into an object compiled with -fprofile-arcs, and the .gcda file they make: GCC's
 * gcov-io.h, and kernel/gcov/gcc_4_7.c, which distribution kernels are built without.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include "data.h"

#if __GNUC__ >= 15
#define COUNTERS 10
#elif __GNUC__ >= 14
#define COUNTERS 9
#elif __GNUC__ >= 10
#define COUNTERS 8
#else
#define COUNTERS 9
#endif

/* From 12 on lengths are in bytes, before that in words of four. */
#if __GNUC__ >= 12
#define UNIT 4
#else
#define UNIT 1
#endif

#define MAGIC 0x67636461
#define TAG_FUNCTION 0x01000000
#define TAG_COUNTER(i) (0x01a10000 + ((u32)(i) << 17))

struct counters {
	unsigned int count;
	s64 *values;
};

struct function {
	const struct gcov_info *key;
	unsigned int ident;
	unsigned int lines_checksum;
	unsigned int graph_checksum;
	struct counters counters[]; /* one for each kind that is in use */
};

struct gcov_info {
	unsigned int version;
	struct gcov_info *next;
	unsigned int stamp;
#if __GNUC__ >= 12
	unsigned int checksum;
#endif
	const char *filename;
	void (*merge[COUNTERS])(s64 *values, unsigned int count);
	unsigned int count;
	struct function **functions;
};

const char *ks_data_name(const struct gcov_info *info)
{
	return info->filename;
}

static size_t put(u8 *to, size_t at, u32 value)
{
	if (to)
		memcpy(to + at, &value, sizeof(value));
	return at + sizeof(value);
}

static size_t put_counters(u8 *to, size_t at, int kind, const struct counters *counters)
{
	unsigned int i;

	at = put(to, at, TAG_COUNTER(kind));
	at = put(to, at, counters->count * 2 * UNIT);
	for (i = 0; i < counters->count; i++) {
		u64 value = counters->values[i];

		at = put(to, at, value);
		at = put(to, at, value >> 32);
	}
	return at;
}

size_t ks_data(const struct gcov_info *info, u8 *to)
{
	unsigned int i, kind;
	size_t at = 0;

	at = put(to, at, MAGIC);
	at = put(to, at, info->version);
	at = put(to, at, info->stamp);
#if __GNUC__ >= 12
	at = put(to, at, info->checksum);
#endif
	for (i = 0; i < info->count; i++) {
		const struct function *function = info->functions[i];
		const struct counters *counters = function->counters;

		/* A function that the linker took from another object. */
		if (function->key != info)
			continue;
		at = put(to, at, TAG_FUNCTION);
		at = put(to, at, 3 * UNIT);
		at = put(to, at, function->ident);
		at = put(to, at, function->lines_checksum);
		at = put(to, at, function->graph_checksum);
		for (kind = 0; kind < COUNTERS; kind++)
			if (info->merge[kind])
				at = put_counters(to, at, kind, counters++);
	}
	return at;
}
