/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "client/mdcfs.h"

static const char caps_name[] = "security.capability";

/* No controller keeps ACLs; ls and cp ask for them with every file. */
static bool is_acl(fuse_req_t req, const char *name)
{
	if (strncmp(name, "system.", 7) != 0)
		return false;
	fuse_reply_err(req, EOPNOTSUPP);
	return true;
}

/* As getxattr(2): a size of 0 asks for the length. */
static void reply_value(fuse_req_t req, size_t size, const struct mdc_reply *reply)
{
	if (reply->error)
		fuse_reply_err(req, -reply->error);
	else if (size == 0)
		fuse_reply_xattr(req, reply->value_bytes);
	else if (reply->value_bytes > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, reply->value, reply->value_bytes);
}

static void finish_value(struct mf_op *op, struct mdc_reply *reply)
{
	fuse_req_t req = mf_op_take(op);

	if (req)
		reply_value(req, op->size, reply);
}

static void finish_caps(struct mf_op *op, struct mdc_reply *reply)
{
	if (reply->error == -ENODATA)
		mf_inode_no_caps(op->ino);
	finish_value(op, reply);
}

static void finish_status(struct mf_op *op, struct mdc_reply *reply)
{
	mf_op_error(op, reply->error);
}

void mf_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	bool caps = strcmp(name, caps_name) == 0;
	struct mf_op *op;

	if (is_acl(req, name))
		return;
	if (caps && mf_inode_without_caps(mf_ino(node))) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	op = mf_op_new(req, caps ? finish_caps : finish_value, true);
	if (!op)
		return;
	op->ino = mf_ino(node);
	op->size = size;
	mf_op_submit(op, &(struct mdc_request){.op = MDC_XATTR_GET, .ino = op->ino, .name = name});
}

void mf_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size,
		 int flags)
{
	struct mf_op *op = is_acl(req, name) ? NULL : mf_op_new(req, finish_status, true);

	if (!op)
		return;
	if (strcmp(name, caps_name) == 0)
		mf_inode_sets_caps(mf_ino(node));
	mf_op_submit(op, &(struct mdc_request){
				 .op = MDC_XATTR_SET,
				 .ino = mf_ino(node),
				 .name = name,
				 .value = value,
				 .value_bytes = size,
				 .flags = (uint32_t)flags,
			 });
}

void mf_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	struct mf_op *op = mf_op_new(req, finish_value, true);

	if (!op)
		return;
	op->size = size;
	mf_op_submit(op, &(struct mdc_request){.op = MDC_XATTR_LIST, .ino = mf_ino(node)});
}

void mf_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	struct mf_op *op = mf_op_new(req, finish_status, true);

	if (op)
		mf_op_submit(op, &(struct mdc_request){.op = MDC_XATTR_REMOVE,
						       .ino = mf_ino(node),
						       .name = name});
}
