/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each request is: how it runs on the rows, what it changes among the volatile facts when it has succeeded. */
#include <sys/stat.h>
#include "controller/core/ctl_int.h"

/* Decode, run in the namespace, encode. */
#define NS_RUN(name)                                                                               \
	static int run_##name(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out) \
	{                                                                                          \
		struct pr_##name q;                                                                \
		struct pr_##name##_r r;                                                            \
		int err;                                                                           \
                                                                                                   \
		memset(&r, 0, sizeof(r));                                                          \
		if (pr_##name##_decode(&q, op->p, op->frame.length))                               \
			return OP_BAD;                                                             \
		err = ns_##name(tx, &q, &r);                                                       \
		if (err)                                                                           \
			return err;                                                                \
		return pr_##name##_r_encode(out, &r) ? -EMSGSIZE : 0;                              \
	}

NS_RUN(lookup)
NS_RUN(getattr)
NS_RUN(mknod)
NS_RUN(mkdir)
NS_RUN(symlink)
NS_RUN(readlink)
NS_RUN(link)
NS_RUN(unlink)
NS_RUN(rmdir)
NS_RUN(rename)
NS_RUN(statfs)
NS_RUN(xattr_get)
NS_RUN(xattr_set)
NS_RUN(xattr_remove)
NS_RUN(access)

static bool may_change_data(struct ctl *c, struct ctl_op *op, uint64_t ino, uint8_t mode)
{
	struct ctl_session *s = ctl_session_find(c, op->session);

	return ctl_held_free(c, s, op->volume, ino, mode);
}

static int run_setattr(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_setattr q;
	struct pr_setattr_r r = {0};
	int err;

	if (pr_setattr_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	if ((q.valid & PR_SET_SIZE) && !may_change_data(c, op, q.ino, PR_LAYOUT_WRITE))
		return OP_WAIT;
	err = ns_setattr(tx, &q, &r);
	if (err)
		return err;
	return pr_setattr_r_encode(out, &r) ? -EMSGSIZE : 0;
}

static int run_create(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_create q;
	struct pr_create_r r = {0};
	int err;

	if (pr_create_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	if (q.flags & PR_O_TRUNC) {
		struct pr_row_name name;

		err = tx_get_name(tx, q.parent, q.name, &name);
		if (err == TX_MISS)
			return err;
		if (err == 0 && !may_change_data(c, op, name.ino, PR_LAYOUT_WRITE))
			return OP_WAIT;
	}
	err = ns_create(tx, &q, &r);
	if (err)
		return err;
	op->ino = r.attr.ino;
	op->opens = S_ISREG(r.attr.mode);
	return pr_create_r_encode(out, &r) ? -EMSGSIZE : 0;
}

static void again_create(struct ctl_op *op, struct pr_bytes reply)
{
	struct pr_create_r r;

	ASSERT(pr_create_r_decode(&r, reply.p, reply.len) == 0);
	op->ino = r.attr.ino;
	op->opens = S_ISREG(r.attr.mode);
}

static int run_open(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_open q;
	struct pr_open_r r = {0};
	int err;

	if (pr_open_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	if ((q.flags & PR_O_TRUNC) && !may_change_data(c, op, q.ino, PR_LAYOUT_WRITE))
		return OP_WAIT;
	err = ns_open(tx, &q, &r);
	if (err)
		return err;
	op->ino = q.ino;
	op->opens = 1;
	return pr_open_r_encode(out, &r) ? -EMSGSIZE : 0;
}

static void again_open(struct ctl_op *op, struct pr_bytes reply)
{
	struct pr_open_r r;

	ASSERT(pr_open_r_decode(&r, reply.p, reply.len) == 0);
	op->ino = r.attr.ino;
	op->opens = 1;
}

static void done_open(struct ctl *c, struct ctl_op *op, const struct pr_buf *out, uint64_t lsn)
{
	ctl_held_open(c, op->session, op->ino, op->opens);
}

static int run_close(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_close q;

	if (pr_close_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	op->ino = q.ino;
	op->opens = q.opens;
	return 0;
}

static void done_close(struct ctl *c, struct ctl_op *op, const struct pr_buf *out, uint64_t lsn)
{
	ctl_held_close(c, op->session, op->ino, op->opens);
}

static int run_readdir(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_readdir q;
	struct pr_readdir_r r = {0};
	int err;

	if (pr_readdir_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	err = ns_readdir(tx, &q, &r, tx_scratch(tx));
	if (err)
		return err;
	return pr_readdir_r_encode(out, &r) ? -EMSGSIZE : 0;
}

static int run_xattr_list(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_xattr_list q;
	struct pr_xattr_list_r r = {0};
	int err;

	if (pr_xattr_list_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	err = ns_xattr_list(tx, &q, &r, tx_scratch(tx));
	if (err)
		return err;
	return pr_xattr_list_r_encode(out, &r) ? -EMSGSIZE : 0;
}

/* Answered once all that was applied before it is committed. */
static int run_fsync(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	tx->saw_lsn = ctl_batch_next_lsn(c) - 1;
	return 0;
}

static int run_noop(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	static const uint8_t zeros[1024]; /* as many as noop_r may carry */
	struct pr_noop_r r = {0};
	struct pr_noop q;

	if (pr_noop_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	if (q.bytes > sizeof(zeros))
		return -EINVAL;
	r.fill = pr_bytes_of(zeros, q.bytes);
	return pr_noop_r_encode(out, &r) ? -EMSGSIZE : 0;
}

static int run_layout_get(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_layout_get q;
	struct pr_layout_get_r r = {0};
	int err;

	if (pr_layout_get_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	if (q.mode == PR_LAYOUT_WRITE && (ctl_session_find(c, op->session)->flags & PR_OPEN_READER))
		return -EROFS;
	if (!may_change_data(c, op, q.ino, q.mode))
		return OP_WAIT;
	err = ns_layout_get(tx, &q, &r);
	if (err)
		return err;
	op->ino = q.ino;
	op->mode = q.mode;
	op->generation = r.generation;
	return pr_layout_get_r_encode(out, &r) ? -EMSGSIZE : 0;
}

static void done_layout_get(struct ctl *c, struct ctl_op *op, const struct pr_buf *out,
			    uint64_t lsn)
{
	ctl_held_grant(c, op->session, op->ino, op->mode, op->generation);
}

static int run_layout_commit(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct ctl_session *s = ctl_session_find(c, op->session);
	struct pr_layout_commit q;
	struct pr_layout_commit_r r = {0};
	struct ctl_held *h;
	int err;

	if (pr_layout_commit_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	h = ctl_held_find(c, s, q.ino);
	if (!h || h->mode != PR_LAYOUT_WRITE)
		return PR_E_LAYOUT;
	err = ns_layout_commit(tx, &q, &r);
	if (err)
		return err;
	return pr_layout_commit_r_encode(out, &r) ? -EMSGSIZE : 0;
}

static int run_layout_return(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_layout_return q;

	if (pr_layout_return_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	op->ino = q.ino;
	op->generation = q.generation;
	return 0;
}

static void done_layout_return(struct ctl *c, struct ctl_op *op, const struct pr_buf *out,
			       uint64_t lsn)
{
	ctl_held_return(c, op->session, op->ino, op->generation);
}

static int run_allocate(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	struct pr_allocate q;
	struct pr_allocate_r r = {0};
	int err;

	if (pr_allocate_decode(&q, op->p, op->frame.length))
		return OP_BAD;
	if (!may_change_data(c, op, q.ino, PR_LAYOUT_WRITE))
		return OP_WAIT;
	err = ns_allocate(tx, &q, &r);
	if (err)
		return err;
	return pr_allocate_r_encode(out, &r) ? -EMSGSIZE : 0;
}

/* ---- jobs ---- */

static int run_trim(struct ctl *c, struct ctl_op *op, struct tx *tx, struct pr_buf *out)
{
	/* A layout granted since the last one was returned has blocks there. */
	return ctl_in_use(c, op->volume, op->arg) ? 0 : ns_trim(tx, op->arg);
}

static void done_reap(struct ctl *c, struct ctl_op *op, const struct pr_buf *out, uint64_t lsn)
{
	struct ctl_volume *v = ctl_volume_find(c, op->volume);

	c->reaping = false;
	if (v && op->arg)
		(op->kind == &ctl_kind_reap ? &v->reap : &v->rest)->more = true;
}

static void failed_reap(struct ctl *c, struct ctl_op *op, int status)
{
	struct ctl_volume *v = ctl_volume_find(c, op->volume);

	c->reaping = false;
	if (v)
		v->hint.orphan = v->hint.rest = 0; /* the next scan begins with the first */
	if (c->serving)
		ctl_log(c, 4, "reaping in volume %u: error %d", op->volume, status);
}

const struct ctl_kind ctl_kind_load = {
	.flags = KIND_INTERNAL | KIND_BOOT, .run = run_load, .done = done_load};
const struct ctl_kind ctl_kind_reap = {.flags = KIND_INTERNAL | KIND_MUTATES,
				       .run = run_reap,
				       .done = done_reap,
				       .failed = failed_reap};
const struct ctl_kind ctl_kind_rest = {.flags = KIND_INTERNAL | KIND_MUTATES,
				       .run = run_rest,
				       .done = done_reap,
				       .failed = failed_reap};
const struct ctl_kind ctl_kind_trim = {.flags = KIND_INTERNAL | KIND_MUTATES, .run = run_trim};
const struct ctl_kind ctl_kind_end = {.flags = KIND_INTERNAL | KIND_MUTATES,
				      .run = run_session_end};
const struct ctl_kind ctl_kind_fence = {.flags = KIND_INTERNAL | KIND_MUTATES,
					.run = run_session_fence};
const struct ctl_kind ctl_kind_admin = {.flags = KIND_INTERNAL | KIND_BOOT,
					.run = run_admin,
					.done = done_admin,
					.failed = failed_admin};
const struct ctl_kind ctl_kind_admin_change = {.flags = KIND_INTERNAL | KIND_MUTATES,
					       .run = run_admin,
					       .done = done_admin,
					       .failed = failed_admin};

/* ---- the table ---- */

enum {
	READS = KIND_SESSION,
	CHANGES = KIND_SESSION | KIND_MUTATES | KIND_STORES,
};

#define KIND(name, NAME, what)                                        \
	{                                                             \
		.type = PR_T_##NAME, .flags = what, .run = run_##name \
	}
static const struct ctl_kind kinds[] = {
	{.type = PR_T_SESSION_OPEN,
	 .flags = KIND_MUTATES,
	 .run = run_session_open,
	 .done = done_session_open},
	{.type = PR_T_SESSION_CLOSE,
	 .flags = KIND_SESSION | KIND_MUTATES,
	 .run = run_session_close},
	KIND(lookup, LOOKUP, READS),
	KIND(getattr, GETATTR, READS),
	KIND(setattr, SETATTR, CHANGES),
	{.type = PR_T_CREATE,
	 .flags = CHANGES,
	 .run = run_create,
	 .done = done_open,
	 .again = again_create},
	KIND(mknod, MKNOD, CHANGES),
	KIND(mkdir, MKDIR, CHANGES),
	KIND(symlink, SYMLINK, CHANGES),
	KIND(readlink, READLINK, READS),
	KIND(link, LINK, CHANGES),
	KIND(unlink, UNLINK, CHANGES),
	KIND(rmdir, RMDIR, CHANGES),
	KIND(rename, RENAME, CHANGES),
	KIND(readdir, READDIR, READS),
	KIND(statfs, STATFS, READS),
	KIND(xattr_get, XATTR_GET, READS),
	KIND(xattr_set, XATTR_SET, CHANGES),
	KIND(xattr_list, XATTR_LIST, READS),
	KIND(xattr_remove, XATTR_REMOVE, CHANGES),
	{.type = PR_T_CLOSE, .flags = READS, .run = run_close, .done = done_close},
	KIND(access, ACCESS, READS),
	KIND(fsync, FSYNC, READS),
	KIND(noop, NOOP, CHANGES),
	{.type = PR_T_LAYOUT_GET,
	 .flags = KIND_SESSION | KIND_MUTATES,
	 .run = run_layout_get,
	 .done = done_layout_get},
	KIND(layout_commit, LAYOUT_COMMIT, CHANGES),
	{.type = PR_T_LAYOUT_RETURN,
	 .flags = READS,
	 .run = run_layout_return,
	 .done = done_layout_return},
	KIND(allocate, ALLOCATE, CHANGES),
};

/* An open that truncates is a change, any other is not: even a reader may, and nothing is stored. */
static const struct ctl_kind kind_open = {
	.type = PR_T_OPEN, .flags = READS, .run = run_open, .done = done_open};
static const struct ctl_kind kind_open_trunc = {.type = PR_T_OPEN,
						.flags = CHANGES,
						.run = run_open,
						.done = done_open,
						.again = again_open};

static bool truncates(const struct pr_frame *f, const uint8_t *p)
{
	struct pr_open q;

	return pr_open_decode(&q, p, f->length) == 0 && (q.flags & PR_O_TRUNC);
}

const struct ctl_kind *ctl_kind_of(const struct pr_frame *f, const uint8_t *p)
{
	if (f->type == PR_T_OPEN)
		return truncates(f, p) ? &kind_open_trunc : &kind_open;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].type == f->type)
			return &kinds[i];
	return NULL;
}
