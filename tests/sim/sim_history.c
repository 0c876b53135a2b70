/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every answer must be. A request with a record runs where its record stands, one without at some LSN between what had been
 * seen by anybody when it was asked and what was committed when it was answered: there the reference namespace must answer the same.
 * So answers are linearizable, with the LSNs as the witness. A request has one record or none; what nobody answered, too.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include "proto/crc32c.h"
#include "tests/sim/simstore.h"

struct sim_op *sim_op_new(struct sim *s, int client, int worker)
{
	struct sim_op *op = calloc(1, sizeof(*op));

	if (s->op_count == s->op_cap) {
		s->op_cap = s->op_cap ? 2 * s->op_cap : 1024;
		s->ops = realloc(s->ops, s->op_cap * sizeof(struct sim_op *));
	}
	s->ops[s->op_count++] = op;
	op->client = client;
	op->worker = worker;
	op->session = s->client[client].session;
	op->asked_us = s->now_us;
	op->low = s->seen_lsn;
	return op;
}

static const char *describe(const struct sim_op *op, char out[160])
{
	const struct model_op *q = &op->q;

	snprintf(
		out, 160,
		"%s(parent %llu name %d, parent %llu name %d, ino %llu, flags %x, mode %o, size %llu) of client %d",
		pr_type_name(q->type), (unsigned long long)q->parent, q->name,
		(unsigned long long)q->parent2, q->name2, (unsigned long long)q->ino, q->flags,
		q->mode, (unsigned long long)q->size, op->client);
	return out;
}

/* ---- which request is in which slot ---- */

static struct sim_op *take_unsent(struct sim_client *c, const struct pr_frame *f)
{
	for (int i = 0; i < c->unsent_count; i++) {
		struct sim_op *op = c->unsent[i];

		if (op->q.type != f->type || op->crc != f->payload_crc || op->bytes != f->length)
			continue;
		memmove(c->unsent + i, c->unsent + i + 1,
			(size_t)(--c->unsent_count - i) * sizeof(c->unsent[0]));
		return op;
	}
	return NULL;
}

void sim_op_sent(struct sim *s, struct sim_client *c, const struct pr_frame *f, const uint8_t *p)
{
	struct sim_op *op;

	if (pr_type_channel(f->type) != PR_CH_ACCESS || f->type < PR_T_LOOKUP)
		return;
	if (f->slot >= SIM_SLOTS) {
		sim_fail(s, "client", "slot %u was never given", f->slot);
		return;
	}
	op = c->in_slot[f->slot];
	if (f->sequence <= c->last_sequence[f->slot]) {
		s->resends++;
		if (!op || op->sequence != f->sequence || op->crc != f->payload_crc)
			sim_fail(s, "I9", "sequence %llu of a slot carries two requests",
				 (unsigned long long)f->sequence);
		return;
	}
	op = take_unsent(c, f);
	if (!op) {
		sim_fail(s, "client", "a %s that nobody asked for", pr_type_name(f->type));
		return;
	}
	op->slot = f->slot;
	op->sequence = f->sequence;
	op->sent = true;
	c->last_sequence[f->slot] = f->sequence;
	c->in_slot[f->slot] = op;
}

static struct sim_op *find(struct sim *s, uint64_t session, uint32_t slot, uint64_t sequence)
{
	for (uint32_t i = 0; i < s->swarm.clients; i++) {
		struct sim_op *op = slot < SIM_SLOTS ? s->client[i].in_slot[slot] : NULL;

		if (op && op->session == session && op->sequence == sequence)
			return op;
	}
	for (size_t i = s->op_count; i > 0; i--) {
		struct sim_op *op = s->ops[i - 1];

		if (op->sent && op->session == session && op->slot == slot &&
		    op->sequence == sequence)
			return op;
	}
	return NULL;
}

/* ---- records ---- */

/* The record of a request is committed: it has run. */
void sim_op_executed(struct sim *s, const struct pr_record *rec, const struct pr_row_slot *row)
{
	struct sim_op *op = find(s, rec->session, rec->slot, row->sequence);
	struct model_answer told = {0}, is;
	char text[160];

	if (!op) {
		sim_fail(s, "I9", "LSN %llu: a request of session %llu that nobody sent",
			 (unsigned long long)rec->lsn, (unsigned long long)rec->session);
		return;
	}
	describe(op, text);
	if (op->lsn || (op->answered && !op->unknown)) {
		sim_fail(s, "I9", "%s ran at LSN %llu, %s%llu", text, (unsigned long long)rec->lsn,
			 op->lsn ? "and at LSN " : "after it was answered without, error ",
			 (unsigned long long)(op->lsn ? op->lsn : (uint64_t)-op->error));
		return;
	}
	op->lsn = rec->lsn;
	sim_note(s, "LSN %llu: worker %d %s, slot %u sequence %llu", (unsigned long long)rec->lsn,
		 op->worker, text, op->slot, (unsigned long long)op->sequence);
	op->reply_crc = pr_crc32c(row->reply.p, row->reply.len);
	if (row->status || !sim_work_decode(&op->q, row->reply.p, row->reply.len, &told)) {
		sim_fail(s, "record", "%s: its stored reply is none", text);
		return;
	}
	op->made = told.ino;
	op->opened = sim_op_opens(&op->q, told.mode) ? told.ino : 0;
	model_apply(s->model, &op->q, rec->lsn, told.ino, rec->time_ns, &is);
	if (sim_op_cuts(&op->q))
		sim_file_cut(s, op->q.ino, op->q.size);
	if (op->q.type == PR_T_LAYOUT_COMMIT)
		sim_file_written(s, op->q.ino, op->q.block, op->q.blocks, op->q.stamp);
	if (is.error || !is.changes || !model_same_all(&op->q, &told, &is))
		sim_fail(
			s, "linearizable",
			"%s at LSN %llu: its record says inode %llu mode %o links %u size %llu, the model error %d inode %llu mode %o links %u size %llu",
			text, (unsigned long long)rec->lsn, (unsigned long long)told.ino, told.mode,
			told.nlink, (unsigned long long)told.size, is.error,
			(unsigned long long)is.ino, is.mode, is.nlink, (unsigned long long)is.size);
}

/* ---- answers ---- */

/* With success it has left a record. */
static bool always_changes(uint16_t type)
{
	switch (type) {
	case PR_T_MKDIR:
	case PR_T_SYMLINK:
	case PR_T_LINK:
	case PR_T_UNLINK:
	case PR_T_RMDIR:
	case PR_T_SETATTR:
	case PR_T_XATTR_SET:
	case PR_T_XATTR_REMOVE:
	case PR_T_LAYOUT_COMMIT:
		return true;
	default:
		return false;
	}
}

/* A failover is over when somebody else answers an operation, or the same one in another life. */
static void count_answer(struct sim *s, int node, const struct pr_frame *f)
{
	struct sim_asked *tap = &s->tap;

	if (f->type == PR_T_REPLY + tap->type && tap->session == f->session &&
	    tap->slot == f->slot && tap->sequence == f->sequence) {
		tap->answers++;
		tap->status = f->status;
	}
	if (f->type < PR_T_REPLY + PR_T_LOOKUP || f->type >= PR_T_REPLY + PR_T_PING || f->status)
		return;
	s->node[node].answered++;
	if (s->served_by == node && s->served_gen == s->node[node].gen)
		return;
	if (s->served_by)
		s->failovers++;
	s->served_by = node;
	s->served_gen = s->node[node].gen;
}

void sim_op_leaving(struct sim *s, int node, const uint8_t *p, uint32_t len)
{
	struct pr_frame f;
	char text[160];

	for (; len > 0; p += PR_FRAME_BYTES + f.length, len -= PR_FRAME_BYTES + f.length) {
		struct sim_op *op;

		if (pr_frame_decode(&f, p, PR_PAYLOAD_MAX) < 0)
			return; /* whoever gets it says so */
		count_answer(s, node, &f);
		if (f.status || f.type < PR_T_REPLY || !always_changes(f.type - PR_T_REPLY))
			continue;
		op = find(s, f.session, f.slot, f.sequence);
		if (op && !op->lsn && op->q.type == f.type - PR_T_REPLY)
			sim_fail(s, "I1", "node %d answers %s before its record is committed", node,
				 describe(op, text));
	}
}

static void saw(struct sim *s, uint64_t lsn)
{
	if (lsn > s->seen_lsn)
		s->seen_lsn = lsn;
}

/* It ran with a record: the reply is the one stored with it, and its place is after all it must follow. */
static void judge_executed(struct sim *s, struct sim_op *op, int error, const uint8_t *p,
			   uint32_t len)
{
	char text[160];

	if (error || pr_crc32c(p, len) != op->reply_crc)
		sim_fail(s, "I9",
			 "%s ran at LSN %llu and is answered otherwise than recorded, error %d",
			 describe(op, text), (unsigned long long)op->lsn, error);
	if (op->lsn <= op->low)
		sim_fail(s, "linearizable",
			 "%s ran at LSN %llu, when it was asked %llu had been seen",
			 describe(op, text), (unsigned long long)op->lsn,
			 (unsigned long long)op->low);
	saw(s, op->lsn);
}

/* It left no record: some state it may have seen must explain the answer. The earliest leaves most to the others. */
static void judge_read(struct sim *s, struct sim_op *op, const struct model_answer *told)
{
	struct model_answer is;
	char text[160];

	for (uint64_t lsn = op->low; lsn <= s->committed_lsn; lsn++) {
		model_ask(s->model, &op->q, lsn, &is);
		if (model_same_all(&op->q, told, &is) && (is.error || !is.changes)) {
			saw(s, lsn);
			return;
		}
	}
	model_ask(s->model, &op->q, s->committed_lsn, &is);
	sim_fail(
		s, "linearizable",
		"%s is answered error %d inode %llu mode %o links %u size %llu value %llu: so it was after no LSN from %llu to %llu; at the last error %d inode %llu mode %o links %u size %llu value %llu%s",
		describe(op, text), told->error, (unsigned long long)told->ino, told->mode,
		told->nlink, (unsigned long long)told->size, (unsigned long long)told->value,
		(unsigned long long)op->low, (unsigned long long)s->committed_lsn, is.error,
		(unsigned long long)is.ino, is.mode, is.nlink, (unsigned long long)is.size,
		(unsigned long long)is.value, is.changes ? ", and a record" : "");
}

/* Who is told that he has it open can use it: it is not deleted, unless his session is. */
static void judge_open(struct sim *s, struct sim_op *op, const struct model_answer *told)
{
	struct pr_key key;
	char text[160];

	if (told->error || !sim_op_opens(&op->q, told->mode) || !sim_session_stands(s, op->session))
		return;
	pr_key_inode(&key, 1, told->ino);
	if (!simstore_find(s->rows, &key))
		sim_fail(s, "durability", "%s is answered, and inode %llu is deleted",
			 describe(op, text), (unsigned long long)told->ino);
}

void sim_op_answered(struct sim *s, struct sim_op *op, int error, const uint8_t *p, uint32_t len)
{
	struct model_answer told = {.error = error};
	char text[160];

	op->answered = true;
	op->answered_us = s->now_us;
	op->error = error;
	op->unknown = error && !p;
	sim_note(s, "client %d: worker %d %s: %d%s", op->client, op->worker,
		 pr_type_name(op->q.type), error, op->unknown ? ", outcome unknown" : "");
	if (op->unknown)
		return;
	if (!error && !sim_work_decode(&op->q, p, len, &told)) {
		sim_fail(s, "wire", "the reply to %s does not make sense", describe(op, text));
		return;
	}
	op->told = told;
	if (op->lsn)
		judge_executed(s, op, error, p, len);
	else
		judge_read(s, op, &told);
	judge_open(s, op, &told);
	sim_work_done(s, op, &told);
	sim_data_answered(s, op, error, p, len);
}

const char *sim_op_waiting(const struct sim *s, char out[200])
{
	char text[160];

	for (size_t i = 0; i < s->op_count; i++) {
		const struct sim_op *op = s->ops[i];

		if (op->answered)
			continue;
		snprintf(out, 200, "%s waits since %.3f s", describe(op, text),
			 (double)op->asked_us / 1e6);
		return out;
	}
	return "nobody waits";
}

void sim_history_free(struct sim *s)
{
	for (size_t i = 0; i < s->op_count; i++)
		free(s->ops[i]);
	free(s->ops);
	model_free(s->model);
}
