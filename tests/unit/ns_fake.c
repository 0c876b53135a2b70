/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/ns_fake.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "controller/core/ns_node.h"

struct row {
	struct pr_key key;
	uint8_t *value;
	uint32_t bytes;
};

struct undo {
	struct pr_key key;
	uint8_t *old; /* NULL: was not there */
	uint32_t bytes;
	bool first; /* change of this key in this run */
};

struct tx fake_tx;
uint64_t fake_rand_state;
bool fake_open[1 << 22];
bool fake_reuse;
unsigned int fake_miss_one_in;
int fake_result;
uint64_t fake_misses, fake_again;

static struct row **rows;
static size_t row_count, row_cap;
static struct undo *undos;
static size_t undo_count, undo_cap;
static uint32_t changes;
static void **garbage;
static size_t garbage_count, garbage_cap;
static struct ns_hint hint, hint_before;
static uint64_t lsn, reads, miss_at;
static unsigned int restarts;
static int64_t now;
static uint8_t scratch_bytes[256 << 10];
static struct pr_buf scratch;

uint64_t fake_rand(void)
{
	uint64_t z = (fake_rand_state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* ---- the array ---- */

static size_t lower_bound(const struct pr_key *k)
{
	size_t a = 0, b = row_count;

	while (a < b) {
		size_t m = (a + b) / 2;

		if (pr_key_cmp(&rows[m]->key, k) < 0)
			a = m + 1;
		else
			b = m;
	}
	return a;
}

static bool row_is(size_t i, const struct pr_key *k)
{
	return i < row_count && pr_key_cmp(&rows[i]->key, k) == 0;
}

static void discard(void *p)
{
	if (garbage_count == garbage_cap) {
		garbage_cap = garbage_cap ? garbage_cap * 2 : 64;
		garbage = realloc(garbage, garbage_cap * sizeof(*garbage));
	}
	garbage[garbage_count++] = p;
}

/* Takes value over; NULL deletes. Returns what stood there. */
static uint8_t *row_set(const struct pr_key *k, uint8_t *value, uint32_t bytes, uint32_t *ret_bytes)
{
	size_t i = lower_bound(k);
	uint8_t *old = NULL;

	*ret_bytes = 0;
	if (row_is(i, k)) {
		old = rows[i]->value;
		*ret_bytes = rows[i]->bytes;
		rows[i]->value = value;
		rows[i]->bytes = bytes;
		if (!value) {
			free(rows[i]);
			memmove(&rows[i], &rows[i + 1], (--row_count - i) * sizeof(*rows));
		}
		return old;
	}
	if (!value)
		return NULL;
	if (row_count == row_cap) {
		row_cap = row_cap ? row_cap * 2 : 1024;
		rows = realloc(rows, row_cap * sizeof(*rows));
	}
	memmove(&rows[i + 1], &rows[i], (row_count++ - i) * sizeof(*rows));
	rows[i] = malloc(sizeof(**rows));
	*rows[i] = (struct row){.key = *k, .value = value, .bytes = bytes};
	return NULL;
}

static void change(const struct pr_key *k, uint8_t *value, uint32_t bytes)
{
	struct undo u = {.key = *k, .first = true};

	for (size_t i = 0; i < undo_count && u.first; i++)
		u.first = pr_key_cmp(&undos[i].key, k) != 0;
	u.old = row_set(k, value, bytes, &u.bytes);
	changes += u.first;
	cr_assert_leq(changes, TX_CHANGES_MAX, "a record of unlimited size");
	if (undo_count == undo_cap) {
		undo_cap = undo_cap ? undo_cap * 2 : 64;
		undos = realloc(undos, undo_cap * sizeof(*undos));
	}
	undos[undo_count++] = u;
}

static void undo_all(void)
{
	uint32_t bytes;

	while (undo_count > 0) {
		struct undo *u = &undos[--undo_count];

		discard(row_set(&u->key, u->old, u->bytes, &bytes));
	}
}

static void keep_all(void)
{
	uint16_t volume;
	uint64_t ino;

	while (undo_count > 0) {
		struct undo *u = &undos[--undo_count];

		if (u->key.b[0] == PR_ROW_ORPHAN &&
		    pr_key_parse_orphan(u->key.b, u->key.len, &volume, &ino) == 0)
			ns_hint_orphan(&hint, ino);
		discard(u->old);
	}
}

static void collect(void)
{
	while (garbage_count > 0)
		free(garbage[--garbage_count]);
}

/* ---- the face of tx.h ---- */

static bool missing(void)
{
	bool miss;

	reads++;
	if (miss_at > 0)
		miss = reads == miss_at;
	else
		miss = fake_miss_one_in > 0 && restarts < 40 &&
		       fake_below(fake_miss_one_in * (1 + restarts)) == 0;
	fake_misses += miss;
	return miss;
}

int tx_get(struct tx *tx, const struct pr_key *key, struct pr_bytes *ret_value)
{
	size_t i = lower_bound(key);

	if (missing())
		return TX_MISS;
	if (!row_is(i, key))
		return -ENOENT;
	*ret_value = pr_bytes_of(rows[i]->value, rows[i]->bytes);
	return 0;
}

int tx_seek(struct tx *tx, const struct pr_key *from, uint16_t prefix_len, int dir,
	    struct pr_key *ret_key, struct pr_bytes *ret_value)
{
	struct pr_key prefix = {.len = prefix_len};
	size_t i = lower_bound(from);

	memcpy(prefix.b, from->b, prefix_len);
	if (missing())
		return TX_MISS;
	if (dir < 0 && i-- == 0)
		return -ENOENT;
	if (i >= row_count || !pr_key_has_prefix(&rows[i]->key, &prefix))
		return -ENOENT;
	*ret_key = rows[i]->key;
	*ret_value = pr_bytes_of(rows[i]->value, rows[i]->bytes);
	return 0;
}

void tx_put(struct tx *tx, const struct pr_key *key, const uint8_t *value, uint32_t bytes)
{
	uint8_t *copy = malloc(bytes + 1);

	memcpy(copy, value, bytes);
	cr_assert_eq(pr_row_check(key->b, key->len, copy, bytes), 0);
	change(key, copy, bytes);
}

void tx_del(struct tx *tx, const struct pr_key *key)
{
	change(key, NULL, 0);
}

uint8_t *tx_room(struct tx *tx, uint32_t bytes)
{
	uint8_t *p = malloc(bytes + 1);

	discard(p);
	return p;
}

void tx_put_room(struct tx *tx, const struct pr_key *key, const uint8_t *value, uint32_t bytes)
{
	tx_put(tx, key, value, bytes);
}

void tx_prefetch(struct tx *tx, const struct pr_key *key)
{
}

/* Believed by the rows, so it had better be true: even of what was there once. */
void tx_known_empty(struct tx *tx, const struct pr_key *prefix)
{
	size_t i = lower_bound(prefix);

	cr_assert(i >= row_count || !pr_key_has_prefix(&rows[i]->key, prefix));
}

uint32_t tx_change_count(const struct tx *tx)
{
	return changes;
}

struct pr_buf *ns_scratch(struct tx *tx)
{
	return &scratch;
}

bool ctl_is_open(struct ctl *ctl, uint16_t volume, uint64_t ino)
{
	return fake_open[ino];
}

uint64_t ctl_new_ino(struct tx *tx)
{
	struct pr_row_volume volume;
	uint64_t ino;

	if (tx_get_volume(tx, &volume))
		return 0;
	ino = volume.next_ino++;
	tx_put_volume(tx, &volume);
	return ino;
}

uint64_t ctl_layout_generation(struct ctl *ctl)
{
	return 1;
}

struct ns_hint *ctl_ns_hint(struct ctl *ctl, uint16_t volume)
{
	return &hint;
}

/* ---- runs ---- */

void fake_reset(uint64_t seed)
{
	while (row_count > 0) {
		free(rows[--row_count]->value);
		free(rows[row_count]);
	}
	fake_rand_state = seed;
	fake_miss_one_in = 0;
	fake_reuse = true;
	memset(fake_open, 0, sizeof(fake_open));
	memset(&hint, 0, sizeof(hint));
	lsn = 1;
	now = 1000;
	restarts = 0;
	miss_at = 0;
}

void fake_begin(void)
{
	fake_tx = (struct tx){.volume = 1, .now_ns = now, .lsn = lsn};
	scratch = pr_buf_on(scratch_bytes, sizeof(scratch_bytes));
	hint_before = hint;
	changes = 0;
	reads = 0;
	collect();
}

bool fake_end(int r)
{
	if (r == TX_MISS)
		cr_assert_eq(memcmp(&hint, &hint_before, sizeof(hint)), 0);
	if (r >= 0) {
		lsn += changes > 0;
		keep_all();
	} else {
		undo_all();
	}
	if (r == TX_MISS) {
		restarts++;
		return true;
	}
	restarts = 0;
	if (r == NS_AGAIN) {
		cr_assert_gt(changes, 0, "would run for ever");
		fake_again++;
		return true;
	}
	now += 1000;
	return false;
}

static struct {
	uint64_t before, after, reads;
	struct ns_hint hint;
	unsigned int one_in;
	int r;
} trial;

void fake_trial_begin(void)
{
	trial.before = fake_hash();
	trial.one_in = fake_miss_one_in;
	trial.hint = hint;
	trial.reads = 0;
	fake_miss_one_in = 0;
}

/* The first run has no miss and tells how many reads there are; then each misses once. */
bool fake_trial_next(int r)
{
	if (trial.reads == 0) {
		trial.reads = reads;
		trial.r = r;
		trial.after = fake_hash();
	} else {
		cr_assert_eq(r, TX_MISS);
		cr_assert_eq(memcmp(&hint, &trial.hint, sizeof(hint)), 0);
	}
	undo_all();
	cr_assert_eq(fake_hash(), trial.before);
	hint = trial.hint;
	if (miss_at++ < trial.reads)
		return true;
	miss_at = 0;
	fake_miss_one_in = trial.one_in;
	return false;
}

static bool may_reap(void *user, uint16_t volume, uint64_t ino)
{
	return !fake_open[ino];
}

static bool may_reuse(void *user, uint16_t volume, uint64_t ino, uint64_t since_lsn)
{
	return fake_reuse;
}

const struct ns_gate fake_gate = {.may_reap = may_reap, .may_reuse = may_reuse};

static void steps(int (*step)(struct tx *, const struct ns_gate *))
{
	unsigned int count = 0;
	bool miss;
	int r;

	do {
		fake_begin();
		r = step(&fake_tx, &fake_gate);
		miss = r == TX_MISS;
		cr_assert(r == 0 || r == 1 || miss, "step says %d", r);
		fake_end(r == 1 ? 0 : r);
		cr_assert_lt(count++, 1000000);
	} while (r == 1 || miss);
}

void fake_reap(void)
{
	steps(ns_reap_step);
}

void fake_rest(void)
{
	steps(ns_rest_step);
}

struct pr_cred fake_cred(uint32_t uid, uint32_t gid)
{
	return (struct pr_cred){.uid = uid, .gid = gid};
}

void fake_volume(uint32_t luns, uint64_t blocks)
{
	struct ns_lun lun[4];
	uint8_t uuid[16] = {7};
	char name[4][16];
	uint16_t volume;

	for (uint32_t i = 0; i < luns; i++) {
		snprintf(name[i], sizeof(name[i]), "lun%u", i);
		lun[i] = (struct ns_lun){.uuid = {(uint8_t)(i + 1)},
					 .name = name[i],
					 .blocks = blocks + 16,
					 .data_block = 16};
	}
	cr_assert_eq(FAKE_RUN(ns_volume_create(&fake_tx, "vol1", uuid, lun, luns, &volume)), 0);
	cr_assert_eq(volume, 1);
}

/* ---- checks ---- */

uint64_t fake_hash(void)
{
	uint64_t h = row_count;

	for (size_t i = 0; i < row_count; i++) {
		h = pr_hash64(rows[i]->key.b, rows[i]->key.len, h);
		h = pr_hash64(rows[i]->value, rows[i]->bytes, h);
	}
	return h;
}

size_t fake_row_count(uint8_t table)
{
	size_t n = 0;

	for (size_t i = 0; i < row_count; i++)
		n += rows[i]->key.b[0] == table;
	return n;
}

static struct row *find(const struct pr_key *k)
{
	size_t i = lower_bound(k);

	return row_is(i, k) ? rows[i] : NULL;
}

/* What the other rows say about an inode. */
struct fact {
	uint64_t ino; /* 0: a free place */
	bool there, orphan;
	struct pr_row_inode row;
	uint64_t names, entries, subdirs, blocks, xattrs, map_end;
	struct map_row {
		uint64_t end;
		struct pr_row_map row;
	} last;
	bool target;
	uint64_t target_bytes;
};
enum { FACTS_MAX = 1 << 15 };
static struct fact facts[FACTS_MAX];

struct piece {
	uint16_t lun;
	uint64_t block, blocks;
};
static struct piece pieces[1 << 20];
static size_t piece_count;
static uint64_t free_sum, rest_sum;

static void add_piece(uint16_t lun, uint64_t block, uint64_t blocks)
{
	pieces[piece_count++] = (struct piece){lun, block, blocks};
}

static int piece_cmp(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->lun != y->lun)
		return x->lun < y->lun ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

static struct fact *fact(uint64_t ino)
{
	size_t i = (ino * 0x9e3779b97f4a7c15) >> 49;

	while (facts[i].ino != 0 && facts[i].ino != ino)
		i = (i + 1) % FACTS_MAX;
	facts[i].ino = ino;
	return &facts[i];
}

static void see_name(const struct row *r)
{
	struct pr_row_inode child;
	struct pr_row_entry entry;
	struct pr_row_name name;
	struct pr_bytes text;
	struct pr_key k;
	struct row *other;
	uint16_t volume;
	uint64_t dir;

	cr_assert_eq(pr_key_parse_name(r->key.b, r->key.len, &volume, &dir, &text), 0);
	cr_assert_eq(pr_row_name_decode(&name, r->value, r->bytes), 0);
	pr_key_entry(&k, volume, dir, name.cookie);
	other = find(&k);
	cr_assert(other, "a name without an entry");
	cr_assert_eq(pr_row_entry_decode(&entry, other->value, other->bytes), 0);
	cr_assert(pr_bytes_equal(entry.name, text));
	cr_assert_eq(entry.ino, name.ino);
	pr_key_inode(&k, volume, name.ino);
	other = find(&k);
	cr_assert(other, "a name that dangles");
	cr_assert_eq(pr_row_inode_decode(&child, other->value, other->bytes), 0);
	cr_assert_eq(child.mode & S_IFMT, name.type);
	fact(name.ino)->names++;
	fact(dir)->entries++;
	if (S_ISDIR(name.type)) {
		fact(dir)->subdirs++;
		cr_assert_eq(child.parent, dir);
	}
}

static void see_map(const struct row *r)
{
	struct pr_row_map map;
	struct fact *f;
	uint16_t volume;
	uint64_t ino, at;

	cr_assert_eq(pr_key_parse_map(r->key.b, r->key.len, &volume, &ino, &at), 0);
	cr_assert_eq(pr_row_map_decode(&map, r->value, r->bytes), 0);
	f = fact(ino);
	cr_assert(map.blocks > 0 && map.state != PR_EXTENT_HOLE);
	cr_assert_geq(at, f->last.end, "extents overlap");
	cr_assert(at > f->last.end || f->last.end == 0 || f->last.row.lun != map.lun ||
			  f->last.row.state != map.state ||
			  f->last.row.lun_block + f->last.row.blocks != map.lun_block,
		  "two rows could be one");
	f->last.end = at + map.blocks;
	f->last.row = map;
	f->blocks += map.blocks;
	add_piece(map.lun, map.lun_block, map.blocks);
}

static void see(const struct row *r)
{
	struct pr_row_target target;
	struct pr_row_space space;
	struct pr_row_rest rest;
	struct pr_bytes name;
	struct fact *f;
	uint16_t volume, lun;
	uint64_t ino, at;

	switch (r->key.b[0]) {
	case PR_ROW_INODE:
		cr_assert_eq(pr_key_parse_inode(r->key.b, r->key.len, &volume, &ino), 0);
		f = fact(ino);
		f->there = true;
		cr_assert_eq(pr_row_inode_decode(&f->row, r->value, r->bytes), 0);
		break;
	case PR_ROW_NAME:
		see_name(r);
		break;
	case PR_ROW_MAP:
		see_map(r);
		break;
	case PR_ROW_TARGET:
		pr_key_parse_target(r->key.b, r->key.len, &volume, &ino);
		cr_assert_eq(pr_row_target_decode(&target, r->value, r->bytes), 0);
		fact(ino)->target = true;
		fact(ino)->target_bytes = target.text.len;
		break;
	case PR_ROW_XATTR:
		pr_key_parse_xattr(r->key.b, r->key.len, &volume, &ino, &name);
		fact(ino)->xattrs++;
		break;
	case PR_ROW_ORPHAN:
		pr_key_parse_orphan(r->key.b, r->key.len, &volume, &ino);
		fact(ino)->orphan = true;
		break;
	case PR_ROW_SPACE:
		pr_key_parse_space(r->key.b, r->key.len, &volume, &lun, &at);
		cr_assert_eq(pr_row_space_decode(&space, r->value, r->bytes), 0);
		add_piece(lun, at, space.blocks);
		free_sum += space.blocks;
		break;
	case PR_ROW_REST:
		cr_assert_eq(pr_row_rest_decode(&rest, r->value, r->bytes), 0);
		add_piece(rest.lun, rest.lun_block, rest.blocks);
		rest_sum += rest.blocks;
		break;
	}
}

static void check_inode(uint64_t ino, const struct fact *f)
{
	bool dir = S_ISDIR(f->row.mode), trim = f->row.flags & NS_F_TRIM;

	cr_assert(f->there, "inode %lu is gone, but not all that is its", ino);
	cr_assert_eq(f->row.blocks, f->blocks);
	cr_assert_eq(f->row.xattrs, f->xattrs);
	cr_assert_eq(f->row.entries, f->entries);
	cr_assert_eq(f->target, S_ISLNK(f->row.mode));
	cr_assert(!f->target || f->target_bytes == f->row.size);
	cr_assert(f->blocks == 0 || (f->row.flags & NS_F_MAPPED));
	cr_assert(f->xattrs == 0 || (f->row.flags & NS_F_XATTRS));
	cr_assert_eq(f->orphan, f->row.nlink == 0 || trim);
	if (ino == 1) {
		cr_assert_eq(f->row.nlink, 2 + f->subdirs);
	} else if (dir) {
		cr_assert_leq(f->names, 1);
		cr_assert_eq(f->row.nlink, f->names ? 2 + f->subdirs : 0);
	} else {
		cr_assert_eq(f->row.nlink, f->names);
	}
}

/* Each block is in one place: the pieces tile the LUNs. */
static void check_pieces(uint64_t blocks)
{
	uint64_t at = 16, sum = 0;

	qsort(pieces, piece_count, sizeof(*pieces), piece_cmp);
	for (size_t i = 0; i < piece_count; i++) {
		if (i > 0 && pieces[i].lun != pieces[i - 1].lun)
			at = 16;
		cr_assert_eq(pieces[i].block, at, "block %lu of LUN %u is in no place or in two",
			     at, pieces[i].lun);
		at += pieces[i].blocks;
		sum += pieces[i].blocks;
	}
	cr_assert_eq(sum, blocks);
}

void fake_check(void)
{
	struct pr_row_vstat stat;
	struct pr_key k;
	uint64_t inodes = 0, cookies = 0, names = 0;

	piece_count = 0;
	free_sum = rest_sum = 0;
	for (size_t i = 0; i < row_count; i++)
		see(rows[i]);
	for (uint64_t i = 0; i < FACTS_MAX; i++) {
		struct fact *f = &facts[i];

		if (f->ino == 0)
			continue;
		check_inode(f->ino, f);
		inodes++;
		names += f->names;
		memset(f, 0, sizeof(*f));
	}
	cookies = fake_row_count(PR_ROW_ENTRY);
	cr_assert_eq(cookies, names);
	pr_key_vstat(&k, 1);
	cr_assert_eq(pr_row_vstat_decode(&stat, find(&k)->value, find(&k)->bytes), 0);
	cr_assert_eq(stat.inodes, inodes);
	cr_assert_eq(stat.blocks_free, free_sum);
	cr_assert_eq(stat.blocks_resting, rest_sum);
	check_pieces(stat.blocks);
}
