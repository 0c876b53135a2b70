/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/work/names_ask.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define XATTR_NAME "user.x"

struct asked {
	sem_t done;
	const struct model_op *q;
	struct model_answer *a;
};

static enum mdc_op op_of(uint16_t type)
{
	switch (type) {
	case PR_T_LOOKUP:
		return MDC_LOOKUP;
	case PR_T_CREATE:
		return MDC_CREATE;
	case PR_T_MKDIR:
		return MDC_MKDIR;
	case PR_T_SYMLINK:
		return MDC_SYMLINK;
	case PR_T_UNLINK:
		return MDC_UNLINK;
	case PR_T_RMDIR:
		return MDC_RMDIR;
	case PR_T_LINK:
		return MDC_LINK;
	case PR_T_RENAME:
		return MDC_RENAME;
	case PR_T_SETATTR:
		return MDC_SETATTR;
	case PR_T_READDIR:
		return MDC_READDIR;
	case PR_T_READLINK:
		return MDC_READLINK;
	case PR_T_XATTR_GET:
		return MDC_XATTR_GET;
	case PR_T_XATTR_SET:
		return MDC_XATTR_SET;
	case PR_T_XATTR_REMOVE:
		return MDC_XATTR_REMOVE;
	default:
		return MDC_GETATTR;
	}
}

static bool take_entries(struct mdc_reply *r, struct model_answer *a)
{
	struct mdc_dirent d;

	while (mdc_next_entry(r, &d)) {
		int i = model_name_index(pr_bytes_of(d.name, d.name_bytes));

		/* A name nobody gave, or twice. */
		if (i < 0 || a->entry[i])
			return false;
		a->entry[i] = d.attr.ino;
	}
	return r->eof;
}

static bool take(const struct model_op *q, struct mdc_reply *r, struct model_answer *a)
{
	a->error = r->error;
	if (a->error)
		return true;
	a->ino = r->attr.ino;
	a->mode = r->attr.mode;
	a->nlink = r->attr.nlink;
	a->size = S_ISREG(r->attr.mode) ? r->attr.size : 0;
	switch (q->type) {
	case PR_T_CREATE:
		a->value = r->created;
		return true;
	case PR_T_READDIR:
		return take_entries(r, a);
	case PR_T_READLINK:
		return sscanf(r->text, "to-%lu", &a->value) == 1;
	case PR_T_XATTR_GET:
		if (r->value_bytes != sizeof(a->value))
			return false;
		memcpy(&a->value, r->value, sizeof(a->value));
		return true;
	default:
		return true;
	}
}

static void done(void *user, struct mdc_reply *r)
{
	struct asked *asked = user;

	if (!take(asked->q, r, asked->a))
		asked->a->error = -EPROTO;
	sem_post(&asked->done);
}

static void submit_and_wait(struct mdc *mdc, struct mdc_request *request, struct asked *asked)
{
	int r;

	sem_init(&asked->done, 0, 0);
	request->done = done;
	request->user = asked;
	r = mdc_submit(mdc, request, NULL);
	if (r < 0)
		asked->a->error = r;
	while (r == 0 && sem_wait(&asked->done) < 0)
		;
	sem_destroy(&asked->done);
}

static void close_again(struct mdc *mdc, uint64_t ino)
{
	struct model_answer ignored = {0};
	struct model_op q = {.type = PR_T_GETATTR};
	struct asked asked = {.q = &q, .a = &ignored};

	submit_and_wait(mdc, &(struct mdc_request){.op = MDC_CLOSE, .ino = ino, .opens = 1},
			&asked);
}

/* Names are places in a table of strings, which end with a zero. */
static const char *text_of(int name)
{
	return (const char *)model_name(name).p;
}

void names_ask(struct mdc *mdc, const struct model_op *q, struct model_answer *ret)
{
	struct mdc_attr set = {.mode = q->mode, .size = q->size};
	struct mdc_request request = {.op = op_of(q->type),
				      .ino = q->parent,
				      .name = text_of(q->name),
				      .new_parent = q->parent2,
				      .new_name = text_of(q->name2),
				      .mode = q->mode,
				      .flags = q->flags,
				      .value = &q->value,
				      .value_bytes = sizeof(q->value),
				      .bytes = 65536,
				      .set = &set};
	struct asked asked = {.q = q, .a = ret};
	char target[32];

	memset(ret, 0, sizeof(*ret));
	switch (q->type) {
	case PR_T_CREATE:
		request.mode |= S_IFREG;
		break;
	case PR_T_MKDIR:
		request.mode |= S_IFDIR;
		break;
	case PR_T_SYMLINK:
		snprintf(target, sizeof(target), "to-%lu", q->value);
		request.text = target;
		break;
	case PR_T_LINK:
		request.ino = q->ino;
		request.new_parent = q->parent;
		request.new_name = text_of(q->name);
		break;
	case PR_T_SETATTR:
		request.valid = q->flags;
		/* fallthrough */
	case PR_T_GETATTR:
	case PR_T_READDIR:
	case PR_T_READLINK:
		request.ino = q->ino;
		break;
	case PR_T_XATTR_GET:
	case PR_T_XATTR_SET:
	case PR_T_XATTR_REMOVE:
		request.ino = q->ino;
		request.name = XATTR_NAME;
		break;
	default:
		break;
	}
	submit_and_wait(mdc, &request, &asked);
	if (q->type == PR_T_CREATE && ret->error == 0)
		close_again(mdc, ret->ino);
}
