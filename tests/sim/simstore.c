/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/simstore.h"

struct simstore {
	struct ctl_row **rows; /* each in one allocation with its value; sorted */
	size_t count, cap;
	uint64_t lsn;
};

struct simstore *simstore_new(void)
{
	struct simstore *s = calloc(1, sizeof(*s));

	ASSERT(s);
	return s;
}

static struct ctl_row *row_new(const uint8_t *key, size_t key_len, const void *value,
			       uint32_t bytes)
{
	struct ctl_row *r = malloc(sizeof(*r) + bytes);

	ASSERT(r);
	ASSERT(pr_key_from_bytes(&r->key, key, key_len) == 0);
	if (bytes > 0)
		memcpy(r + 1, value, bytes);
	r->value = (uint8_t *)(r + 1);
	r->bytes = bytes;
	return r;
}

void simstore_clear(struct simstore *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->rows[i]);
	s->count = 0;
	s->lsn = 0;
}

void simstore_free(struct simstore *s)
{
	if (!s)
		return;
	simstore_clear(s);
	free(s->rows);
	free(s);
}

static void reserve(struct simstore *s, size_t n)
{
	if (n <= s->cap)
		return;
	s->cap = n + n / 2 + 64;
	s->rows = realloc(s->rows, s->cap * sizeof(*s->rows));
	ASSERT(s->rows);
}

struct simstore *simstore_copy(const struct simstore *from)
{
	struct simstore *s = simstore_new();

	reserve(s, from->count);
	for (size_t i = 0; i < from->count; i++) {
		struct ctl_row *r = from->rows[i];

		s->rows[s->count++] = row_new(r->key.b, r->key.len, r->value, r->bytes);
	}
	s->lsn = from->lsn;
	return s;
}

uint64_t simstore_lsn(const struct simstore *s)
{
	return s->lsn;
}

size_t simstore_count(const struct simstore *s)
{
	return s->count;
}

void simstore_row(const struct simstore *s, size_t i, struct ctl_row *ret)
{
	ASSERT(i < s->count);
	*ret = *s->rows[i];
}

static size_t lower(const struct simstore *s, const uint8_t *key, size_t len)
{
	size_t lo = 0, hi = s->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (pr_key_cmp_bytes(s->rows[mid]->key.b, s->rows[mid]->key.len, key, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct ctl_row *simstore_find(const struct simstore *s, const struct pr_key *key)
{
	size_t at = lower(s, key->b, key->len);

	return at < s->count && pr_key_cmp(&s->rows[at]->key, key) == 0 ? s->rows[at] : NULL;
}

void simstore_put(struct simstore *s, const struct pr_key *key, const void *value, uint32_t bytes)
{
	size_t at = lower(s, key->b, key->len);

	if (at < s->count && pr_key_cmp(&s->rows[at]->key, key) == 0) {
		free(s->rows[at]);
		s->count--;
		memmove(&s->rows[at], &s->rows[at + 1], (s->count - at) * sizeof(*s->rows));
	}
	if (!value)
		return;
	reserve(s, s->count + 1);
	memmove(&s->rows[at + 1], &s->rows[at], (s->count - at) * sizeof(*s->rows));
	s->rows[at] = row_new(key->b, key->len, value, bytes);
	s->count++;
}

void simstore_set_lsn(struct simstore *s, uint64_t lsn)
{
	s->lsn = lsn;
}

/* Merges two sorted sequences; the flush wins. */
void simstore_flush(struct simstore *s, struct ctl_flush *f, uint64_t lsn)
{
	struct simstore next = {.lsn = lsn};
	const uint8_t *last = NULL;
	size_t n = ctl_flush_count(f), old = 0, last_len = 0;

	ASSERT(lsn >= s->lsn);
	ctl_flush_sort(f);
	reserve(&next, s->count + n);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *key, *value;
		size_t key_len, bytes;
		int d = -1;

		ctl_flush_get(f, i, &key, &key_len, &value, &bytes);
		ASSERT(!last || pr_key_cmp_bytes(last, last_len, key, key_len) < 0);
		last = key;
		last_len = key_len;
		while (old < s->count &&
		       (d = pr_key_cmp_bytes(s->rows[old]->key.b, s->rows[old]->key.len, key,
					     key_len)) < 0)
			next.rows[next.count++] = s->rows[old++];
		if (old < s->count && d == 0)
			free(s->rows[old++]);
		if (value)
			next.rows[next.count++] = row_new(key, key_len, value, (uint32_t)bytes);
	}
	while (old < s->count)
		next.rows[next.count++] = s->rows[old++];
	free(s->rows);
	*s = next;
}

uint32_t simstore_fetch(const struct simstore *s, const struct ctl_fetch *f, struct ctl_row *rows,
			bool *ret_complete)
{
	size_t at = lower(s, f->key.b, f->key.len);
	uint32_t n = 0;

	*ret_complete = true;
	if (f->kind == CTL_FETCH_ONE) {
		if (at < s->count && pr_key_cmp(&s->rows[at]->key, &f->key) == 0)
			rows[n++] = *s->rows[at];
		return n;
	}
	for (;;) {
		if (f->kind == CTL_FETCH_FROM ? at == s->count : at == 0)
			return n;
		if (f->kind == CTL_FETCH_BEFORE)
			at--;
		if (s->rows[at]->key.len < f->prefix_len ||
		    memcmp(s->rows[at]->key.b, f->key.b, f->prefix_len) != 0)
			return n;
		if (n == f->rows_max) {
			*ret_complete = false;
			return n;
		}
		rows[n++] = *s->rows[at];
		if (f->kind == CTL_FETCH_FROM)
			at++;
	}
}

uint32_t simstore_copy_read(const struct simstore *s, struct pr_key *at, uint8_t *out,
			    uint32_t bytes, bool *ret_last)
{
	size_t i = at->len ? lower(s, at->b, at->len) : 0;
	struct pr_buf b = pr_buf_on(out, bytes);

	if (at->len && i < s->count && pr_key_cmp(&s->rows[i]->key, at) == 0)
		i++;
	for (; i < s->count; i++) {
		struct ctl_row *r = s->rows[i];

		if (b.cap - b.len < 6u + r->key.len + r->bytes)
			break;
		pr_put_u16(&b, r->key.len);
		pr_put_bytes(&b, r->key.b, r->key.len);
		pr_put_u32(&b, r->bytes);
		pr_put_bytes(&b, r->value, r->bytes);
		*at = r->key;
	}
	*ret_last = i == s->count;
	return (uint32_t)b.len;
}

int simstore_copy_put(struct simstore *s, const uint8_t *p, uint32_t len)
{
	struct pr_cur c = pr_cur_on(p, len);

	while (c.left > 0) {
		struct pr_key key;
		const uint8_t *k, *v;
		uint16_t key_len;
		uint32_t bytes;

		if (!pr_get_u16(&c, &key_len) || !(k = pr_cur_take(&c, key_len)) ||
		    !pr_get_u32(&c, &bytes) || !(v = pr_cur_take(&c, bytes)) ||
		    pr_key_from_bytes(&key, k, key_len))
			return -EBADMSG;
		simstore_put(s, &key, v, bytes);
	}
	return 0;
}
