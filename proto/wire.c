/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/wire.h"

#define PR_DEF "proto/wire.def"
#include "proto/gen_code.inc"

const char *pr_type_name(uint16_t type)
{
	switch (type) {
#define MSG(number, name, NAME, CHANNEL) \
	case number:                     \
		return #name;
#include "proto/wire.def"
	}
	return NULL;
}

enum pr_channel pr_type_channel(uint16_t type)
{
	switch (type) {
#define MSG(number, name, NAME, CHANNEL) \
	case number:                     \
		return PR_CH_##CHANNEL;
#include "proto/wire.def"
	}
	return 0;
}

const char *pr_channel_name(uint8_t channel)
{
	switch (channel) {
	case PR_CH_ACCESS:
		return "access";
	case PR_CH_COORD:
		return "coord";
	case PR_CH_LINK:
		return "link";
	case PR_CH_ADMIN:
		return "admin";
	case PR_CH_SUPER:
		return "super";
	}
	return "?";
}

const char *pr_role_name(uint8_t role)
{
	switch (role) {
	case PR_ROLE_STARTING:
		return "starting";
	case PR_ROLE_STANDBY:
		return "standby";
	case PR_ROLE_PROMOTING:
		return "promoting";
	case PR_ROLE_ACTIVE:
		return "active";
	case PR_ROLE_STOPPED:
		return "stopped";
	}
	return "?";
}

/* Reads all of it, and shows it where t is given. */
static int read_message(uint16_t type, struct pr_cur *c, struct pr_text *t)
{
	switch (type) {
#define MSG(number, name, NAME, CHANNEL)                          \
	case number: {                                            \
		struct pr_##name v;                               \
                                                                  \
		if (!pr_##name##_get(c, &v))                      \
			return -EBADMSG;                          \
		if (!pr_cur_end(c))                               \
			return pr_cur_inside(c, #name), -EBADMSG; \
		if (t)                                            \
			pr_##name##_dump(t, &v);                  \
		return 0;                                         \
	}
#include "proto/wire.def"
	}
	return -EOPNOTSUPP;
}

int pr_message_check(uint16_t type, const uint8_t *p, size_t len)
{
	struct pr_cur c = pr_cur_on(p, len);

	return read_message(type, &c, NULL);
}

static void say_why(uint16_t type, int r, const struct pr_cur *c, struct pr_text *t)
{
	if (r == -EOPNOTSUPP)
		pr_text_printf(t, "no message has type 0x%04x", type);
	else if (r)
		pr_cur_why(c, t);
}

int pr_message_dump(uint16_t type, const uint8_t *p, size_t len, struct pr_text *t)
{
	struct pr_cur c = pr_cur_on(p, len);
	int r = read_message(type, &c, t);

	say_why(type, r, &c, t);
	return r;
}

void pr_message_why(uint16_t type, const uint8_t *p, size_t len, struct pr_text *t)
{
	struct pr_cur c = pr_cur_on(p, len);

	say_why(type, read_message(type, &c, NULL), &c, t);
}
