/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The waiting form of every request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/io/mdc_call.h"
#include "client/io/mdc_data.h"

struct mdc_call {
	struct mdc_waiter waiter;
	struct mdc *mdc;
	bool abandoned;
	struct mdc_reply reply;
	char text[256];
	void *copy; /* of what the reply points to */
};

struct mdc_call *mdc_call_new(struct mdc *mdc)
{
	struct mdc_call *call = malloc(sizeof(*call));

	if (!call)
		return NULL;
	call->abandoned = false;
	call->copy = NULL;
	call->mdc = mdc;
	mdc_lock(mdc->loop);
	mdc_waiter_add(mdc, &call->waiter);
	mdc_unlock(mdc->loop);
	return call;
}

static void call_free(struct mdc_call *call)
{
	free(call->copy);
	free(call);
}

void mdc_call_free(struct mdc_call *call)
{
	if (!call)
		return;
	mdc_lock(call->mdc->loop);
	mdc_waiter_remove(&call->waiter);
	mdc_unlock(call->mdc->loop);
	call_free(call);
}

static void keep(struct mdc_call *call, const void *p, size_t bytes)
{
	call->copy = malloc(bytes + 1);
	if (call->copy)
		memcpy(call->copy, p, bytes);
	else
		call->reply.error = -ENOMEM;
}

static void keep_reply(struct mdc_call *call, const struct mdc_reply *reply)
{
	struct mdc_reply *own = &call->reply;

	*own = *reply;
	if (reply->entries_) {
		keep(call, reply->entries_, reply->value_bytes);
		own->entries_ = call->copy;
	} else if (reply->value) {
		keep(call, reply->value, reply->value_bytes);
		own->value = call->copy;
	} else if (!reply->error && reply->text[0]) {
		keep(call, reply->text, strlen(reply->text) + 1);
		own->text = call->copy;
	} else {
		snprintf(call->text, sizeof(call->text), "%s", reply->text);
		own->text = call->text;
	}
}

void mdc_call_done(void *user, struct mdc_reply *reply)
{
	struct mdc_call *call = user;

	if (call->abandoned) {
		call_free(call);
		return;
	}
	keep_reply(call, reply);
	mdc_waiter_done(&call->waiter);
}

void mdc_call_io_done(void *user, ssize_t result)
{
	struct mdc_call *call = user;

	call->mdc->loop->completed++;
	mdc_call_done(call, &(struct mdc_reply){.error = (int)result, .text = ""});
}

void mdc_call_pump(struct mdc *mdc)
{
	struct mdc_loop *loop = mdc->loop;

	if (loop->in_round)
		return;
	if (!loop->threaded || mdc->failed || mdc->stepping) {
		if (loop->leader)
			mdc_loop_kick(loop);
		return;
	}
	mdc_data_pump(loop);
	if (mdc->is_dirty)
		mdc_pump(mdc);
}

/* False: given up, and the call belongs to whoever answers it. */
static bool give_up(struct mdc *mdc, struct mdc_call *call, uint64_t id)
{
	bool over;

	if (id)
		mdc_cancel(mdc, id);
	mdc_lock(mdc->loop);
	over = mdc_waiter_is_done(&call->waiter);
	if (!over) {
		mdc_waiter_remove(&call->waiter);
		call->abandoned = true;
	}
	mdc_unlock(mdc->loop);
	return over;
}

static int end(struct mdc_call *call, struct mdc_reply *take)
{
	int r = call->reply.error;

	if (r < 0)
		mdc_fail(r, "%s", call->reply.text[0] ? call->reply.text : strerror(-r));
	if (take && r == 0) {
		*take = call->reply;
		return 0;
	}
	call_free(call);
	return r;
}

int mdc_call_wait(struct mdc *mdc, struct mdc_call *call, int started, uint64_t id,
		  struct mdc_reply *take)
{
	if (started < 0) {
		mdc_call_free(call);
		return started;
	}
	if (!mdc_wait(mdc->loop, &call->waiter) && !give_up(mdc, call, id))
		return mdc_fail(-EINTR, "interrupted");
	return end(call, take);
}

/* Runs q. With take the call stays, for what its reply points to, until done_with. */
static int run(struct mdc *mdc, struct mdc_request *q, struct mdc_reply *take,
	       struct mdc_call **ret)
{
	struct mdc_call *call = mdc_call_new(mdc);
	uint64_t id = 0;
	int r;

	if (!call)
		return mdc_fail(-ENOMEM, "no memory for a request");
	q->done = mdc_call_done;
	q->user = call;
	r = mdc_submit(mdc, q, &id);
	r = mdc_call_wait(mdc, call, r, id, take);
	if (ret)
		*ret = r == 0 ? call : NULL;
	return r;
}

int mdc_call_attr(struct mdc *mdc, struct mdc_request *q, struct mdc_attr *ret, bool *ret_created)
{
	struct mdc_reply reply;
	struct mdc_call *call;
	int r = run(mdc, q, &reply, &call);

	if (r < 0)
		return r;
	if (ret)
		*ret = reply.attr;
	if (ret_created)
		*ret_created = reply.created;
	call_free(call);
	return 0;
}

static int call_simple(struct mdc *mdc, struct mdc_request *q)
{
	return run(mdc, q, NULL, NULL);
}

int mdc_lookup(struct mdc *mdc, const struct mdc_cred *cred, uint64_t parent, const char *name,
	       struct mdc_attr *ret)
{
	struct mdc_request q = {.op = MDC_LOOKUP, .cred = cred, .ino = parent, .name = name};

	return mdc_call_attr(mdc, &q, ret, NULL);
}

int mdc_getattr(struct mdc *mdc, uint64_t ino, struct mdc_attr *ret)
{
	struct mdc_request q = {.op = MDC_GETATTR, .ino = ino};

	return mdc_call_attr(mdc, &q, ret, NULL);
}

int mdc_setattr(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, uint32_t valid,
		const struct mdc_attr *set, struct mdc_attr *ret)
{
	struct mdc_request q = {
		.op = MDC_SETATTR, .cred = cred, .ino = ino, .valid = valid, .set = set};

	return mdc_call_attr(mdc, &q, ret, NULL);
}

int mdc_mknod(struct mdc *mdc, const struct mdc_cred *cred, uint64_t parent, const char *name,
	      uint32_t mode, uint64_t rdev, struct mdc_attr *ret)
{
	struct mdc_request q = {.op = MDC_MKNOD,
				.cred = cred,
				.ino = parent,
				.name = name,
				.mode = mode,
				.rdev = rdev};

	return mdc_call_attr(mdc, &q, ret, NULL);
}

int mdc_mkdir(struct mdc *mdc, const struct mdc_cred *cred, uint64_t parent, const char *name,
	      uint32_t mode, struct mdc_attr *ret)
{
	struct mdc_request q = {
		.op = MDC_MKDIR, .cred = cred, .ino = parent, .name = name, .mode = mode};

	return mdc_call_attr(mdc, &q, ret, NULL);
}

int mdc_symlink(struct mdc *mdc, const struct mdc_cred *cred, uint64_t parent, const char *name,
		const char *target, struct mdc_attr *ret)
{
	struct mdc_request q = {
		.op = MDC_SYMLINK, .cred = cred, .ino = parent, .name = name, .text = target};

	return mdc_call_attr(mdc, &q, ret, NULL);
}

ssize_t mdc_readlink(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, char *target,
		     size_t size)
{
	struct mdc_request q = {.op = MDC_READLINK, .cred = cred, .ino = ino};
	struct mdc_reply reply;
	struct mdc_call *call;
	int r = run(mdc, &q, &reply, &call);

	if (r < 0)
		return r;
	r = (int)strlen(reply.text);
	if (size)
		snprintf(target, size, "%s", reply.text);
	call_free(call);
	return r;
}

int mdc_link(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, uint64_t parent,
	     const char *name, struct mdc_attr *ret)
{
	struct mdc_request q = {
		.op = MDC_LINK, .cred = cred, .ino = ino, .new_parent = parent, .new_name = name};

	return mdc_call_attr(mdc, &q, ret, NULL);
}

int mdc_unlink(struct mdc *mdc, const struct mdc_cred *cred, uint64_t parent, const char *name)
{
	struct mdc_request q = {.op = MDC_UNLINK, .cred = cred, .ino = parent, .name = name};

	return call_simple(mdc, &q);
}

int mdc_rmdir(struct mdc *mdc, const struct mdc_cred *cred, uint64_t parent, const char *name)
{
	struct mdc_request q = {.op = MDC_RMDIR, .cred = cred, .ino = parent, .name = name};

	return call_simple(mdc, &q);
}

int mdc_rename(struct mdc *mdc, const struct mdc_cred *cred, uint64_t old_parent,
	       const char *old_name, uint64_t new_parent, const char *new_name, uint32_t flags)
{
	struct mdc_request q = {.op = MDC_RENAME,
				.cred = cred,
				.ino = old_parent,
				.name = old_name,
				.new_parent = new_parent,
				.new_name = new_name,
				.flags = flags};

	return call_simple(mdc, &q);
}

int mdc_readdir(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, uint64_t cookie,
		uint32_t max_bytes, bool (*fill)(void *user, const struct mdc_dirent *), void *user,
		bool *ret_eof, uint64_t *ret_parent)
{
	struct mdc_request q = {
		.op = MDC_READDIR, .cred = cred, .ino = ino, .cookie = cookie, .bytes = max_bytes};
	struct mdc_reply reply;
	struct mdc_call *call;
	struct mdc_dirent e;
	bool all = true;
	int r = run(mdc, &q, &reply, &call);

	if (r < 0)
		return r;
	for (;;) {
		bool more;

		/* The overlay of attributes reads what other threads change. */
		mdc_lock(mdc->loop);
		more = mdc_next_entry(&reply, &e);
		mdc_unlock(mdc->loop);
		if (!more)
			break;
		if (!fill(user, &e)) {
			all = false;
			break;
		}
	}
	if (ret_eof)
		*ret_eof = reply.eof && all;
	if (ret_parent)
		*ret_parent = reply.parent;
	call_free(call);
	return 0;
}

int mdc_statfs(struct mdc *mdc, struct mdc_statfs *ret)
{
	struct mdc_request q = {.op = MDC_STATFS};
	struct mdc_reply reply;
	struct mdc_call *call;
	int r = run(mdc, &q, &reply, &call);

	if (r < 0)
		return r;
	*ret = reply.statfs;
	call_free(call);
	return 0;
}

static ssize_t call_value(struct mdc *mdc, struct mdc_request *q, void *value, size_t size)
{
	struct mdc_reply reply;
	struct mdc_call *call;
	ssize_t r = run(mdc, q, &reply, &call);

	if (r < 0)
		return r;
	r = (ssize_t)reply.value_bytes;
	if (size && reply.value_bytes > size)
		r = mdc_fail(-ERANGE, "the value has %zu bytes", reply.value_bytes);
	else if (size && reply.value_bytes)
		memcpy(value, reply.value, reply.value_bytes);
	call_free(call);
	return r;
}

ssize_t mdc_xattr_get(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, const char *name,
		      void *value, size_t size)
{
	struct mdc_request q = {.op = MDC_XATTR_GET, .cred = cred, .ino = ino, .name = name};

	return call_value(mdc, &q, value, size);
}

ssize_t mdc_xattr_list(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, char *names,
		       size_t size)
{
	struct mdc_request q = {.op = MDC_XATTR_LIST, .cred = cred, .ino = ino};

	return call_value(mdc, &q, names, size);
}

int mdc_xattr_set(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, const char *name,
		  const void *value, size_t bytes, uint32_t flags)
{
	struct mdc_request q = {.op = MDC_XATTR_SET,
				.cred = cred,
				.ino = ino,
				.name = name,
				.value = value,
				.value_bytes = bytes,
				.flags = flags};

	return call_simple(mdc, &q);
}

int mdc_xattr_remove(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, const char *name)
{
	struct mdc_request q = {.op = MDC_XATTR_REMOVE, .cred = cred, .ino = ino, .name = name};

	return call_simple(mdc, &q);
}

int mdc_access(struct mdc *mdc, const struct mdc_cred *cred, uint64_t ino, uint32_t mask)
{
	struct mdc_request q = {.op = MDC_ACCESS, .cred = cred, .ino = ino, .mask = mask};

	return call_simple(mdc, &q);
}

int mdc_noop(struct mdc *mdc)
{
	struct mdc_request q = {.op = MDC_NOOP};

	return call_simple(mdc, &q);
}
