/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include "controller/core/ctl_json.h"

static void raw(struct ctl_json *j, const char *text)
{
	ctl_bytes_add(&j->out, text, strlen(text));
}

/* RFC 8259; bytes above 0x7f pass as they are. */
static void quoted(struct ctl_json *j, const char *v)
{
	char esc[8];

	raw(j, "\"");
	for (; *v; v++) {
		if (*v == '"' || *v == '\\') {
			esc[0] = '\\';
			esc[1] = *v;
			esc[2] = 0;
			raw(j, esc);
		} else if ((unsigned char)*v < 0x20) {
			snprintf(esc, sizeof(esc), "\\u%04x", *v);
			raw(j, esc);
		} else {
			ctl_bytes_add(&j->out, v, 1);
		}
	}
	raw(j, "\"");
}

static void begin(struct ctl_json *j, const char *key)
{
	if (j->comma)
		raw(j, ",");
	j->comma = true;
	if (!key)
		return;
	quoted(j, key);
	raw(j, ":");
}

void ctl_json_open(struct ctl_json *j, const char *key, char bracket)
{
	begin(j, key);
	ctl_bytes_add(&j->out, &bracket, 1);
	j->comma = false;
}

void ctl_json_close(struct ctl_json *j, char bracket)
{
	ctl_bytes_add(&j->out, &bracket, 1);
	j->comma = true;
}

void ctl_json_u64(struct ctl_json *j, const char *key, uint64_t v)
{
	char text[32];

	begin(j, key);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	raw(j, text);
}

void ctl_json_i64(struct ctl_json *j, const char *key, int64_t v)
{
	char text[32];

	begin(j, key);
	snprintf(text, sizeof(text), "%lld", (long long)v);
	raw(j, text);
}

void ctl_json_bool(struct ctl_json *j, const char *key, bool v)
{
	begin(j, key);
	raw(j, v ? "true" : "false");
}

void ctl_json_text(struct ctl_json *j, const char *key, const char *v)
{
	begin(j, key);
	quoted(j, v);
}

void ctl_json_uuid(struct ctl_json *j, const char *key, const struct pr_uuid *v)
{
	char text[PR_UUID_TEXT];

	ctl_json_text(j, key, pr_uuid_format(text, v));
}
