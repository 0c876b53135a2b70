/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an open counts for: it becomes a handle of the kernel's, or is given back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "client/mdcfs.h"

/* ---- what stands around it: the kernel with one request, and the library, which answers at once ---- */

struct mf mf;

static int a_request;
#define REQUEST ((fuse_req_t)&a_request)

static struct {
	bool killed;   /* nobody waits for the answer any more */
	bool vanishes; /* the kernel has forgotten the request when it is answered */
	int answer;
	uint32_t mode;
} world;

static struct {
	int error; /* -1: none was told */
	bool handle;
	int closes, tells; /* opens given back: of a file of the library's, and without one */
} got;

struct mf_op *mf_op_new(fuse_req_t req, mf_finish finish, bool with_groups)
{
	struct mf_op *op = calloc(1, sizeof(*op));

	op->req = world.killed ? NULL : req;
	op->finish = finish;
	return op;
}

fuse_req_t mf_op_take(struct mf_op *op)
{
	return op->req;
}

void mf_op_submit(struct mf_op *op, struct mdc_request *q)
{
	struct mdc_reply reply = {.error = world.answer, .text = ""};

	if (!reply.error)
		reply.attr = (struct mdc_attr){.ino = 5, .mode = world.mode};
	op->finish(op, &reply);
	free(op);
}

void mf_tell(struct mdc_request *q)
{
	cr_assert_eq(q->op, MDC_CLOSE);
	cr_assert_eq(q->opens, 1u);
	got.tells++;
}

int mdc_file_adopt(struct mdc *mdc, const struct mdc_cred *cred, const struct mdc_attr *attr,
		   uint32_t flags, struct mdc_file **ret)
{
	*ret = NULL;
	return 0;
}

void mdc_file_close_start(struct mdc_file *file, mdc_done done, void *user)
{
	got.closes++;
}

uint32_t mf_open_flags(int flags)
{
	return MDC_O_READ | MDC_O_WRITE;
}

bool mf_wants_touch(const struct mdc_attr *a, int flags)
{
	return false;
}

bool mf_inode_opened(const struct mdc_attr *a, bool writes, bool is_new)
{
	return false;
}

void mf_inode_closed(uint64_t ino, bool writes)
{
}

void mf_entry(const struct mdc_attr *a, struct fuse_entry_param *ret)
{
}

int fuse_reply_err(fuse_req_t req, int error)
{
	cr_assert_eq(req, REQUEST);
	got.error = error;
	return 0;
}

int fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	cr_assert_eq(req, REQUEST);
	got.handle = !world.vanishes;
	return world.vanishes ? -ENOENT : 0;
}

int fuse_reply_create(fuse_req_t req, const struct fuse_entry_param *e,
		      const struct fuse_file_info *fi)
{
	return fuse_reply_open(req, fi);
}

/* ---- */

enum call { OPEN, CREATE };

static void ask(enum call call)
{
	struct fuse_file_info fi = {0};

	got.error = -1;
	got.handle = false;
	got.closes = got.tells = 0;
	if (call == OPEN)
		mf_open(REQUEST, 5, &fi);
	else
		mf_create(REQUEST, 1, "name", 0644, &fi);
}

Test(mdcfs_file, an_open_is_a_handle)
{
	world.mode = S_IFREG | 0644;
	for (enum call call = OPEN; call <= CREATE; call++) {
		ask(call);
		cr_assert(got.handle);
		cr_assert_eq(got.closes + got.tells, 0);
	}
}

Test(mdcfs_file, an_open_that_nobody_waits_for_is_given_back)
{
	world.mode = S_IFREG | 0644;
	for (enum call call = OPEN; call <= CREATE; call++) {
		world.killed = true;
		world.vanishes = false;
		ask(call);
		cr_assert_not(got.handle);
		cr_assert_eq(got.closes, 1);
		world.killed = false;
		world.vanishes = true;
		ask(call);
		cr_assert_not(got.handle);
		cr_assert_eq(got.closes, 1);
	}
}

Test(mdcfs_file, what_failed_has_nothing_to_give_back)
{
	world.answer = -EACCES;
	for (enum call call = OPEN; call <= CREATE; call++) {
		ask(call);
		cr_assert_eq(got.error, EACCES);
		cr_assert_eq(got.closes + got.tells, 0);
	}
}

Test(mdcfs_file, an_open_while_the_volume_is_closed_is_given_back)
{
	world.mode = S_IFREG | 0644;
	mf.ends = true;
	for (enum call call = OPEN; call <= CREATE; call++) {
		ask(call);
		cr_assert_eq(got.error, ESHUTDOWN);
		cr_assert_eq(got.tells, 1);
	}
}

/* Somebody made it between the kernel's lookup and its create. The controller counts no open of it, and the kernel looks again when told ESTALE. */
Test(mdcfs_file, a_create_that_finds_what_is_no_file_opens_nothing)
{
	static const uint32_t kinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFDIR, S_IFLNK};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		world.mode = kinds[i] | 0644;
		ask(CREATE);
		cr_assert_eq(got.error, ESTALE, "kind %o: %d", kinds[i], got.error);
		cr_assert_not(got.handle);
		cr_assert_eq(got.closes + got.tells, 0, "kind %o", kinds[i]);
	}
}
