/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What sessions hold of inodes: opens and layouts. Volatile: after a failover every session says again
 * what it holds, and until all have (or are fenced) nothing is granted that could conflict.
 */
#include "controller/core/ctl_int.h"

enum { RECALL_AGAIN_MS = 1000 };

static struct ctl_held **bucket_of(struct ctl *c, uint16_t volume, uint64_t ino)
{
	return &c->held_buckets[((ino ^ (uint64_t)volume << 48) * UINT64_C(0x9e3779b97f4a7c15) >>
				 40) %
				CTL_HELD_BUCKETS];
}

struct ctl_held *ctl_held_find(struct ctl *c, const struct ctl_session *s, uint64_t ino)
{
	struct ctl_held *h = *bucket_of(c, s->volume, ino);

	while (h && (h->ino != ino || h->session != s))
		h = h->chain;
	return h;
}

struct ctl_held *ctl_held_make(struct ctl *c, struct ctl_session *s, uint64_t ino)
{
	struct ctl_held *h = ctl_held_find(c, s, ino), **bucket;

	if (h)
		return h;
	h = c->held_free;
	if (h)
		c->held_free = h->chain;
	else
		h = malloc(sizeof(*h));
	ASSERT_MEMORY(h);
	memset(h, 0, sizeof(*h));
	h->session = s;
	h->ino = ino;
	h->volume = s->volume;
	ctl_link_add(&s->held, &h->of_session);
	bucket = bucket_of(c, s->volume, ino);
	h->chain = *bucket;
	*bucket = h;
	return h;
}

static bool held_by_any(struct ctl *c, uint16_t volume, uint64_t ino)
{
	for (struct ctl_held *h = *bucket_of(c, volume, ino); h; h = h->chain)
		if (h->ino == ino && h->volume == volume)
			return true;
	return false;
}

/* The last user is gone: blocks beyond the end go back, and an inode without a name may go. */
static void last_use_ended(struct ctl *c, uint16_t volume, uint64_t ino, bool wrote)
{
	struct ctl_volume *v = ctl_volume_find(c, volume);

	if (!c->serving || !v || held_by_any(c, volume, ino))
		return;
	if (v->reap.held)
		v->reap.wanted = true;
	if (wrote)
		ctl_job(c, &ctl_kind_trim, volume, ino);
}

static void not_recalled(struct ctl *c, struct ctl_held *h)
{
	if (h->recalled_ms)
		c->recalls--;
	h->recalled_ms = h->recall_sent_ms = 0;
}

void ctl_held_drop(struct ctl *c, struct ctl_held *h)
{
	struct ctl_held **at = bucket_of(c, h->volume, h->ino);
	uint64_t ino = h->ino;
	uint16_t volume = h->volume;
	bool wrote = h->wrote;

	not_recalled(c, h);
	while (*at != h)
		at = &(*at)->chain;
	*at = h->chain;
	ctl_link_del(&h->of_session);
	h->chain = c->held_free;
	c->held_free = h;
	last_use_ended(c, volume, ino, wrote);
}

void ctl_held_drop_all(struct ctl *c, struct ctl_session *s)
{
	while (!ctl_link_empty(&s->held))
		ctl_held_drop(c, CTL_OF(struct ctl_held, of_session, s->held.next));
}

static void tidy(struct ctl *c, struct ctl_held *h)
{
	if (h->opens == 0 && h->mode == PR_LAYOUT_NONE)
		ctl_held_drop(c, h);
}

bool ctl_session_holds_layouts(const struct ctl_session *s)
{
	for (struct ctl_link *l = s->held.next; l != &s->held; l = l->next)
		if (CTL_OF(struct ctl_held, of_session, l)->mode != PR_LAYOUT_NONE)
			return true;
	return false;
}

/* ---- opens ---- */

void ctl_held_open(struct ctl *c, uint64_t session, uint64_t ino, uint32_t opens)
{
	struct ctl_session *s = ctl_session_find(c, session);

	if (s && opens > 0)
		ctl_held_make(c, s, ino)->opens += opens;
}

void ctl_held_close(struct ctl *c, uint64_t session, uint64_t ino, uint32_t opens)
{
	struct ctl_session *s = ctl_session_find(c, session);
	struct ctl_held *h = s ? ctl_held_find(c, s, ino) : NULL;

	if (!h)
		return;
	h->opens -= opens < h->opens ? opens : h->opens;
	tidy(c, h);
}

/* ---- layouts ---- */

void ctl_layouts_moved(struct ctl *c)
{
	ctl_link_splice(&c->ready_ops, &c->layout_waits);
	for (struct ctl_volume *v = c->volumes; v; v = v->next) {
		v->rest.wanted |= v->rest.held;
		v->reap.wanted |= v->reap.held;
	}
}

static void recall(struct ctl *c, struct ctl_held *h)
{
	struct pr_recall r = {.ino = h->ino, .generation = h->generation, .mode = h->mode};
	struct pr_frame f = {.type = PR_T_RECALL, .session = h->session->id};
	struct ctl_conn *to = NULL;
	uint8_t bytes[64];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));

	if (h->recalled_ms && c->now_ms < h->recall_sent_ms + RECALL_AGAIN_MS)
		return;
	if (!h->recalled_ms) {
		h->recalled_ms = c->recall_ms ? c->recall_ms : 1;
		c->recalls++;
	}
	h->recall_sent_ms = c->now_ms;
	for (struct ctl_link *l = h->session->conns.next; l != &h->session->conns; l = l->next) {
		struct ctl_conn *conn = CTL_OF(struct ctl_conn, of_session, l);

		if (!to || conn->channel != PR_CH_ACCESS)
			to = conn;
	}
	if (!to)
		return;
	ASSERT(pr_recall_encode(&b, &r) == 0);
	ctl_send(c, to, &f, bytes, (uint32_t)b.len, GATE_FREE);
}

/*
 * Some session of the volume has not said yet what it holds, and it may be something of this inode that is in the way of mode. One from
 * before the promotion holds nothing of what was made since, and a reader no layout for writing.
 */
static bool somebody_unbound(struct ctl *c, const struct ctl_session *but, uint16_t volume,
			     uint64_t ino, uint8_t mode)
{
	const struct ctl_volume *v = ctl_volume_find(c, volume);
	bool made_here = v && ino >= v->served_ino;

	if (c->unbound == 0)
		return false;
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		if (s == but || s->volume != volume || s->rebound || (made_here && !s->was_bound))
			continue;
		if (mode == PR_LAYOUT_READ && (s->flags & PR_OPEN_READER))
			continue;
		return true;
	}
	return false;
}

bool ctl_held_free(struct ctl *c, const struct ctl_session *s, uint16_t volume, uint64_t ino,
		   uint8_t mode)
{
	bool ok = !somebody_unbound(c, s, volume, ino, mode);

	for (struct ctl_held *h = *bucket_of(c, volume, ino); h; h = h->chain) {
		if (h->ino != ino || h->volume != volume || h->session == s)
			continue;
		if (mode == PR_LAYOUT_WRITE ? h->mode == PR_LAYOUT_NONE
					    : h->mode != PR_LAYOUT_WRITE)
			continue;
		recall(c, h);
		ok = false;
	}
	return ok;
}

void ctl_held_grant(struct ctl *c, uint64_t session, uint64_t ino, uint8_t mode,
		    uint64_t generation)
{
	struct ctl_session *s = ctl_session_find(c, session);
	struct ctl_held *h;

	if (!s)
		return;
	h = ctl_held_make(c, s, ino);
	if (mode > h->mode)
		h->mode = mode;
	if (generation > h->generation)
		h->generation = generation;
	h->wrote |= mode == PR_LAYOUT_WRITE;
}

void ctl_held_return(struct ctl *c, uint64_t session, uint64_t ino, uint64_t generation)
{
	struct ctl_session *s = ctl_session_find(c, session);
	struct ctl_held *h = s ? ctl_held_find(c, s, ino) : NULL;

	/* a grant made since then, still on its way to the client, stays */
	if (!h || h->mode == PR_LAYOUT_NONE || generation < h->generation)
		return;
	h->mode = PR_LAYOUT_NONE;
	not_recalled(c, h);
	tidy(c, h);
	ctl_layouts_moved(c);
}

/* Who must commit before he can return what he holds is not late while nothing is committed. */
static void run_recall_clock(struct ctl *c)
{
	bool waits = !ctl_link_empty(&c->blocked) || c->commit < c->submitted;

	if (!waits || c->commit != c->recall_tick_commit)
		c->recall_ms += c->served_ms - c->recall_tick_ms;
	c->recall_tick_ms = c->served_ms;
	c->recall_tick_commit = c->commit;
}

void ctl_held_tick(struct ctl *c)
{
	run_recall_clock(c);
	if (c->recalls == 0)
		return;
	for (struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		for (struct ctl_link *k = s->held.next; k != &s->held; k = k->next) {
			struct ctl_held *h = CTL_OF(struct ctl_held, of_session, k);

			if (!h->recalled_ms)
				continue;
			if (c->recall_ms > h->recalled_ms + CTL_RECALL_MS && !s->ending) {
				ctl_log(c, 4,
					"session %llu of %s returns no layout of inode %llu: it is fenced",
					(unsigned long long)s->id, s->host,
					(unsigned long long)h->ino);
				s->ending = true;
				ctl_job(c, &ctl_kind_fence, s->volume, s->id);
				break;
			}
			recall(c, h);
		}
	}
}

/* ---- the namespace's questions ---- */

bool ctl_is_open(struct ctl *c, uint16_t volume, uint64_t ino)
{
	if (somebody_unbound(c, NULL, volume, ino, PR_LAYOUT_WRITE))
		return true;
	for (struct ctl_held *h = *bucket_of(c, volume, ino); h; h = h->chain)
		if (h->ino == ino && h->volume == volume && h->opens > 0)
			return true;
	return false;
}

bool ctl_in_use(struct ctl *c, uint16_t volume, uint64_t ino)
{
	return held_by_any(c, volume, ino) ||
	       somebody_unbound(c, NULL, volume, ino, PR_LAYOUT_WRITE);
}

/* An open that was executed and whose reply was lost is in no bind: it counts when it is asked again. */
static bool somebody_settles(const struct ctl *c, uint16_t volume)
{
	if (c->settling == 0)
		return false;
	for (const struct ctl_link *l = c->sessions.next; l != &c->sessions; l = l->next) {
		const struct ctl_session *s = CTL_OF(struct ctl_session, all, l);

		if (s->settling && s->volume == volume)
			return true;
	}
	return false;
}

bool ctl_may_reap(void *user, uint16_t volume, uint64_t ino)
{
	struct ctl *c = user;
	struct ctl_volume *v = ctl_volume_find(c, volume);

	if (!somebody_settles(c, volume) && !ctl_in_use(c, volume, ino))
		return true;
	/* Closed everywhere, it is kept by layouts alone: they are asked back if space is short. */
	for (struct ctl_held *h = *bucket_of(c, volume, ino); h; h = h->chain)
		if (h->ino == ino && h->volume == volume && h->opens == 0 &&
		    h->mode != PR_LAYOUT_NONE && !ctl_link_empty(&c->space_waits))
			recall(c, h);
	if (v)
		v->reap.held = true;
	return false;
}

/* While anybody holds a layout of the inode he may still write where it was: he is asked to return it if space is short. */
bool ctl_may_reuse(void *user, uint16_t volume, uint64_t ino, uint64_t since_lsn)
{
	struct ctl *c = user;
	struct ctl_volume *v = ctl_volume_find(c, volume);
	bool free = !somebody_unbound(c, NULL, volume, ino, PR_LAYOUT_WRITE);

	for (struct ctl_held *h = *bucket_of(c, volume, ino); h; h = h->chain) {
		if (h->ino != ino || h->volume != volume || h->mode == PR_LAYOUT_NONE)
			continue;
		free = false;
		if (!ctl_link_empty(&c->space_waits))
			recall(c, h);
	}
	/* what was freed by a record that is not committed is not free */
	if (since_lsn > c->commit)
		free = false;
	if (!free && v)
		v->rest.held = true;
	return free;
}
