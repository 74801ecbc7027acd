/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KS_DATA_H
#define KS_DATA_H

#include <linux/types.h>

struct gcov_info;

const char *ks_data_name(const struct gcov_info *info);
/* Writes what a .gcda file of this object holds to `to`, or only counts it where that is NULL; its bytes. */
size_t ks_data(const struct gcov_info *info, u8 *to);

#endif
