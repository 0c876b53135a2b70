/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/mdc_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LUNS = 2, MANY = 64, BLOCK = CL_BLOCK_BYTES };

static struct mdc_loop loop;
static struct mdc mdc;
static struct mdc_disk disks[LUNS];
static struct mdc_files files;

static struct aio_request ops[MANY];
static struct aio_done reaped[MANY];
static unsigned op_count, reaped_count;

static struct message {
	struct mdc_pending pending;
	uint16_t type;
	uint8_t bytes[512];
	size_t len;
	bool waits;
} messages[MANY];
static unsigned message_count;
static struct pr_buf prepared;
static uint64_t granted; /* the newest generation */

/* ---- the LUNs ---- */

int aio_new(const struct aio_config *config, struct aio **ret)
{
	*ret = (struct aio *)ops;
	return 0;
}

void aio_free(struct aio *aio)
{
}

/* Readable never: the rig tells by itself when something is to be reaped. */
int aio_fd(const struct aio *aio)
{
	static int fds[2];

	cr_assert_eq(pipe(fds), 0);
	return fds[0];
}

int aio_submit(struct aio *aio, const struct aio_request *request)
{
	cr_assert(op_count < MANY);
	ops[op_count++] = *request;
	return 0;
}

void aio_kick(struct aio *aio)
{
}

bool aio_reap(struct aio *aio, struct aio_done *ret)
{
	if (!reaped_count)
		return false;
	*ret = reaped[--reaped_count];
	return true;
}

unsigned lun_waiting(enum aio_op op)
{
	unsigned n = 0;

	for (unsigned i = 0; i < op_count; i++)
		n += ops[i].op == op;
	return n;
}

void lun_done(enum aio_op op, unsigned lun, int error)
{
	unsigned i = 0;

	while (i < op_count && (ops[i].op != op || ops[i].fd != disks[lun].fd))
		i++;
	cr_assert(i < op_count, "LUN %u was not asked for that", lun);
	reaped[reaped_count++] = (struct aio_done){.user = ops[i].user, .result = error};
	memmove(&ops[i], &ops[i + 1], (--op_count - i) * sizeof(*ops));
	mdc_data_ready(&loop);
}

struct mdc_disk *mdc_disk_of(struct mdc_files *f, uint16_t number)
{
	return number < LUNS ? &disks[number] : NULL;
}

/* ---- the controller ---- */

struct pr_buf *cl_prepare(struct cl *cl, size_t bytes)
{
	struct message *m = &messages[message_count];

	cr_assert(message_count < MANY && bytes <= sizeof(m->bytes));
	prepared = pr_buf_on(m->bytes, sizeof(m->bytes));
	return &prepared;
}

struct mdc_pending *mdc_raw_submit(struct mdc *m, uint16_t type,
				   void (*raw)(struct mdc_pending *, int error, const uint8_t *p,
					       uint32_t len),
				   void *object)
{
	struct message *message = &messages[message_count++];

	message->type = type;
	message->len = prepared.len;
	message->waits = true;
	message->pending = (struct mdc_pending){.raw = raw, .object = object};
	return &message->pending;
}

unsigned ctl_waiting(uint16_t type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < message_count; i++)
		n += messages[i].waits && messages[i].type == type;
	return n;
}

static struct message *want(uint16_t type)
{
	for (unsigned i = 0; i < message_count; i++)
		if (messages[i].waits && messages[i].type == type)
			return &messages[i];
	cr_assert_fail("the controller was not asked that");
	return NULL;
}

static void answer(struct message *m, int error, const struct pr_buf *b)
{
	m->waits = false;
	m->pending.raw(&m->pending, error, b ? b->p : NULL, b ? (uint32_t)b->len : 0);
}

void ctl_refuse(uint16_t type, int error)
{
	answer(want(type), error, NULL);
}

void ctl_grant(uint8_t state, uint16_t lun, uint64_t size)
{
	ctl_grant_at(state, lun, 1000, size);
}

void ctl_grant_at(uint8_t state, uint16_t lun, uint64_t first, uint64_t size)
{
	struct message *m = want(PR_T_LAYOUT_GET);
	struct pr_layout_get_r grant = {.generation = ++granted, .size = size, .change = 1};
	uint8_t bytes[256], list[64];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes)), l = pr_buf_on(list, sizeof(list));
	struct pr_layout_get get;

	cr_assert_eq(pr_layout_get_decode(&get, m->bytes, (uint32_t)m->len), 0);
	cr_assert_eq(pr_extent_put(&l, &(struct pr_extent){.file_block = get.file_block,
							   .lun_block = first + get.file_block,
							   .blocks = (uint32_t)get.blocks,
							   .lun = lun,
							   .state = state}),
		     0);
	grant.extents = (struct pr_list){.count = 1, .p = l.p, .len = (uint32_t)l.len};
	cr_assert_eq(pr_layout_get_r_encode(&b, &grant), 0);
	answer(m, 0, &b);
}

struct rig_commit ctl_commit(void)
{
	struct message *m = want(PR_T_LAYOUT_COMMIT);
	struct mdc_inode *inode = m->pending.object;
	struct pr_layout_commit_r r = {.attr = {.ino = inode->ino, .change = inode->change + 1}};
	uint8_t bytes[256];
	struct pr_buf b = pr_buf_on(bytes, sizeof(bytes));
	struct pr_layout_commit commit;
	struct pr_range range = {0};
	struct rig_commit ret = {0};

	cr_assert_eq(pr_layout_commit_decode(&commit, m->bytes, (uint32_t)m->len), 0);
	if (pr_range_next(&commit.ranges, &range)) {
		ret.from = range.file_block;
		ret.blocks = range.blocks;
	}
	r.attr.size = inode->size_server;
	if (commit.flags & PR_LC_SIZE)
		r.attr.size = ret.size = commit.size;
	cr_assert_eq(pr_layout_commit_r_encode(&b, &r), 0);
	answer(m, 0, &b);
	return ret;
}

uint64_t ctl_return(void)
{
	struct message *m = want(PR_T_LAYOUT_RETURN);
	struct pr_layout_return back;

	cr_assert_eq(pr_layout_return_decode(&back, m->bytes, (uint32_t)m->len), 0);
	answer(m, 0, NULL);
	return back.generation;
}

/* ---- the rest of the library ---- */

int mdc_request_send(struct mdc *m, const struct mdc_request *q, uint64_t *ret_id)
{
	return -EIO;
}

void mdc_cred_to(struct pr_cred *to, const struct mdc_cred *from)
{
	*to = (struct pr_cred){0};
}

void mdc_attr_from(struct mdc_attr *ret, const struct pr_attr *attr)
{
	*ret = (struct mdc_attr){.ino = attr->ino, .change = attr->change, .size = attr->size};
}

void mdc_tell(struct mdc *m, const struct mdc_event *event)
{
}

void mdc_loop_wake_at(struct mdc_loop *l, uint64_t at_ms)
{
}

int64_t mdc_real_ns(void)
{
	static int64_t now;

	return ++now;
}

struct mdc_later *mdc_later_new(struct mdc *m, mdc_io_done done, void *user)
{
	return NULL;
}

void mdc_later_done(void *later, ssize_t result)
{
}

int mdc_fail(int error, const char *format, ...)
{
	return error;
}

/* ---- what a test does ---- */

void rig_up(void)
{
	loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop.sessions = &mdc;
	mdc = (struct mdc){.loop = &loop, .files = &files};
	files = (struct mdc_files){.mdc = &mdc, .disks = disks, .disk_count = LUNS};
	files.dirty_end = &files.dirty;
	files.hash_size = 8;
	files.hash = calloc(files.hash_size, sizeof(struct mdc_inode *));
	for (int i = 0; i < LUNS; i++)
		disks[i] = (struct mdc_disk){.fd = 100 + i, .number = (uint16_t)i, .files = &files};
	cr_assert_eq(mdc_data_need(&loop), 0);
}

struct mdc_inode *rig_file(uint64_t ino)
{
	struct mdc_inode *inode = mdc_inode_get(&mdc, ino);

	inode->files = 1;
	return inode;
}

static void ended(void *user, ssize_t result)
{
	struct rig_call *call = user;

	call->ended++;
	call->result = result;
	if (call->then)
		call->then();
}

static void start(struct mdc_inode *inode, struct rig_call *call, struct mdc_io like)
{
	static uint8_t memory[64 * BLOCK] __attribute__((aligned(BLOCK)));
	struct mdc_io *io = malloc(sizeof(*io));

	cr_assert(like.bytes <= sizeof(memory));
	like.p = memory;
	like.done = ended;
	like.user = call;
	*io = like;
	cr_assert_eq(mdc_io_start(inode, io), 0);
}

void rig_write(struct mdc_inode *inode, struct rig_call *call, uint64_t offset, size_t bytes,
	       uint32_t flags)
{
	start(inode, call,
	      (struct mdc_io){
		      .kind = MDC_IO_WRITE, .offset = offset, .bytes = bytes, .flags = flags});
}

void rig_read(struct mdc_inode *inode, struct rig_call *call, uint64_t offset, size_t bytes)
{
	start(inode, call, (struct mdc_io){.kind = MDC_IO_READ, .offset = offset, .bytes = bytes});
}

void rig_fsync(struct mdc_inode *inode, struct rig_call *call)
{
	cr_assert_eq(mdc_fsync_add(inode, ended, call), 0);
}
