// SPDX-License-Identifier: GPL-2.0
/* What the compiler calls where a program does what C leaves undefined (-fsanitize=bounds,shift,…). */
#include "ks.h"

struct place {
	const char *file;
	u32 line;
	u32 column;
};

/* `info`: bit 0 is set for a signed type, the rest is the logarithm of its width in bits. */
struct type {
	u16 kind; /* 0: integer */
	u16 info;
	char name[];
};

static bool begin(const char *kind, const struct place *place, unsigned long ip, int *id)
{
	/* A header of the kernel's knows what its machine can read unaligned. */
	if (!strcmp(kind, "misaligned-access") && strstr(place->file, "include/"))
		return false;
	*id = ks_begin(kind, ip, 0);
	if (!*id)
		return false;
	ks_line(*id, "source %u:%u %s", place->line, place->column, place->file);
	ks_frames(*id, ip);
	return true;
}

static unsigned int width(const struct type *type)
{
	return 1U << (type->info >> 1);
}

static bool below_zero(const struct type *type, unsigned long value)
{
	long narrow = (long)(value << (BITS_PER_LONG - min_t(unsigned int, width(type), BITS_PER_LONG)));

	return type->info & 1 && narrow < 0;
}

/* A value that fits into a register is the argument itself, a wider one is pointed to. */
static void value(char *text, size_t size, const struct type *type, unsigned long raw)
{
	unsigned int bits = width(type);

	if (type->kind) {
		snprintf(text, size, "%#lx", raw);
	} else if (bits > BITS_PER_LONG && bits == 64) {
		snprintf(text, size, type->info & 1 ? "%lld" : "%llu", *(unsigned long long *)raw);
	} else if (bits > BITS_PER_LONG) {
		snprintf(text, size, "(wide)");
	} else if (type->info & 1) {
		snprintf(text, size, "%ld", (long)(raw << (BITS_PER_LONG - bits)) >> (BITS_PER_LONG - bits));
	} else {
		snprintf(text, size, "%lu", bits < BITS_PER_LONG ? raw & ((1UL << bits) - 1) : raw);
	}
}

struct bounds {
	struct place place;
	struct type *array;
	struct type *index;
};

KS_HOOK(void, __ubsan_handle_out_of_bounds, struct bounds *data, unsigned long index)
{
	char text[32];
	int id;

	if (!begin("array-index-out-of-bounds", &data->place, KS_CALLER, &id))
		return;
	value(text, sizeof(text), data->index, index);
	ks_line(id, "text index %s is out of range for type %s", text, data->array->name);
	ks_end(id);
}

struct shift {
	struct place place;
	struct type *left;
	struct type *right;
};

KS_HOOK(void, __ubsan_handle_shift_out_of_bounds, struct shift *data, unsigned long left, unsigned long right)
{
	char value_text[32], by[32];
	int id;

	if (!begin("shift-out-of-bounds", &data->place, KS_CALLER, &id))
		return;
	value(value_text, sizeof(value_text), data->left, left);
	value(by, sizeof(by), data->right, right);
	if (below_zero(data->right, right))
		ks_line(id, "text shift exponent %s is negative", by);
	else if (right >= width(data->left))
		ks_line(id, "text shift exponent %s is too large for %u-bit type %s", by, width(data->left),
			data->left->name);
	else if (below_zero(data->left, left))
		ks_line(id, "text left shift of negative value %s", value_text);
	else
		ks_line(id, "text left shift of %s by %s places cannot be represented in type %s", value_text, by,
			data->left->name);
	ks_end(id);
}

struct typed {
	struct place place;
	struct type *type;
};

KS_HOOK(void, __ubsan_handle_divrem_overflow, struct typed *data, unsigned long left, unsigned long right)
{
	char text[32];
	int id;

	if (!begin("division-overflow", &data->place, KS_CALLER, &id))
		return;
	value(text, sizeof(text), data->type, left);
	if (right && below_zero(data->type, right))
		ks_line(id, "text division of %s by -1 cannot be represented in type %s", text, data->type->name);
	else
		ks_line(id, "text division of %s by zero", text);
	ks_end(id);
}

KS_HOOK(void, __ubsan_handle_load_invalid_value, struct typed *data, unsigned long raw)
{
	char text[32];
	int id;

	if (!begin("invalid-load", &data->place, KS_CALLER, &id))
		return;
	value(text, sizeof(text), data->type, raw);
	ks_line(id, "text load of value %s is not a valid value for type %s", text, data->type->name);
	ks_end(id);
}

struct mismatch {
	struct place place;
	struct type *type;
	u8 alignment; /* a logarithm */
	u8 check;     /* what was to be done */
};

KS_HOOK(void, __ubsan_handle_type_mismatch_v1, struct mismatch *data, unsigned long at)
{
	static const char *const checks[] = {
		"load of",	 "store to",	    "reference binding to", "member access within",
		"member call on", "constructor call on", "downcast of",		"downcast of",
	};
	unsigned long alignment = 1UL << data->alignment;
	int id;

	if (!at || !(at & (alignment - 1)))
		return;
	if (!begin("misaligned-access", &data->place, KS_CALLER, &id))
		return;
	ks_line(id, "text %s misaligned address %px for type %s, which requires %lu byte alignment",
		data->check < ARRAY_SIZE(checks) ? checks[data->check] : "access to", (void *)at, data->type->name,
		alignment);
	ks_end(id);
}

KS_HOOK(void, __ubsan_handle_builtin_unreachable, struct place *place)
{
	int id;

	if (begin("unreachable", place, KS_CALLER, &id)) {
		ks_line(id, "text calling __builtin_unreachable()");
		ks_end(id);
	}
	/* There is no code behind the call to go on with. */
	BUG();
}

struct vla {
	struct place place;
	struct type *type;
};

KS_HOOK(void, __ubsan_handle_vla_bound_not_positive, struct vla *data, unsigned long bound)
{
	char text[32];
	int id;

	if (!begin("vla-bound-not-positive", &data->place, KS_CALLER, &id))
		return;
	value(text, sizeof(text), data->type, bound);
	ks_line(id, "text variable length array has the size %s", text);
	ks_end(id);
}
