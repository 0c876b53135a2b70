/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client's workers ask for: any request on any name and inode there is or was, so that they get in each other's way. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char *const xattrs[MODEL_XATTRS] = {"user.x", "user.y"};

enum { LISTING_MAX = 65536 }; /* bytes in which every directory here is told whole */

/* One of the youngest inodes there ever were, of that type (0: any). */
static uint64_t some_inode(struct sim *s, uint32_t type, uint64_t youngest)
{
	uint64_t count = model_count(s->model);

	if (sim_chance(s, 150))
		return s->root;
	for (int tries = 0; tries < 20; tries++) {
		uint64_t span = youngest < count ? youngest : count;
		uint32_t is;
		uint64_t ino = model_ino(s->model, count - 1 - sim_below(s, span), &is);

		if (type == 0 || is == type)
			return ino;
	}
	return s->root;
}

static uint16_t some_type(struct sim *s)
{
	static const uint16_t types[] = {
		PR_T_CREATE,  PR_T_CREATE,     PR_T_CREATE,    PR_T_CREATE,    PR_T_MKDIR,
		PR_T_MKDIR,   PR_T_SYMLINK,    PR_T_LINK,      PR_T_UNLINK,    PR_T_UNLINK,
		PR_T_UNLINK,  PR_T_RMDIR,      PR_T_RENAME,    PR_T_RENAME,    PR_T_RENAME,
		PR_T_LOOKUP,  PR_T_LOOKUP,     PR_T_GETATTR,   PR_T_SETATTR,   PR_T_SETATTR,
		PR_T_READDIR, PR_T_READLINK,   PR_T_XATTR_SET, PR_T_XATTR_GET, PR_T_XATTR_REMOVE,
		PR_T_FSYNC,   PR_T_NOOP,       PR_T_MKNOD,     PR_T_OPEN,      PR_T_ACCESS,
		PR_T_STATFS,  PR_T_XATTR_LIST, PR_T_READDIR,   PR_T_SETATTR,
	};

	return types[sim_below(s, sizeof(types) / sizeof(types[0]))];
}

bool sim_op_cuts(const struct model_op *q)
{
	return (q->type == PR_T_SETATTR && (q->flags & PR_SET_SIZE)) ||
	       (q->type == PR_T_OPEN && (q->flags & PR_O_TRUNC));
}

static int64_t some_time(struct sim *s)
{
	return SIM_EPOCH_NS + ((int64_t)sim_below(s, 2000) - 1000) * 1000000000;
}

static void choose_setattr(struct sim *s, struct model_op *q)
{
	static const uint32_t valid[] = {
		PR_SET_UID,
		PR_SET_GID,
		PR_SET_UID | PR_SET_GID | PR_SET_MODE,
		PR_SET_ATIME | PR_SET_MTIME,
		PR_SET_ATIME_NOW | PR_SET_MTIME_NOW,
		PR_SET_ATIME,
		PR_SET_MTIME_NOW | PR_SET_KILLPRIV,
		PR_SET_ATIME_TOUCH,
		PR_SET_ATIME_TOUCH | PR_SET_ATIME,
		PR_SET_SIZE | PR_SET_MTIME,
	};

	q->flags = sim_chance(s, 600) ? PR_SET_MODE : PR_SET_SIZE;
	if (sim_chance(s, 300))
		q->flags = valid[sim_below(s, sizeof(valid) / sizeof(valid[0]))];
	q->size = sim_below(s, 100000);
	q->uid = (uint32_t)sim_below(s, 3);
	q->gid = (uint32_t)sim_below(s, 3);
	q->time_ns = some_time(s);
}

/* A page of a directory, from the beginning or from somewhere; or all of it. */
static void choose_listing(struct sim *s, struct model_op *q)
{
	q->size = LISTING_MAX;
	if (!sim_chance(s, s->swarm.pages))
		return;
	q->cookie = sim_chance(s, 300) ? 0 : sim_below(s, 20);
	q->size = 200 + sim_below(s, 600);
}

static void choose(struct sim *s, struct model_op *q)
{
	q->type = some_type(s);
	q->parent = some_inode(s, S_IFDIR, s->swarm.inodes);
	q->parent2 = sim_chance(s, 500) ? q->parent : some_inode(s, S_IFDIR, s->swarm.inodes);
	q->ino = some_inode(s, q->type == PR_T_READDIR && sim_chance(s, 900) ? S_IFDIR : 0,
			    s->swarm.inodes * 2 / 3);
	q->name = (int)sim_below(s, s->swarm.names);
	q->name2 = (int)sim_below(s, s->swarm.names);
	q->mode = (uint32_t)sim_below(s, sim_chance(s, 200) ? 010000 : 0777);
	q->value = 1 + sim_below(s, 1000000);
	q->xattr = (int)sim_below(s, MODEL_XATTRS);
	switch (q->type) {
	case PR_T_CREATE:
		q->flags = PR_O_CREAT | PR_O_WRITE | (sim_chance(s, 500) ? PR_O_EXCL : 0);
		break;
	case PR_T_SYMLINK:
		q->mode = 0777;
		break;
	case PR_T_RENAME:
		q->flags = (uint32_t)sim_below(s, 3);
		break;
	case PR_T_SETATTR:
		choose_setattr(s, q);
		break;
	case PR_T_READDIR:
		choose_listing(s, q);
		break;
	case PR_T_MKNOD: {
		static const uint32_t types[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};

		q->flags = types[sim_below(s, sizeof(types) / sizeof(types[0]))];
		break;
	}
	case PR_T_OPEN: {
		static const uint32_t flags[] = {PR_O_READ, PR_O_WRITE, PR_O_WRITE | PR_O_TRUNC};

		q->flags = flags[sim_below(s, sizeof(flags) / sizeof(flags[0]))];
		break;
	}
	case PR_T_ACCESS:
		q->flags = (uint32_t)sim_below(s, 8);
		break;
	case PR_T_XATTR_SET:
		q->flags = (uint32_t)sim_below(s, 3);
		break;
	default:
		break;
	}
}

static bool may_ask(struct sim *s, int client, const struct model_op *q)
{
	return !sim_op_cuts(q) || sim_data_cut(s, client, q->ino);
}

static bool opens(const struct model_op *q)
{
	return q->type == PR_T_CREATE || q->type == PR_T_OPEN;
}

/* Of what is no file the kernel knows who has it open: create counts nothing. */
bool sim_op_opens(const struct model_op *q, uint32_t mode)
{
	return q->type == PR_T_OPEN || (q->type == PR_T_CREATE && S_ISREG(mode));
}

struct sim_op *sim_work_pick(struct sim *s, int client, int worker)
{
	struct sim_worker *w = &s->client[client].worker[worker];
	bool over = s->healing || sim_enough(s);
	struct model_op q = {0};
	struct sim_op *op;

	if (!over && w->task.state == SIM_TASK_NONE && !w->close_ino &&
	    sim_chance(s, s->swarm.data)) {
		uint64_t back = sim_chance(s, 300) ? sim_data_returning(s, client) : 0;

		sim_data_begin(s, client, worker, back ? back : some_inode(s, S_IFREG, 40));
	}
	if (w->task.state != SIM_TASK_NONE) {
		if (!sim_data_next(s, client, worker, &q))
			return NULL;
	} else if (over && !w->close_ino) {
		return NULL;
	} else {
		choose(s, &q);
		/* A worker has one file open, for some requests. */
		if (w->close_ino && (over || opens(&q) || sim_chance(s, 250))) {
			q = (struct model_op){.type = PR_T_CLOSE, .ino = w->close_ino};
			w->close_ino = 0;
		} else if (!may_ask(s, client, &q)) {
			q.type = PR_T_GETATTR;
		}
	}
	op = sim_op_new(s, client, worker);
	op->q = q;
	return op;
}

void sim_work_done(struct sim *s, struct sim_op *op, const struct model_answer *a)
{
	if (a->error == 0 && sim_op_opens(&op->q, a->mode))
		s->client[op->client].worker[op->worker].close_ino = a->ino;
}

/* ---- to and from the wire ---- */

static struct pr_bytes target_of(const struct model_op *q)
{
	static char text[32];

	snprintf(text, sizeof(text), "to-%llu", (unsigned long long)q->value);
	return pr_bytes_str(text);
}

/* Root, in a group that no other request names: it tells equal requests apart. */
static struct pr_cred marked_root(uint64_t mark)
{
	static uint8_t bytes[8];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));

	pr_put_u32(&b, (uint32_t)mark);
	return (struct pr_cred){.groups = {.count = 1, .p = bytes, .len = (uint32_t)b.len}};
}

static int encode_named(struct pr_buf *b, const struct model_op *q, struct pr_cred cred)
{
	struct pr_bytes name = model_name(q->name);

	switch (q->type) {
	case PR_T_LOOKUP:
		return pr_lookup_encode(
			b, &(struct pr_lookup){.cred = cred, .parent = q->parent, .name = name});
	case PR_T_CREATE:
		return pr_create_encode(b, &(struct pr_create){.cred = cred,
							       .parent = q->parent,
							       .mode = S_IFREG | q->mode,
							       .flags = q->flags,
							       .name = name});
	case PR_T_MKDIR:
		return pr_mkdir_encode(b, &(struct pr_mkdir){.cred = cred,
							     .parent = q->parent,
							     .mode = S_IFDIR | q->mode,
							     .name = name});
	case PR_T_MKNOD:
		return pr_mknod_encode(b, &(struct pr_mknod){.cred = cred,
							     .parent = q->parent,
							     .mode = q->flags | q->mode,
							     .rdev = q->value,
							     .name = name});
	case PR_T_SYMLINK:
		return pr_symlink_encode(b, &(struct pr_symlink){.cred = cred,
								 .parent = q->parent,
								 .name = name,
								 .target = target_of(q)});
	case PR_T_LINK:
		return pr_link_encode(
			b, &(struct pr_link){
				   .cred = cred, .ino = q->ino, .parent = q->parent, .name = name});
	case PR_T_UNLINK:
		return pr_unlink_encode(
			b, &(struct pr_unlink){.cred = cred, .parent = q->parent, .name = name});
	case PR_T_RMDIR:
		return pr_rmdir_encode(
			b, &(struct pr_rmdir){.cred = cred, .parent = q->parent, .name = name});
	case PR_T_RENAME:
		return pr_rename_encode(b, &(struct pr_rename){.cred = cred,
							       .old_parent = q->parent,
							       .new_parent = q->parent2,
							       .flags = q->flags,
							       .old_name = name,
							       .new_name = model_name(q->name2)});
	default:
		return -EINVAL;
	}
}

static int encode_commit(struct pr_buf *b, const struct model_op *q, struct pr_cred cred)
{
	uint8_t bytes[32];
	struct pr_buf ranges = pr_buf_on(bytes, sizeof(bytes));
	struct pr_range range = {.file_block = q->block, .blocks = q->blocks};
	int r = pr_range_put(&ranges, &range);

	if (r < 0)
		return r;
	return pr_layout_commit_encode(
		b, &(struct pr_layout_commit){
			   .cred = cred,
			   .ino = q->ino,
			   .generation = q->value,
			   .size = q->size,
			   .mtime_ns = q->time_ns,
			   .flags = PR_LC_SIZE | (q->time_ns ? PR_LC_MTIME : 0),
			   .ranges = {.count = 1, .p = bytes, .len = (uint32_t)ranges.len}});
}

int sim_work_encode(struct pr_buf *b, const struct model_op *q, uint64_t mark)
{
	struct pr_cred cred = marked_root(mark);
	struct pr_bytes xattr = pr_bytes_str(xattrs[q->xattr]);

	switch (q->type) {
	case PR_T_GETATTR:
		return pr_getattr_encode(b, &(struct pr_getattr){.ino = q->ino});
	case PR_T_SETATTR:
		return pr_setattr_encode(b, &(struct pr_setattr){.cred = cred,
								 .ino = q->ino,
								 .valid = q->flags,
								 .mode = q->mode,
								 .uid = q->uid,
								 .gid = q->gid,
								 .size = q->size,
								 .atime_ns = q->time_ns,
								 .mtime_ns = q->time_ns});
	case PR_T_READDIR:
		return pr_readdir_encode(b, &(struct pr_readdir){.cred = cred,
								 .ino = q->ino,
								 .cookie = q->cookie,
								 .max_bytes = (uint32_t)q->size});
	case PR_T_OPEN:
		return pr_open_encode(
			b, &(struct pr_open){.cred = cred, .ino = q->ino, .flags = q->flags});
	case PR_T_ACCESS:
		return pr_access_encode(
			b, &(struct pr_access){.cred = cred, .ino = q->ino, .mask = q->flags});
	case PR_T_STATFS:
		return pr_statfs_encode(b, &(struct pr_statfs){});
	case PR_T_XATTR_LIST:
		return pr_xattr_list_encode(b,
					    &(struct pr_xattr_list){.cred = cred, .ino = q->ino});
	case PR_T_READLINK:
		return pr_readlink_encode(b, &(struct pr_readlink){.cred = cred, .ino = q->ino});
	case PR_T_XATTR_SET:
		return pr_xattr_set_encode(
			b,
			&(struct pr_xattr_set){.cred = cred,
					       .ino = q->ino,
					       .flags = q->flags,
					       .name = xattr,
					       .value = pr_bytes_of(&q->value, sizeof(q->value))});
	case PR_T_XATTR_GET:
		return pr_xattr_get_encode(
			b, &(struct pr_xattr_get){.cred = cred, .ino = q->ino, .name = xattr});
	case PR_T_XATTR_REMOVE:
		return pr_xattr_remove_encode(
			b, &(struct pr_xattr_remove){.cred = cred, .ino = q->ino, .name = xattr});
	case PR_T_CLOSE:
		return pr_close_encode(b, &(struct pr_close){.ino = q->ino, .opens = 1});
	case PR_T_FSYNC:
		return pr_fsync_encode(b, &(struct pr_fsync){.ino = q->ino});
	case PR_T_LAYOUT_GET:
		return pr_layout_get_encode(b, &(struct pr_layout_get){.ino = q->ino,
								       .file_block = q->block,
								       .blocks = q->blocks,
								       .mode = (uint8_t)q->flags});
	case PR_T_LAYOUT_COMMIT:
		return encode_commit(b, q, cred);
	case PR_T_LAYOUT_RETURN:
		return pr_layout_return_encode(
			b, &(struct pr_layout_return){.ino = q->ino, .generation = q->value});
	case PR_T_NOOP:
		return pr_noop_encode(b, &(struct pr_noop){});
	default:
		return encode_named(b, q, cred);
	}
}

static void take_attr(const struct pr_attr *attr, struct model_answer *a)
{
	a->ino = attr->ino;
	a->mode = attr->mode;
	a->nlink = attr->nlink;
	a->size = S_ISREG(attr->mode) ? attr->size : 0;
	a->attr = (struct model_attr){
		.uid = attr->uid,
		.gid = attr->gid,
		.rdev = attr->rdev,
		.change = attr->change,
		.atime_ns = attr->atime_ns,
		.mtime_ns = attr->mtime_ns,
		.ctime_ns = attr->ctime_ns,
		.btime_ns = attr->btime_ns,
	};
}

static bool take_entries(struct pr_list list, struct model_answer *a)
{
	struct model_answer one;
	struct pr_dirent d;
	uint64_t last = 0;

	while (pr_dirent_next(&list, &d)) {
		int i = model_name_index(d.name);

		/* a name nobody gave, or twice, or out of order */
		if (i < 0 || a->entry[i] || d.cookie <= last)
			return false;
		last = d.cookie;
		one = (struct model_answer){0};
		take_attr(&d.attr, &one);
		a->entry[i] = d.attr.ino;
		a->cookie[i] = d.cookie;
		a->digest[i] = model_digest(&one);
	}
	return true;
}

static bool take_xattrs(struct pr_bytes names, struct model_answer *a)
{
	const char *p = (const char *)names.p, *end = p + names.len;

	for (; p < end; p += strlen(p) + 1) {
		int i = 0;

		while (i < MODEL_XATTRS && strcmp(p, xattrs[i]) != 0)
			i++;
		if (i == MODEL_XATTRS || a->value >> i & 1)
			return false;
		a->value |= UINT64_C(1) << i;
	}
	return p == end;
}

/* Replies that are attributes and little else. */
#define TAKE_ATTR(name)                                   \
	do {                                              \
		struct pr_##name##_r r;                   \
                                                          \
		if (pr_##name##_r_decode(&r, p, len) < 0) \
			return false;                     \
		take_attr(&r.attr, a);                    \
	} while (0)

bool sim_work_decode(const struct model_op *q, const uint8_t *p, uint32_t len,
		     struct model_answer *a)
{
	switch (q->type) {
	case PR_T_LOOKUP:
		TAKE_ATTR(lookup);
		return true;
	case PR_T_GETATTR:
		TAKE_ATTR(getattr);
		return true;
	case PR_T_SETATTR:
		TAKE_ATTR(setattr);
		return true;
	case PR_T_MKDIR:
		TAKE_ATTR(mkdir);
		return true;
	case PR_T_MKNOD:
		TAKE_ATTR(mknod);
		return true;
	case PR_T_OPEN:
		TAKE_ATTR(open);
		return true;
	case PR_T_SYMLINK:
		TAKE_ATTR(symlink);
		return true;
	case PR_T_LINK:
		TAKE_ATTR(link);
		return true;
	case PR_T_LAYOUT_COMMIT:
		TAKE_ATTR(layout_commit);
		return true;
	case PR_T_LAYOUT_GET: {
		struct pr_layout_get_r r;

		if (pr_layout_get_r_decode(&r, p, len) < 0)
			return false;
		a->size = r.size;
		return true;
	}
	case PR_T_CREATE: {
		struct pr_create_r r;

		if (pr_create_r_decode(&r, p, len) < 0)
			return false;
		take_attr(&r.attr, a);
		a->value = r.created;
		return true;
	}
	case PR_T_UNLINK: {
		struct pr_unlink_r r;

		if (pr_unlink_r_decode(&r, p, len) < 0)
			return false;
		a->ino = r.ino;
		a->nlink = r.nlink;
		return true;
	}
	case PR_T_READDIR: {
		struct pr_readdir_r r;

		if (pr_readdir_r_decode(&r, p, len) < 0)
			return false;
		a->more = !r.eof;
		a->value = r.parent;
		return (r.eof || q->size < LISTING_MAX) && take_entries(r.entries, a);
	}
	case PR_T_STATFS: {
		struct pr_statfs_r r;

		if (pr_statfs_r_decode(&r, p, len) < 0 || r.blocks_free > r.blocks)
			return false;
		a->value = r.files - r.files_free;
		return true;
	}
	case PR_T_XATTR_LIST: {
		struct pr_xattr_list_r r;

		return pr_xattr_list_r_decode(&r, p, len) == 0 && take_xattrs(r.names, a);
	}
	case PR_T_READLINK: {
		struct pr_readlink_r r;
		char text[32];

		if (pr_readlink_r_decode(&r, p, len) < 0)
			return false;
		pr_bytes_copy(text, sizeof(text), r.target);
		return sscanf(text, "to-%lu", &a->value) == 1;
	}
	case PR_T_XATTR_GET: {
		struct pr_xattr_get_r r;

		if (pr_xattr_get_r_decode(&r, p, len) < 0 || r.value.len != sizeof(a->value))
			return false;
		memcpy(&a->value, r.value.p, sizeof(a->value));
		return true;
	}
	default:
		return true;
	}
}
