/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data path: LUNs, transfers, and the inodes a session has something in memory of. An inode
 * lives as long as it is open, dirty or holds a layout. README.md has the order of its writes.
 */
#pragma once

#include "client/core/cl_map.h"
#include "client/io/mdc_priv.h"

/* ---- transfers and buffers (mdc_data.c) ---- */

struct mdc_disk {
	struct lun *lun;
	int fd;
	uint16_t number; /* of the volume's LUNs */
	struct mdc_files *files;
	char name[64];
	bool flushing;
	struct mdc_flush *flush_now, *flush_next;
};

/* A read, write or flush of one LUN; the caller's until done. */
struct mdc_transfer {
	struct mdc_disk *disk;
	int op; /* enum aio_op */
	void *p;
	uint32_t bytes;
	uint64_t offset;
	void (*done)(struct mdc_transfer *, int error);
	void *object;
	struct mdc_transfer *next;
};

struct mdc_flush {
	void (*done)(struct mdc_flush *, int error);
	void *object;
	struct mdc_flush *next;
};

void mdc_data_free(struct mdc_data *);
uint64_t
mdc_data_tick(struct mdc_loop *); /* what is due; returns when it wants to be called again */
void mdc_data_pump(struct mdc_loop *);
void mdc_data_ready(struct mdc_loop *);
int mdc_data_need(struct mdc_loop *); /* starts the executor once; 0 or a negative errno */
void mdc_transfer(struct mdc_loop *, struct mdc_transfer *);
/* All that was written to the disk before is on its platter when done is called. Flushes asked for
 * at once are one. */
void mdc_flush(struct mdc_loop *, struct mdc_disk *, struct mdc_flush *);
/* Aligned to 4096. Without the lock. NULL: no memory. */
void *mdc_buffer_get(size_t bytes);
void mdc_buffer_put(void *, size_t bytes);

/* ---- inodes (mdc_inode.c) ---- */

enum mdc_io_kind { MDC_IO_READ, MDC_IO_WRITE, MDC_IO_ZERO };

struct mdc_io {
	struct mdc_inode *inode;
	enum mdc_io_kind kind;
	uint8_t *p; /* the caller's */
	size_t bytes, got;
	uint64_t offset, from, to; /* blocks [from, to) */
	uint64_t seq;
	uint64_t disks; /* bit mask of those that are written to */
	uint32_t flags;
	bool own;  /* of a task: runs though the inode is frozen */
	bool tail; /* ZERO: what lies behind the end in the last block, wherever that is by then */
	bool copy_late, reading_edges;
	uint8_t *bounce;
	size_t bounce_bytes;
	uint32_t parts;
	int error;
	mdc_io_done done;
	void *user;
	struct mdc_io *next, **prev;
};

struct mdc_fsync {
	uint64_t seq; /* of the last write it is about */
	bool covered; /* by the commit that is under way */
	mdc_io_done done;
	void *user;
	struct mdc_fsync *next;
};

/* What needs the inode for itself: nothing else starts, what runs ends, and (but for TIMES) what is
 * dirty is committed first. */
enum mdc_task_kind {
	MDC_TASK_RETURN,
	MDC_TASK_SIZE,
	MDC_TASK_EMPTY, /* an open that empties the file */
	MDC_TASK_TIMES,
	MDC_TASK_RIGHTS, /* mode or capabilities: writes before may yet clear them, by their commit */
	MDC_TASK_ALLOCATE,
};

struct mdc_task {
	enum mdc_task_kind kind;
	bool started;
	int step;
	uint64_t generation; /* RETURN: what is given back */
	uint64_t size;	     /* SIZE: the new one */
	uint64_t offset, bytes;
	uint32_t mode; /* ALLOCATE: as of fallocate(2) */
	uint64_t seq;
	/* What it asks of the controller, with copies of what that points to. */
	struct mdc_request request;
	struct mdc_cred cred;
	struct mdc_attr set;
	uint32_t *groups;
	char *name;
	void *value;
	struct mdc_later *later; /* of an error that is known at once */
	struct mdc_task *next;
};

enum mdc_commit_state { MDC_COMMIT_IDLE, MDC_COMMIT_FLUSH, MDC_COMMIT_SEND };

struct mdc_inode {
	struct mdc *mdc;
	uint64_t ino;
	struct mdc_inode *next, **prev;		    /* in the hash */
	struct mdc_inode *next_dirty, **prev_dirty; /* in the list of dirty ones, oldest first */
	uint32_t files, opens, pins;
	uint32_t uid, gid;

	struct cl_map map;
	uint64_t generation; /* of the newest grant; 0: no layout */
	uint8_t layout;
	bool getting;
	uint64_t get_from, get_to; /* asked for */
	uint8_t get_mode;
	uint64_t window;     /* blocks asked for beyond need */
	uint64_t next_block; /* behind the last write that was started */
	bool exact; /* the last grant failed for want of space: ask for no more than needed */
	bool dense; /* as far as known, no holes below the end */

	/* size_seen: of what was completed; size_server: as told at change. Nothing is chosen by them
	 * but while leased: without a layout another client may make it another. */
	uint64_t size_server, size_seen, change;
	bool known;	    /* size_server and change are */
	bool leased;	    /* the size is right as long as the layout is held */
	uint64_t clean_end; /* 0, or size_seen if its block is zero behind it */
	bool cleaning;	    /* such zeros are on their way for writes that wait */
	bool size_dirty, mtime_dirty, killpriv;
	int64_t mtime_ns;
	struct cl_ranges dirty, sending;
	uint64_t dirty_since_ms, dirty_blocks;
	uint64_t disks; /* bit mask of those written to since the last flush */

	uint64_t seq;
	struct mdc_io *running, *waiting, **waiting_end;
	struct mdc_fsync *fsyncs;
	struct mdc_task *tasks;
	bool closing;
	int error; /* of a late write: told once */
	bool lost; /* what was written since the last commit began may be */

	enum mdc_commit_state commit;
	bool commit_wanted;
	uint32_t commit_parts, commit_at, commit_tries; /* at: the next of the ranges being sent */
	int commit_error;
	uint64_t commit_size,
		commit_again; /* again: up to where a lost layout was asked for anew */
	bool commit_has_size, commit_killpriv;
	int64_t commit_mtime_ns;
};

struct mdc_files {
	struct mdc *mdc;
	struct mdc_disk *disks;
	uint32_t disk_count;
	struct mdc_inode **hash;
	uint32_t hash_size, inodes;
	struct mdc_inode *dirty, **dirty_end;
};

struct mdc_file {
	struct mdc_inode *inode;
	uint32_t flags;
};

/* mdc_luns.c */
int mdc_files_open(struct mdc *, const struct pr_session_open_r *);
void mdc_files_free(struct mdc *);
struct mdc_disk *mdc_disk_of(struct mdc_files *, uint16_t number);

/* mdc_inode.c */
struct mdc_inode *mdc_inode_find(struct mdc_files *, uint64_t ino);
struct mdc_inode *mdc_inode_get(struct mdc *, uint64_t ino); /* found or made; NULL: no memory */
void mdc_inode_settle(struct mdc_inode *); /* close it, commit it or forget it, as its state asks */
void mdc_inode_told(struct mdc_inode *, const struct mdc_attr *);
void mdc_inode_set_dirty(struct mdc_inode *);
void mdc_inode_set_clean(struct mdc_inode *);
void mdc_inodes_free(struct mdc_files *);
bool mdc_inode_is_dirty(const struct mdc_inode *);
void mdc_files_overlay(struct mdc_files *, struct mdc_attr *);
void mdc_files_reply(struct mdc *, const struct mdc_pending *, struct mdc_reply *);
void mdc_files_recall(struct mdc *, uint64_t ino, uint64_t generation);
void mdc_files_lost(struct mdc *); /* the controller does not know some of our layouts any more */
void mdc_files_close_all(struct mdc *);
bool mdc_files_quiet(struct mdc *); /* nothing dirty, held or open */
bool mdc_files_idle(struct mdc *);  /* nothing under way on the LUNs */

/* mdc_io.c */
int mdc_io_start(struct mdc_inode *, struct mdc_io *);
bool mdc_io_cancel(struct mdc_inode *,
		   struct mdc_io *); /* false: it is under way on the LUN and ends by itself */
bool mdc_io_leave(struct mdc_inode *, struct mdc_io *, ssize_t result); /* it waited; true */
/* For a task: the size becomes leased; zeros within one block; zeros from the end to the end of its
 * block. */
int mdc_io_look(struct mdc_inode *, mdc_io_done, void *user);
int mdc_io_zero(struct mdc_inode *, uint64_t offset, uint64_t bytes, mdc_io_done, void *user);
int mdc_io_zero_tail(struct mdc_inode *, mdc_io_done, void *user);
bool mdc_io_asks_to_write(const struct mdc_inode *, const struct mdc_io *); /* of the layout */
void mdc_io_run(struct mdc_inode *); /* starts what can be started */
bool mdc_io_quiet(const struct mdc_inode *);
bool mdc_io_write_before(const struct mdc_inode *,
			 uint64_t seq); /* a write up to seq is not complete */

/* mdc_layout.c */
/* Asks for what io needs from this block on, and more where that helps, unless an answer is awaited
 * already. */
int mdc_layout_get(struct mdc_inode *, const struct mdc_io *, uint64_t from, bool writing);

/* mdc_commit.c */
void mdc_commit_run(struct mdc_inode *);
/* A flush of the LUN failed: what was written there since the last one, of any file, may be lost. */
void mdc_commit_lost(struct mdc_disk *);
int mdc_fsync_add(struct mdc_inode *, mdc_io_done, void *user);

/* mdc_task.c */
bool mdc_tasks_freeze(const struct mdc_inode *);
void mdc_task_add(struct mdc_inode *, struct mdc_task *);
struct mdc_task *mdc_task_new(enum mdc_task_kind); /* NULL: no memory */
void mdc_task_free(struct mdc_task *);		   /* one that was never added; NULL is fine */
int mdc_task_carry(struct mdc *, struct mdc_task *, const struct mdc_request *);
bool mdc_tasks_hold_commit(const struct mdc_inode *);
void mdc_tasks_run(struct mdc_inode *);
void mdc_task_return(struct mdc_inode *); /* the layout is given back as soon as it can be */

/* ---- what they share of arithmetic ---- */

static inline uint64_t blocks_up(uint64_t bytes)
{
	return (bytes + CL_BLOCK_BYTES - 1) / CL_BLOCK_BYTES;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* mdc_resize.c */
bool mdc_resize_concerns(const struct mdc_request *);
int mdc_resize_submit(struct mdc *, const struct mdc_request *, uint64_t *ret_id);

/* mdc_request.c */
int mdc_request_send(struct mdc *, const struct mdc_request *, uint64_t *ret_id);
void mdc_cred_to(struct pr_cred *, const struct mdc_cred *);
