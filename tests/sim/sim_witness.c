/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks over the shoulder of both journals: which batch stands at which LSN on each disk, and which of them was committed. What was
 * committed by one is the same for the other, for ever: whole batches are compared, by the hash of what is in them. What is dropped
 * was not acknowledged (I8). Each committed record is given to whom it concerns, in order.
 */
#include "tests/sim/sim.h"

#include "journal/core/format.h"
#include "tests/sim/simstore.h"

#include <stdlib.h>
#include <string.h>

struct sim_batch {
	struct sim_batch *next;
	struct jr_batch *b;
};

static struct sim_batch *batch_of(struct sim *s, struct jr_batch *b)
{
	struct sim_batch *w;

	for (w = s->batches; w; w = w->next) {
		if (memcmp(w->b->hash.b, b->hash.b, sizeof(b->hash.b)) == 0)
			return w;
		/* the other controller writes it soon or late, but mostly soon */
	}
	w = calloc(1, sizeof(*w));
	w->b = jr_batch_ref(b);
	w->next = s->batches;
	s->batches = w;
	return w;
}

static void note_batch(struct sim_node *n, struct sim_batch *w)
{
	if (w->b->last_lsn >= n->log_count) {
		uint64_t count = 2 * w->b->last_lsn + 64;

		n->log = realloc(n->log, count * sizeof(struct sim_batch *));
		memset(n->log + n->log_count, 0,
		       (count - n->log_count) * sizeof(struct sim_batch *));
		n->log_count = count;
	}
	for (uint64_t lsn = w->b->first_lsn; lsn <= w->b->last_lsn; lsn++)
		n->log[lsn] = w;
}

/* The first batch from lsn on that was acknowledged, and stands here. */
static uint64_t first_acked(const struct sim *s, const struct sim_node *n, uint64_t lsn)
{
	for (; lsn <= s->acked_lsn && lsn <= s->committed_lsn && lsn < n->log_count; lsn++)
		if (n->log[lsn] && n->log[lsn] == s->committed[lsn])
			return lsn;
	return 0;
}

/* A recovery that finds the end cut does again what was left to do: nothing can stand behind it that counts. */
static void check_recut(struct sim *s, int node, uint64_t from)
{
	const struct sim_node *n = &s->node[node];
	uint64_t lsn = n->lags || s->damaged == node ? 0 : first_acked(s, n, from);

	if (lsn && s->arbiter.members >> (node - 1) & 1)
		sim_fail(s, "I8", "node %d is a member, and its recovery drops LSN %llu", node,
			 (unsigned long long)lsn);
}

/*
 * I8. Only the target of a resync drops anything, when the record is in the active's epoch and does not name it; an order to promote it may
 * come before that is done. A tail parts from the other journal where it is cut: what was acknowledged of it, as a batch that a repair
 * brought, the other has. So it has all before a full copy, for which all is dropped.
 */
static void check_dropped(struct sim *s, int node, uint64_t from, bool all)
{
	const struct sim_node *n = &s->node[node], *other = &s->node[3 - node];
	const struct ha *ha = ctl_ha(n->ctl);
	uint64_t lsn = from, acked;

	if (ha_role(ha) == PR_ROLE_STARTING) {
		check_recut(s, node, from);
		return;
	}
	while (lsn < n->log_count && !n->log[lsn])
		lsn++;
	if (lsn >= n->log_count)
		return;
	acked = all || s->tail_lost ? 0 : first_acked(s, n, from);
	if ((ha_role(ha) != PR_ROLE_STANDBY && ha_role(ha) != PR_ROLE_PROMOTING) ||
	    ha_dstate(ha) != HA_SYNCTARGET)
		sim_fail(s, "I8", "node %d drops LSN %llu, it is %s and %s", node,
			 (unsigned long long)lsn, pr_role_name(ha_role(ha)),
			 ha_dstate_name(ha_dstate(ha)));
	else if (s->arbiter_set &&
		 (s->arbiter.members >> (node - 1) & 1 || s->arbiter.epoch < ha_epoch(ha)))
		sim_fail(
			s, "I8",
			"node %d drops LSN %llu in epoch %llu, the record is of epoch %llu and names %u",
			node, (unsigned long long)lsn, (unsigned long long)ha_epoch(ha),
			(unsigned long long)s->arbiter.epoch, s->arbiter.members);
	else if (acked && (acked >= other->log_count || other->log[acked] != s->committed[acked]))
		sim_fail(s, "I8", "node %d cuts its tail: LSN %llu in it was acknowledged", node,
			 (unsigned long long)first_acked(s, n, from));
}

/* An entry of the ring that ends what stood behind its tail (CUT), or all there was (BASE). */
static void note_entry(struct sim *s, int node, const uint8_t *p)
{
	struct sim_node *n = &s->node[node];
	uint8_t kind = p[offsetof(struct jr_entry_disk, kind)];
	uint64_t tail = pr_load64(p + offsetof(struct jr_entry_disk, tail_lsn));
	uint64_t from = kind == JR_KIND_BASE ? 0 : tail + 1;

	if (kind != JR_KIND_CUT && kind != JR_KIND_BASE)
		return;
	check_dropped(s, node, from, kind == JR_KIND_BASE);
	for (uint64_t lsn = from; lsn < n->log_count; lsn++)
		n->log[lsn] = NULL;
}

void sim_witness_write(struct sim *s, int node, const struct jr_io *io)
{
	struct sim_node *n = &s->node[node];
	const char *why;
	struct jr_batch *b;

	if (!io->write || io->file == SIM_ARCHIVE)
		return;
	if (io->file == 0) {
		note_entry(s, node, io->buffer);
		return;
	}
	b = jr_batch_open(s->arbiter.cluster, io->buffer, io->bytes, &why);
	if (b)
		note_batch(n, batch_of(s, b));
	jr_batch_unref(b);
}

/* What it finds on its disk is to be judged anew. */
void sim_witness_restart(struct sim *s, int node)
{
	s->node[node].seen_commit = simstore_lsn(s->node[node].store);
	s->node[node].log_recovered = false;
}

/*
 * What was still being written when it died may never have reached the disk: recovery found where the journal ends. What is damaged is
 * there again when the damage is undone, as it may be by now.
 */
static void forget_lost(const struct sim *s, struct sim_node *n)
{
	struct ha_status status;

	ha_get_status(ctl_ha(n->ctl), &status);
	if (status.role == PR_ROLE_STARTING)
		return;
	n->log_recovered = true;
	if (n->lags || (s->damaged && n == &s->node[s->damaged]))
		return;
	for (uint64_t lsn = status.tail_lsn + 1; lsn < n->log_count; lsn++)
		n->log[lsn] = NULL;
}

/* By the committed rows, and not being fenced. */
bool sim_session_stands(const struct sim *s, uint64_t id)
{
	struct pr_row_session session;
	const struct ctl_row *row;
	struct pr_key key;

	pr_key_session(&key, id);
	row = simstore_find(s->rows, &key);
	return row && pr_row_session_decode(&session, row->value, row->bytes) == 0 &&
	       session.fence == 0;
}

/* Every session there is, by the committed rows, is that of a client that is served. */
bool sim_all_are_back(const struct sim *s)
{
	for (size_t i = 0; i < simstore_count(s->rows); i++) {
		bool back = false;
		struct ctl_row row;
		uint64_t id;

		simstore_row(s->rows, i, &row);
		if (pr_key_parse_session(row.key.b, row.key.len, &id))
			continue;
		for (uint32_t k = 0; k < s->swarm.clients; k++)
			back |= s->client[k].up && s->client[k].served &&
				s->client[k].session == id;
		if (!back)
			return false;
	}
	return true;
}

/* Has the client it open, or will it when it hears of what was executed? */
static bool has_open(const struct sim_client *c, uint64_t ino)
{
	if (!c->up || !c->session_stands)
		return false;
	for (int w = 0; w < SIM_WORKERS; w++)
		if (c->worker[w].close_ino == ino)
			return true;
	for (int i = 0; i < SIM_SLOTS; i++) {
		const struct sim_op *op = c->in_slot[i];

		if (op && op->opened == ino && !op->answered)
			return true;
	}
	return false;
}

bool sim_is_open(const struct sim *s, uint64_t ino)
{
	for (uint32_t i = 0; i < s->swarm.clients; i++)
		if (has_open(&s->client[i], ino))
			return true;
	return false;
}

/* An inode is deleted: nobody can reach it any more. */
static void check_gone(struct sim *s, uint64_t ino, uint64_t lsn)
{
	if (!model_gone(s->model, ino, lsn))
		sim_fail(s, "durability", "LSN %llu deletes inode %llu, which has a name",
			 (unsigned long long)lsn, (unsigned long long)ino);
	for (uint32_t i = 0; i < s->swarm.clients; i++) {
		const struct sim_client *c = &s->client[i];

		if (has_open(c, ino) && sim_session_stands(s, c->session))
			sim_fail(s, "durability",
				 "LSN %llu deletes inode %llu, which client %u has open",
				 (unsigned long long)lsn, (unsigned long long)ino, i);
	}
}

static void record(struct sim *s, const struct pr_record *rec)
{
	struct pr_list list = rec->changes;
	struct pr_change change;

	while (pr_change_next(&list, &change)) {
		const uint8_t *k = change.key.p;
		size_t len = change.key.len;
		struct pr_row_slot slot;
		uint64_t session, ino;
		uint16_t volume;
		uint32_t i;

		if (change.op == PR_CHANGE_PUT && pr_key_parse_slot(k, len, &session, &i) == 0) {
			if (pr_row_slot_decode(&slot, change.value.p, change.value.len) < 0 ||
			    session != rec->session || i != rec->slot)
				sim_fail(s, "record", "LSN %llu: a slot of another session",
					 (unsigned long long)rec->lsn);
			else
				sim_op_executed(s, rec, &slot);
		}
		if (change.op == PR_CHANGE_DELETE && s->model &&
		    pr_key_parse_inode(k, len, &volume, &ino) == 0)
			check_gone(s, ino, rec->lsn);
	}
}

static void committed(struct sim *s, struct jr_batch *b, uint64_t lsn)
{
	struct pr_cur cur = pr_cur_on(b->payload, b->payload_bytes);
	struct pr_record rec;

	while (cur.left > 0) {
		if (!pr_record_get(&cur, &rec)) {
			sim_fail(s, "record", "LSN %llu: it does not decode",
				 (unsigned long long)lsn);
			return;
		}
		if (rec.lsn != lsn || rec.kind != PR_RECORD_OPERATION)
			continue;
		sim_lun_record(s, &rec);
		record(s, &rec);
	}
}

static void first_commit(struct sim *s, int node, uint64_t lsn)
{
	struct sim_node *n = &s->node[node];
	struct sim_batch *w = lsn < n->log_count ? n->log[lsn] : NULL;

	if (!w) {
		sim_fail(s, "I1", "node %d: LSN %llu is committed and was never on its disk", node,
			 (unsigned long long)lsn);
		return;
	}
	if (lsn >= s->committed_cap) {
		s->committed_cap = 2 * lsn + 1024;
		s->committed = realloc(s->committed, s->committed_cap * sizeof(struct sim_batch *));
	}
	s->committed[lsn] = w;
	s->committed_lsn = lsn;
	committed(s, w->b, lsn);
}

void sim_witness_commit(struct sim *s, int node)
{
	struct sim_node *n = &s->node[node];
	uint64_t commit = ha_commit_lsn(ctl_ha(n->ctl));

	if (!n->log_recovered)
		forget_lost(s, n);
	while (n->seen_commit < commit && !s->violation) {
		uint64_t lsn = n->seen_commit + 1;
		struct sim_batch *w = lsn < n->log_count ? n->log[lsn] : NULL;

		if (lsn > s->committed_lsn)
			first_commit(s, node, lsn);
		else if (w && w != s->committed[lsn] && n->tag_count > 0)
			return; /* a standby knows of commits before it has written all it was sent */
		else if (w && w != s->committed[lsn])
			sim_fail(
				s, "I11",
				"node %d: LSN %llu of epoch %llu is not what was committed, of epoch %llu",
				node, (unsigned long long)lsn, (unsigned long long)w->b->epoch,
				(unsigned long long)s->committed[lsn]->b->epoch);
		n->seen_commit = lsn;
	}
}

void sim_witness_free(struct sim *s)
{
	for (struct sim_batch *w = s->batches, *next; w; w = next) {
		next = w->next;
		jr_batch_unref(w->b);
		free(w);
	}
	free(s->committed);
	for (int n = 1; n <= SIM_NODES; n++)
		free(s->node[n].log);
}
