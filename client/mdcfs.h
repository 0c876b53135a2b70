/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mdcfs, the mount: turns requests of the kernel (libfuse's low-level API) into requests of
 * libmdcpair and their answers back. It owns what the kernel's view needs (open handles, what is
 * known of the page cache, requests that wait) and decides nothing that the controllers or the
 * library decide. It never keeps names or attributes: every lookup and stat asks.
 *
 * No thread of libfuse waits for an answer: requests are submitted, and answered by the library's
 * thread. So an outage fills no thread pool, and the kernel can always tell which waiting request
 * was interrupted.
 */
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 4)

#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/mdcpair.h"

struct mf_conf {
	const char *spec; /* ADDR1,ADDR2:/VOLUME */
	char *mountpoint; /* absolute */
	char *luns, *fuse_options;
	unsigned long timeout_s, access_port, coord_port;
	bool foreground, background, readonly, noatime, nodiratime, debug;
};

enum { MF_MAX_WRITE = 1 << 20, MF_BLOCK = 4096 };
enum { MF_EXIT_USAGE = 1, MF_EXIT_FAILED = 32 }; /* as mount(8) has them */

struct mf {
	struct mf_conf conf;
	struct mdc *mdc;
	struct fuse_session *session;
	uint64_t root;
	atomic_bool evicted, tuned;
	atomic_bool ends; /* the volume is being closed, and with it what is open */
};

extern struct mf mf;

/*
 * Root may read further ahead than the kernel's 128 KiB. To be called after INIT, with which the
 * kernel takes its defaults.
 */
void mf_tune(void);

/*
 * mdcfs_log.c: to standard error while somebody listens there, to syslog afterwards. priority as of
 * syslog(3).
 */
void mf_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mf_log_to_syslog(void);
/* From here on nobody who has a line waits for who reads it. */
void mf_log_start(void);
/* Waits a second at most for what is not written yet. */
void mf_log_stop(void);

/* mdcfs_init.c: before the mount. 0 or a negative errno. */
int mf_init_hook(struct fuse_session *);

/* mdcfs_opt.c: fills conf or explains itself on standard error. -1: go on; else the exit code. */
int mf_options(int argc, char **argv, struct mf_conf *conf);

/* ---- mdcfs_apart.c: what may wait for long, in threads of its own ---- */

struct mf_job {
	struct mf_job *next;
	void (*run)(void *arg);
	void *arg;
};

int mf_apart_start(void); /* 0 or a negative errno */
/* Runs it, in a thread in which nobody else waits if one can be had. False: the mount is at its end. */
bool mf_apart(struct mf_job *, void (*run)(void *arg), void *arg);
/* Ends what is under way. False: not all of it has ended. */
bool mf_apart_stop(void);

/* ---- mdcfs_op.c: a request on its way ---- */

struct mf_op;
typedef void (*mf_finish)(struct mf_op *, struct mdc_reply *);

/*
 * Lives from the kernel's request to the library's answer. req is taken exactly once, by who
 * answers: the finish function, or the watcher when the waiting process is asked to end. Who comes
 * second finds NULL, and puts away what the answer brought.
 */
struct mf_op {
	struct mf_op *next, **prev; /* among the waiting, oldest first */
	struct mf_op *judged_next;  /* among those that the watcher looks at now */
	fuse_req_t req;
	_Atomic uint64_t id; /* the library's; 0: cannot be cancelled there */
	atomic_uint refs;
	pid_t pid;
	uint64_t started_ms, interrupted_ms;
	mf_finish finish;
	struct mdc_cred cred;
	uint32_t *groups;
	/* of the operation */
	uint64_t ino, offset;
	size_t size, bytes;
	uint32_t flags;
	int error;
	bool direct; /* past the kernel's page cache */
	struct mf_job job;
	void *handle, *buffer;
};

int mf_ops_start(void);
/* Nobody listens any more: gives up all that wait. */
void mf_ops_stop(void);

/* NULL: answered with ENOMEM. with_groups: the operation checks permissions. */
struct mf_op *mf_op_new(fuse_req_t, mf_finish, bool with_groups);
/*
 * Submits with the op's credentials and consumes the caller's reference; failing is answered
 * through finish.
 */
void mf_op_submit(struct mf_op *, struct mdc_request *);
fuse_req_t mf_op_take(struct mf_op *);
/* For operations that do not go through mf_op_submit: one reference belongs to the completion. */
void mf_op_ref(struct mf_op *);
void mf_op_unref(struct mf_op *);
/* Takes and answers; the reference stays. */
void mf_op_error(struct mf_op *, int error);
/* A detached thread with a small stack. 0 or an error number. */
int mf_thread(void *(*run)(void *arg), void *arg);
/* A request nobody waits for. */
void mf_tell(struct mdc_request *);

/* Buffers for data, aligned to blocks; kept for the next use. */
void *mf_buffer_get(size_t bytes);
void mf_buffer_put(void *buffer, size_t bytes);

/* ---- mdcfs_attr.c: how numbers look on either side ---- */

static inline uint64_t mf_ino(fuse_ino_t node)
{
	return node == FUSE_ROOT_ID ? mf.root : node;
}

static inline fuse_ino_t mf_node(uint64_t ino)
{
	return ino == mf.root ? FUSE_ROOT_ID : ino;
}

void mf_stat(const struct mdc_attr *, struct stat *ret);
void mf_entry(const struct mdc_attr *, struct fuse_entry_param *ret);
uint32_t mf_open_flags(int flags);
/* Does relatime want the time of the last read to be set anew? */
bool mf_wants_touch(const struct mdc_attr *, int flags);
void mf_touch(uint64_t ino);

/* ---- mdcfs_inode.c: what is known of the kernel's page cache ---- */

/* An open succeeded: may the kernel keep what it has of the file's data? */
bool mf_inode_opened(const struct mdc_attr *, bool writes, bool is_new);
void mf_inode_closed(uint64_t ino, bool writes);
void mf_inode_forget(uint64_t ino);
/* Had it set-id bits when this mount last heard of its mode? */
void mf_inode_mode(const struct mdc_attr *);
bool mf_inode_is_setid(uint64_t ino);
/*
 * The kernel asks for security.capability before every write. While this mount has the file open
 * for writing, a "none" stays true until somebody sets one here.
 */
bool mf_inode_without_caps(uint64_t ino);
void mf_inode_no_caps(uint64_t ino);
void mf_inode_sets_caps(uint64_t ino);

/* ---- operations ---- */

extern const struct fuse_lowlevel_ops mf_ops;

/* mdcfs_name.c */
void mf_lookup(fuse_req_t, fuse_ino_t, const char *);
void mf_forget(fuse_req_t, fuse_ino_t, uint64_t);
void mf_forget_multi(fuse_req_t, size_t, struct fuse_forget_data *);
void mf_getattr(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void mf_setattr(fuse_req_t, fuse_ino_t, struct stat *, int, struct fuse_file_info *);
void mf_readlink(fuse_req_t, fuse_ino_t);
void mf_mknod(fuse_req_t, fuse_ino_t, const char *, mode_t, dev_t);
void mf_mkdir(fuse_req_t, fuse_ino_t, const char *, mode_t);
void mf_symlink(fuse_req_t, const char *, fuse_ino_t, const char *);
void mf_link(fuse_req_t, fuse_ino_t, fuse_ino_t, const char *);
void mf_unlink(fuse_req_t, fuse_ino_t, const char *);
void mf_rmdir(fuse_req_t, fuse_ino_t, const char *);
void mf_rename(fuse_req_t, fuse_ino_t, const char *, fuse_ino_t, const char *, unsigned);
void mf_access(fuse_req_t, fuse_ino_t, int);
void mf_statfs(fuse_req_t, fuse_ino_t);

/* mdcfs_xattr.c */
void mf_getxattr(fuse_req_t, fuse_ino_t, const char *, size_t);
void mf_setxattr(fuse_req_t, fuse_ino_t, const char *, const char *, size_t, int);
void mf_listxattr(fuse_req_t, fuse_ino_t, size_t);
void mf_removexattr(fuse_req_t, fuse_ino_t, const char *);

/* mdcfs_dir.c */
void mf_opendir(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void mf_readdir(fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
void mf_releasedir(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void mf_fsyncdir(fuse_req_t, fuse_ino_t, int, struct fuse_file_info *);

/* mdcfs_file.c */
void mf_open(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void mf_create(fuse_req_t, fuse_ino_t, const char *, mode_t, struct fuse_file_info *);
void mf_release(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void mf_flush(fuse_req_t, fuse_ino_t, struct fuse_file_info *);

/* mdcfs_data.c */
void mf_read(fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
void mf_write_buf(fuse_req_t, fuse_ino_t, struct fuse_bufvec *, off_t, struct fuse_file_info *);
void mf_fsync(fuse_req_t, fuse_ino_t, int, struct fuse_file_info *);
void mf_fallocate(fuse_req_t, fuse_ino_t, int, off_t, off_t, struct fuse_file_info *);
void mf_lseek(fuse_req_t, fuse_ino_t, off_t, int, struct fuse_file_info *);

/* An open file. A read whose process was killed may outlive the kernel's handle. */
struct mf_file {
	struct mdc_file *file;
	uint64_t ino;
	atomic_uint refs;
	bool writes;
	atomic_bool touch; /* the first read sets the time */
};

void mf_file_ref(struct mf_file *);
void mf_file_unref(struct mf_file *); /* the last one closes */
