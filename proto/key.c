/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/key.h"

#include <errno.h>

#include "proto/assert.h"
#include "proto/rows.h"

enum { NAME_MAX_BYTES = 255 };

_Static_assert(1 + 2 + 8 + NAME_MAX_BYTES <= PR_KEY_MAX, "the longest key is a name's");

/* ---- parts ---- */

static void start(struct pr_key *k, uint8_t table)
{
	k->b[0] = table;
	k->len = 1;
}

static void add16(struct pr_key *k, uint16_t v)
{
	k->b[k->len++] = (uint8_t)(v >> 8);
	k->b[k->len++] = (uint8_t)v;
}

static void add32(struct pr_key *k, uint32_t v)
{
	v = __builtin_bswap32(pr_le32(v));
	memcpy(k->b + k->len, &v, sizeof(v));
	k->len += sizeof(v);
}

static void add64(struct pr_key *k, uint64_t v)
{
	v = __builtin_bswap64(pr_le64(v));
	memcpy(k->b + k->len, &v, sizeof(v));
	k->len += sizeof(v);
}

static void add_name(struct pr_key *k, const void *name, size_t len)
{
	PR_ASSERT(len >= 1 && len <= NAME_MAX_BYTES);
	memcpy(k->b + k->len, name, len);
	k->len += (uint16_t)len;
}

static uint16_t at16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t at32(const uint8_t *p)
{
	return __builtin_bswap32(pr_load32(p));
}

static uint64_t at64(const uint8_t *p)
{
	return __builtin_bswap64(pr_load64(p));
}

static bool is(const uint8_t *p, size_t len, uint8_t table, size_t want)
{
	return len == want && p[0] == table;
}

/* ---- shapes that several tables share; a volume's parts start at byte 1 ---- */

static void make_volume(struct pr_key *k, uint8_t table, uint16_t volume)
{
	start(k, table);
	add16(k, volume);
}

static void make_volume_u64(struct pr_key *k, uint8_t table, uint16_t volume, uint64_t number)
{
	make_volume(k, table, volume);
	add64(k, number);
}

static int parse_volume(const uint8_t *p, size_t len, uint8_t table, uint16_t *volume)
{
	if (!is(p, len, table, 3))
		return -EBADMSG;
	*volume = at16(p + 1);
	return 0;
}

static int parse_volume_u64(const uint8_t *p, size_t len, uint8_t table, uint16_t *volume,
			    uint64_t *number)
{
	if (!is(p, len, table, 11))
		return -EBADMSG;
	*volume = at16(p + 1);
	*number = at64(p + 3);
	return 0;
}

static int parse_volume_u64_u64(const uint8_t *p, size_t len, uint8_t table, uint16_t *volume,
				uint64_t *number, uint64_t *second)
{
	if (!is(p, len, table, 19))
		return -EBADMSG;
	*volume = at16(p + 1);
	*number = at64(p + 3);
	*second = at64(p + 11);
	return 0;
}

static int parse_volume_u64_name(const uint8_t *p, size_t len, uint8_t table, uint16_t *volume,
				 uint64_t *number, struct pr_bytes *name)
{
	if (len < 12 || len > 11 + NAME_MAX_BYTES || p[0] != table)
		return -EBADMSG;
	*volume = at16(p + 1);
	*number = at64(p + 3);
	*name = pr_bytes_of(p + 11, len - 11);
	return 0;
}

/* ---- the tables ---- */

void pr_key_meta(struct pr_key *k)
{
	start(k, PR_ROW_META);
}

int pr_key_parse_meta(const uint8_t *p, size_t len)
{
	return is(p, len, PR_ROW_META, 1) ? 0 : -EBADMSG;
}

void pr_key_volume(struct pr_key *k, uint16_t volume)
{
	make_volume(k, PR_ROW_VOLUME, volume);
}

int pr_key_parse_volume(const uint8_t *p, size_t len, uint16_t *volume)
{
	return parse_volume(p, len, PR_ROW_VOLUME, volume);
}

void pr_key_vlun(struct pr_key *k, uint16_t volume, uint16_t lun)
{
	make_volume(k, PR_ROW_VLUN, volume);
	add16(k, lun);
}

int pr_key_parse_vlun(const uint8_t *p, size_t len, uint16_t *volume, uint16_t *lun)
{
	if (!is(p, len, PR_ROW_VLUN, 5))
		return -EBADMSG;
	*volume = at16(p + 1);
	*lun = at16(p + 3);
	return 0;
}

void pr_key_vstat(struct pr_key *k, uint16_t volume)
{
	make_volume(k, PR_ROW_VSTAT, volume);
}

int pr_key_parse_vstat(const uint8_t *p, size_t len, uint16_t *volume)
{
	return parse_volume(p, len, PR_ROW_VSTAT, volume);
}

void pr_key_inode(struct pr_key *k, uint16_t volume, uint64_t ino)
{
	make_volume_u64(k, PR_ROW_INODE, volume, ino);
}

int pr_key_parse_inode(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino)
{
	return parse_volume_u64(p, len, PR_ROW_INODE, volume, ino);
}

void pr_key_name(struct pr_key *k, uint16_t volume, uint64_t dir, const void *name, size_t name_len)
{
	make_volume_u64(k, PR_ROW_NAME, volume, dir);
	add_name(k, name, name_len);
}

int pr_key_parse_name(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *dir,
		      struct pr_bytes *name)
{
	return parse_volume_u64_name(p, len, PR_ROW_NAME, volume, dir, name);
}

void pr_key_entry(struct pr_key *k, uint16_t volume, uint64_t dir, uint64_t cookie)
{
	make_volume_u64(k, PR_ROW_ENTRY, volume, dir);
	add64(k, cookie);
}

int pr_key_parse_entry(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *dir,
		       uint64_t *cookie)
{
	return parse_volume_u64_u64(p, len, PR_ROW_ENTRY, volume, dir, cookie);
}

void pr_key_target(struct pr_key *k, uint16_t volume, uint64_t ino)
{
	make_volume_u64(k, PR_ROW_TARGET, volume, ino);
}

int pr_key_parse_target(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino)
{
	return parse_volume_u64(p, len, PR_ROW_TARGET, volume, ino);
}

void pr_key_xattr(struct pr_key *k, uint16_t volume, uint64_t ino, const void *name,
		  size_t name_len)
{
	make_volume_u64(k, PR_ROW_XATTR, volume, ino);
	add_name(k, name, name_len);
}

int pr_key_parse_xattr(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino,
		       struct pr_bytes *name)
{
	return parse_volume_u64_name(p, len, PR_ROW_XATTR, volume, ino, name);
}

void pr_key_map(struct pr_key *k, uint16_t volume, uint64_t ino, uint64_t file_block)
{
	make_volume_u64(k, PR_ROW_MAP, volume, ino);
	add64(k, file_block);
}

int pr_key_parse_map(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino,
		     uint64_t *file_block)
{
	return parse_volume_u64_u64(p, len, PR_ROW_MAP, volume, ino, file_block);
}

void pr_key_orphan(struct pr_key *k, uint16_t volume, uint64_t ino)
{
	make_volume_u64(k, PR_ROW_ORPHAN, volume, ino);
}

int pr_key_parse_orphan(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino)
{
	return parse_volume_u64(p, len, PR_ROW_ORPHAN, volume, ino);
}

void pr_key_space(struct pr_key *k, uint16_t volume, uint16_t lun, uint64_t block)
{
	make_volume(k, PR_ROW_SPACE, volume);
	add16(k, lun);
	add64(k, block);
}

int pr_key_parse_space(const uint8_t *p, size_t len, uint16_t *volume, uint16_t *lun,
		       uint64_t *block)
{
	if (!is(p, len, PR_ROW_SPACE, 13))
		return -EBADMSG;
	*volume = at16(p + 1);
	*lun = at16(p + 3);
	*block = at64(p + 5);
	return 0;
}

void pr_key_rest(struct pr_key *k, uint16_t volume, uint64_t sequence)
{
	make_volume_u64(k, PR_ROW_REST, volume, sequence);
}

int pr_key_parse_rest(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *sequence)
{
	return parse_volume_u64(p, len, PR_ROW_REST, volume, sequence);
}

void pr_key_session(struct pr_key *k, uint64_t session)
{
	start(k, PR_ROW_SESSION);
	add64(k, session);
}

int pr_key_parse_session(const uint8_t *p, size_t len, uint64_t *session)
{
	if (!is(p, len, PR_ROW_SESSION, 9))
		return -EBADMSG;
	*session = at64(p + 1);
	return 0;
}

void pr_key_slot(struct pr_key *k, uint64_t session, uint32_t slot)
{
	start(k, PR_ROW_SLOT);
	add64(k, session);
	add32(k, slot);
}

int pr_key_parse_slot(const uint8_t *p, size_t len, uint64_t *session, uint32_t *slot)
{
	if (!is(p, len, PR_ROW_SLOT, 13))
		return -EBADMSG;
	*session = at64(p + 1);
	*slot = at32(p + 9);
	return 0;
}

/* ---- prefixes ---- */

void pr_key_prefix_table(struct pr_key *k, uint8_t table)
{
	start(k, table);
}

void pr_key_prefix_volume(struct pr_key *k, uint8_t table, uint16_t volume)
{
	make_volume(k, table, volume);
}

void pr_key_prefix_names(struct pr_key *k, uint16_t volume, uint64_t dir)
{
	make_volume_u64(k, PR_ROW_NAME, volume, dir);
}

void pr_key_prefix_entries(struct pr_key *k, uint16_t volume, uint64_t dir)
{
	make_volume_u64(k, PR_ROW_ENTRY, volume, dir);
}

void pr_key_prefix_xattrs(struct pr_key *k, uint16_t volume, uint64_t ino)
{
	make_volume_u64(k, PR_ROW_XATTR, volume, ino);
}

void pr_key_prefix_maps(struct pr_key *k, uint16_t volume, uint64_t ino)
{
	make_volume_u64(k, PR_ROW_MAP, volume, ino);
}

void pr_key_prefix_spaces(struct pr_key *k, uint16_t volume, uint16_t lun)
{
	make_volume(k, PR_ROW_SPACE, volume);
	add16(k, lun);
}

void pr_key_prefix_slots(struct pr_key *k, uint64_t session)
{
	start(k, PR_ROW_SLOT);
	add64(k, session);
}

void pr_key_after_prefix(struct pr_key *k)
{
	while (k->len > 0 && k->b[k->len - 1] == 0xff)
		k->len--;
	/* A table byte is never 0xff, so something is left to count up. */
	PR_ASSERT(k->len > 0);
	k->b[k->len - 1]++;
}

/* ---- any key ---- */

int pr_key_from_bytes(struct pr_key *k, const uint8_t *p, size_t len)
{
	if (len == 0 || len > PR_KEY_MAX)
		return -EBADMSG;
	memcpy(k->b, p, len);
	k->len = (uint16_t)len;
	return 0;
}

/* What pr_key_check and pr_key_dump need of a key of any table. */
struct parts {
	uint16_t volume, lun;
	uint64_t a, b;
	uint32_t slot;
	struct pr_bytes name;
};

static int parse_any(const uint8_t *p, size_t len, struct parts *x)
{
	switch (pr_key_table(p, len)) {
	case PR_ROW_META:
		return pr_key_parse_meta(p, len);
	case PR_ROW_VOLUME:
	case PR_ROW_VSTAT:
		return parse_volume(p, len, p[0], &x->volume);
	case PR_ROW_VLUN:
		return pr_key_parse_vlun(p, len, &x->volume, &x->lun);
	case PR_ROW_INODE:
	case PR_ROW_TARGET:
	case PR_ROW_ORPHAN:
	case PR_ROW_REST:
		return parse_volume_u64(p, len, p[0], &x->volume, &x->a);
	case PR_ROW_NAME:
	case PR_ROW_XATTR:
		return parse_volume_u64_name(p, len, p[0], &x->volume, &x->a, &x->name);
	case PR_ROW_ENTRY:
	case PR_ROW_MAP:
		return parse_volume_u64_u64(p, len, p[0], &x->volume, &x->a, &x->b);
	case PR_ROW_SPACE:
		return pr_key_parse_space(p, len, &x->volume, &x->lun, &x->b);
	case PR_ROW_SESSION:
		return pr_key_parse_session(p, len, &x->a);
	case PR_ROW_SLOT:
		return pr_key_parse_slot(p, len, &x->a, &x->slot);
	}
	return -EBADMSG;
}

int pr_key_check(const uint8_t *p, size_t len)
{
	struct parts unused;

	return parse_any(p, len, &unused);
}

static void add_part(struct pr_text *t, char separator, uint64_t v)
{
	pr_text_char(t, separator);
	pr_text_u64(t, v);
}

/* The parts after the table's name, in the order of the key. */
static void dump_parts(struct pr_text *t, uint8_t table, const struct parts *x)
{
	const bool of_session = table == PR_ROW_SESSION || table == PR_ROW_SLOT;
	const bool of_lun = table == PR_ROW_VLUN || table == PR_ROW_SPACE;
	const bool of_volume = table == PR_ROW_VOLUME || table == PR_ROW_VSTAT;

	if (table == PR_ROW_META)
		return;
	add_part(t, ' ', of_session ? x->a : x->volume);
	if (of_lun)
		add_part(t, '/', x->lun);
	else if (table == PR_ROW_SLOT)
		add_part(t, '/', x->slot);
	else if (!of_session && !of_volume)
		add_part(t, '/', x->a);
	if (table == PR_ROW_ENTRY || table == PR_ROW_MAP || table == PR_ROW_SPACE)
		add_part(t, '/', x->b);
	if (x->name.len > 0) {
		pr_text_char(t, '/');
		pr_text_quoted(t, x->name.p, x->name.len);
	}
}

void pr_key_dump(struct pr_text *t, const uint8_t *p, size_t len)
{
	struct parts x = {0};

	if (parse_any(p, len, &x)) {
		pr_text_str(t, "BAD KEY ");
		pr_text_bytes(t, p, len);
		return;
	}
	pr_text_str(t, pr_table_name(p[0]));
	dump_parts(t, p[0], &x);
}
