/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small writer of JSON text into growing memory, for what the core tells administrators. Writes only; commas are its own business. */
#pragma once
#include "controller/core/ctl_int.h"

struct ctl_json {
	struct ctl_bytes out;
	bool comma;
};

void ctl_json_open(struct ctl_json *, const char *key,
		   char bracket); /* '{' or '['; key NULL: an element, or the whole */
void ctl_json_close(struct ctl_json *, char bracket); /* '}' or ']' */
void ctl_json_u64(struct ctl_json *, const char *key, uint64_t v);
void ctl_json_i64(struct ctl_json *, const char *key, int64_t v);
void ctl_json_bool(struct ctl_json *, const char *key, bool v);
void ctl_json_text(struct ctl_json *, const char *key, const char *v);
void ctl_json_uuid(struct ctl_json *, const char *key, const struct pr_uuid *v);
