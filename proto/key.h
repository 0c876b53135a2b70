/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The keys of the rows: made, taken apart, compared. Integers in them are big-endian, so that the
 * order of the bytes is the order of the parts. rows.def says which parts each table's key has.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/cursor.h"
#include "proto/text.h"

enum { PR_KEY_MAX = 288 };

struct pr_key {
	uint16_t len;
	uint8_t b[PR_KEY_MAX];
};

/* ---- makers; name_len of 1..255 is asserted ---- */
void pr_key_meta(struct pr_key *k);
void pr_key_volume(struct pr_key *k, uint16_t volume);
void pr_key_vlun(struct pr_key *k, uint16_t volume, uint16_t lun);
void pr_key_vstat(struct pr_key *k, uint16_t volume);
void pr_key_inode(struct pr_key *k, uint16_t volume, uint64_t ino);
void pr_key_name(struct pr_key *k, uint16_t volume, uint64_t dir, const void *name,
		 size_t name_len);
void pr_key_entry(struct pr_key *k, uint16_t volume, uint64_t dir, uint64_t cookie);
void pr_key_target(struct pr_key *k, uint16_t volume, uint64_t ino);
void pr_key_xattr(struct pr_key *k, uint16_t volume, uint64_t ino, const void *name,
		  size_t name_len);
void pr_key_map(struct pr_key *k, uint16_t volume, uint64_t ino, uint64_t file_block);
void pr_key_orphan(struct pr_key *k, uint16_t volume, uint64_t ino);
void pr_key_space(struct pr_key *k, uint16_t volume, uint16_t lun, uint64_t block);
void pr_key_rest(struct pr_key *k, uint16_t volume, uint64_t sequence);
void pr_key_session(struct pr_key *k, uint64_t session);
void pr_key_slot(struct pr_key *k, uint64_t session, uint32_t slot);

/* ---- prefixes, for scans of all keys that begin so ---- */
void pr_key_prefix_table(struct pr_key *k, uint8_t table);
void pr_key_prefix_volume(struct pr_key *k, uint8_t table, uint16_t volume);
void pr_key_prefix_names(struct pr_key *k, uint16_t volume, uint64_t dir);
void pr_key_prefix_entries(struct pr_key *k, uint16_t volume, uint64_t dir);
void pr_key_prefix_xattrs(struct pr_key *k, uint16_t volume, uint64_t ino);
void pr_key_prefix_maps(struct pr_key *k, uint16_t volume, uint64_t ino);
void pr_key_prefix_spaces(struct pr_key *k, uint16_t volume, uint16_t lun);
void pr_key_prefix_slots(struct pr_key *k, uint64_t session);
/* Turns a prefix into the first key after all that begin with it. */
void pr_key_after_prefix(struct pr_key *k);

/* ---- parsers: 0, or -EBADMSG when it is no such key. Names point into the key. ---- */
int pr_key_parse_meta(const uint8_t *p, size_t len);
int pr_key_parse_volume(const uint8_t *p, size_t len, uint16_t *volume);
int pr_key_parse_vlun(const uint8_t *p, size_t len, uint16_t *volume, uint16_t *lun);
int pr_key_parse_vstat(const uint8_t *p, size_t len, uint16_t *volume);
int pr_key_parse_inode(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino);
int pr_key_parse_name(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *dir,
		      struct pr_bytes *name);
int pr_key_parse_entry(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *dir,
		       uint64_t *cookie);
int pr_key_parse_target(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino);
int pr_key_parse_xattr(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino,
		       struct pr_bytes *name);
int pr_key_parse_map(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino,
		     uint64_t *file_block);
int pr_key_parse_orphan(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *ino);
int pr_key_parse_space(const uint8_t *p, size_t len, uint16_t *volume, uint16_t *lun,
		       uint64_t *block);
int pr_key_parse_rest(const uint8_t *p, size_t len, uint16_t *volume, uint64_t *sequence);
int pr_key_parse_session(const uint8_t *p, size_t len, uint64_t *session);
int pr_key_parse_slot(const uint8_t *p, size_t len, uint64_t *session, uint32_t *slot);

/* enum pr_row of a key, 0 for an empty one. */
static inline uint8_t pr_key_table(const uint8_t *p, size_t len)
{
	return len > 0 ? p[0] : 0;
}

/* 0 when it is a well-formed key of some table, else -EBADMSG. */
int pr_key_check(const uint8_t *p, size_t len);

/* Below, at or above 0 as a stands before, at or after b, in the order LMDB keeps them. */
static inline int pr_key_cmp_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int d = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return d ? d : (a_len > b_len) - (a_len < b_len);
}

static inline int pr_key_cmp(const struct pr_key *a, const struct pr_key *b)
{
	return pr_key_cmp_bytes(a->b, a->len, b->b, b->len);
}

static inline bool pr_key_has_prefix(const struct pr_key *k, const struct pr_key *prefix)
{
	return k->len >= prefix->len && memcmp(k->b, prefix->b, prefix->len) == 0;
}

static inline struct pr_bytes pr_key_bytes(const struct pr_key *k)
{
	return (struct pr_bytes){.p = k->b, .len = k->len};
}

/* Copies a key; -EBADMSG when it is empty or longer than PR_KEY_MAX. */
int pr_key_from_bytes(struct pr_key *k, const uint8_t *p, size_t len);

/* "inode 1/5", "name 1/2/\"etc\""; a malformed one in hexadecimal. */
void pr_key_dump(struct pr_text *t, const uint8_t *p, size_t len);
