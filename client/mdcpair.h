/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmdcpair: the client of a pair of metadata controllers. One struct mdc is one session on one
 * volume; it knows both controllers, finds the active one, carries every request through a failover
 * exactly once, and moves file data straight to and from the LUNs. An outage of the controllers is
 * never an error: requests wait until they are answered or cancelled.
 *
 * Every function that can fail returns 0 (or a count) or a negative errno; mdc_error() has the
 * sentence that belongs to it. All functions may be called from any thread unless their comment
 * says otherwise. See libmdcpair(3).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mdc;	 /* a session on a volume */
struct mdc_loop; /* what drives sessions: one epoll descriptor, one io_uring */
struct mdc_file; /* an open regular file */

/* Why the last call of this thread failed, in words that name the thing and the next step; never
 * NULL. */
const char *mdc_error(void);
const char *mdc_version(void);

/* ---- loops ---- */

/*
 * A session belongs to one loop. Without one in its options it gets its own, driven by a background
 * thread. A program that drives many sessions from one thread makes a loop, opens the sessions on
 * it, and calls mdc_dispatch, by itself or when mdc_fd is readable. Callbacks run in the thread
 * that dispatches, never from within what starts a request or a transfer (mdc_cancel and
 * mdc_close_volume alone may call them, too); they may submit and cancel requests but not call what
 * waits. Functions that wait, called in a program whose loop has no thread, dispatch the loop
 * themselves.
 */
int mdc_loop_new(struct mdc_loop **ret);
void mdc_loop_free(struct mdc_loop *);	      /* after its sessions; NULL is fine */
int mdc_loop_start_thread(struct mdc_loop *); /* from here on a thread of the library dispatches */
/* Readable when mdc_dispatch has something to do. */
int mdc_fd(const struct mdc_loop *);
/*
 * Sends what was submitted, waits up to timeout_ms (-1: until something happens, 0: not at all),
 * handles what came. Everything submitted since the last call leaves in one send per controller.
 * Returns how many requests were completed, or a negative errno.
 */
int mdc_dispatch(struct mdc_loop *, int timeout_ms);
/* Milliseconds until mdc_dispatch wants to be called though mdc_fd is not readable; -1: never.
 * (mdc_fd counts timers in: seldom needed.) */
int mdc_loop_timeout(struct mdc_loop *);

/* ---- sessions ---- */

enum {
	MDC_OPEN_EXCLUSIVE =
		1, /* a mount: refused with -EBUSY while another session has the volume so */
	MDC_OPEN_READER = 2, /* never writes */
	MDC_OPEN_NO_DATA =
		4, /* metadata only: LUNs are not opened; file reads and writes answer -ENXIO */
	MDC_OPEN_NO_WAIT =
		8, /* fail with -ETIMEDOUT when no active controller is found within open_ms */
};

enum mdc_event_type {
	MDC_EVENT_ACTIVE,  /* serving again: text names the controller; gap_ms: how long nothing was
			      answered */
	MDC_EVENT_OUTAGE,  /* no active controller; requests wait */
	MDC_EVENT_EVICTED, /* the session is lost: everything answers -ESTALE from here on */
	MDC_EVENT_INVALIDATE, /* ino: drop what is cached of it; the attributes or data changed
				 elsewhere */
	MDC_EVENT_WARNING,    /* text, such as a blocked port */
};

struct mdc_event {
	enum mdc_event_type type;
	uint64_t ino;
	uint64_t epoch;
	uint32_t gap_ms;
	const char *text;
};

struct mdc_options {
	uint32_t flags;	      /* MDC_OPEN_* */
	uint16_t access_port; /* 0: 60598 */
	uint16_t coord_port;  /* 0: 60766 */
	uint32_t slots;	      /* requests in flight at most; 0: 64 */
	uint32_t open_ms;     /* with MDC_OPEN_NO_WAIT; 0: 10000 */
	const char *luns; /* PATH[,PATH...] to look for the volume's LUNs; NULL: $MDCPAIR_LUNS, then
			     /etc/mdcpair/luns; a path may have blanks in it */
	const char *host; /* as administrators see it; NULL: this host's name */
	const char *program;   /* NULL: the name of this program */
	const char *what;      /* e.g. the mount point; NULL: nothing */
	struct mdc_loop *loop; /* NULL: an own one with its thread */
	void (*event)(void *user,
		      const struct mdc_event *); /* called while dispatching; NULL: ignored */
	void *user;
};

/*
 * spec is "ADDRESS1,ADDRESS2:/VOLUME"; an address is a name, IPv4, [IPv6], each with an optional
 * :PORT for access. Waits until the session stands (durable on both controllers). options may be
 * NULL. -EINVAL: spec, -ENOENT: no such volume, -EBUSY: mounted, -ENODEV: a LUN was not found
 * (options.luns), -EPROTONOSUPPORT: another version, -EINTR: mdc_interrupt.
 */
int mdc_open_volume(const char *spec, const struct mdc_options *options, struct mdc **ret);
/* The same without waiting, for many sessions on one loop: done is called once, with the session
 * ready or to be closed. */
int mdc_open_volume_start(const char *spec, const struct mdc_options *options,
			  void (*done)(void *user, int error), void *user, struct mdc **ret);
/*
 * Writes back what is dirty, closes what is open (no handle may be used any more, but for a callback
 * that closes its own), gives back layouts, ends the session; waits up to wait_ms for an active
 * controller. NULL is fine. -ETIMEDOUT: not everything came there; the session then ends with its
 * lease.
 */
int mdc_close_volume(struct mdc *, uint32_t wait_ms);

struct mdc_info {
	uint64_t session, epoch, root;
	uint32_t key; /* byte of the LUNs' client lock area */
	uint8_t node; /* of the active; 0: none now */
	uint8_t cluster[16], volume[16];
	char active[256];
	char volume_name[64];
	bool evicted, serving;
};

struct mdc_stats {
	uint64_t requests, replies, resends, late_replies, reconnects, failovers, recalls, commits;
	uint64_t bytes_sent, bytes_received; /* of the controllers' sockets */
	uint64_t data_read, data_written;    /* of the LUNs */
	uint64_t sends, receives;	     /* system calls */
	uint32_t in_flight, waiting;
	uint32_t longest_gap_ms; /* without an active since the session was opened */
};

void mdc_get_info(struct mdc *, struct mdc_info *ret);
void mdc_get_stats(struct mdc *, struct mdc_stats *ret);
struct mdc_loop *mdc_get_loop(struct mdc *);

/* ---- requests ---- */

struct mdc_cred {
	uint32_t uid, gid;
	uint32_t group_count; /* supplementary, at most 4096 */
	const uint32_t *groups;
};

struct mdc_attr {
	uint64_t ino;
	uint32_t mode, nlink, uid, gid;
	uint64_t rdev;
	uint64_t size, blocks; /* bytes; units of 512 bytes */
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
	uint64_t change;
};

struct mdc_dirent {
	uint64_t cookie; /* asks for what follows this entry */
	struct mdc_attr attr;
	const char *name; /* NUL-terminated */
	size_t name_bytes;
};

struct mdc_statfs {
	uint64_t blocks, blocks_free, files, files_free;
	uint32_t block_bytes, name_max;
};

/* valid of a setattr */
enum {
	MDC_SET_MODE = 0x001,
	MDC_SET_UID = 0x002,
	MDC_SET_GID = 0x004,
	MDC_SET_SIZE = 0x008,
	MDC_SET_ATIME = 0x010,
	MDC_SET_MTIME = 0x020,
	MDC_SET_ATIME_NOW = 0x040,
	MDC_SET_MTIME_NOW = 0x080,
	MDC_SET_KILLPRIV = 0x100,    /* clear the set-id bits, as a write by others does */
	MDC_SET_ATIME_TOUCH = 0x200, /* relatime's update: leaves ctime alone */
};

/* flags of create and open */
enum {
	MDC_O_READ = 0x01,
	MDC_O_WRITE = 0x02,
	MDC_O_EXCL = 0x04,
	MDC_O_TRUNC = 0x08,
	MDC_O_CREAT = 0x10,
	MDC_O_APPEND = 0x20,
	MDC_O_EXEC = 0x40,
};

enum { MDC_RENAME_NOREPLACE = 1, MDC_RENAME_EXCHANGE = 2 };
enum { MDC_XATTR_CREATE = 1, MDC_XATTR_REPLACE = 2 };

enum mdc_op {
	MDC_LOOKUP = 1,	  /* ino (directory), name -> attr */
	MDC_GETATTR,	  /* ino -> attr */
	MDC_SETATTR,	  /* ino, valid, set -> attr */
	MDC_CREATE,	  /* ino, name, mode, flags -> attr, created; counts as one open */
	MDC_MKNOD,	  /* ino, name, mode, rdev -> attr */
	MDC_MKDIR,	  /* ino, name, mode -> attr */
	MDC_SYMLINK,	  /* ino, name, text -> attr */
	MDC_READLINK,	  /* ino -> text */
	MDC_LINK,	  /* ino, new_parent, new_name -> attr */
	MDC_UNLINK,	  /* ino (directory), name -> attr.ino, attr.nlink */
	MDC_RMDIR,	  /* ino (directory), name */
	MDC_RENAME,	  /* ino (directory), name, new_parent, new_name, flags */
	MDC_READDIR,	  /* ino, cookie, bytes -> entries, eof, parent */
	MDC_STATFS,	  /* -> statfs */
	MDC_XATTR_GET,	  /* ino, name -> value */
	MDC_XATTR_SET,	  /* ino, name, value, value_bytes, flags */
	MDC_XATTR_LIST,	  /* ino -> value: names, each followed by NUL */
	MDC_XATTR_REMOVE, /* ino, name */
	MDC_OPEN,	  /* ino, flags -> attr; counts as one open */
	MDC_CLOSE,	  /* ino, opens */
	MDC_ACCESS,	  /* ino, mask: R_OK, W_OK, X_OK */
	MDC_FSYNC,	  /* ino: metadata is durable on both (it always is before a reply) */
	MDC_NOOP, /* bytes of its answer, at most 1024: durable like a create, no namespace */
};

/* What came. Lives until the callback returns; what an operation does not give is zero. */
struct mdc_reply {
	int error; /* 0 or negative errno */
	struct mdc_attr attr;
	bool created, eof;
	uint64_t parent;
	struct mdc_statfs statfs;
	const char *text; /* NUL-terminated: readlink's target; on an error what the controller
			     says, or "" */
	const void *value;
	size_t value_bytes;
	/* for mdc_next_entry */
	const void *entries_;
	uint32_t entries_left_;
	void *files_;
	char name_[256];
};

/* The next entry of a readdir's reply; false at the end. The name is valid until the next call or
 * the end of the callback. */
bool mdc_next_entry(struct mdc_reply *, struct mdc_dirent *ret);

typedef void (*mdc_done)(void *user, struct mdc_reply *reply);

/* Copied by mdc_submit, with everything it points to. */
struct mdc_request {
	enum mdc_op op;
	uint32_t mode, flags, mask, valid, opens, bytes;
	const struct mdc_cred *cred; /* NULL: root */
	uint64_t ino, new_parent, rdev, cookie;
	const char *name, *new_name, *text;
	const void *value;
	size_t value_bytes;
	const struct mdc_attr *set; /* mode, uid, gid, size, atime_ns, mtime_ns */
	mdc_done done;
	void *user;
};

/*
 * Starts a request; done is called exactly once while dispatching, never from within mdc_submit.
 * -EINVAL, -ENAMETOOLONG, -ENOMEM: not started. *ret_id (may be NULL) names it for mdc_cancel. A
 * setattr of the size and a getattr see what this client has written and not committed yet.
 */
int mdc_submit(struct mdc *, const struct mdc_request *, uint64_t *ret_id);
/* The request is answered with -EINTR now; whether it was or will be executed stays open. Unknown
 * ids are ignored. */
void mdc_cancel(struct mdc *, uint64_t id);

/* ---- the same, waiting ---- */

/* Registers a test of this thread: a wait that it answers with true is given up with -EINTR. poll
 * is asked when mdc_interrupt was called. */
void mdc_set_interrupt(bool (*poll)(void *user), void *user);
/* Makes every waiting thread of the session ask its test. */
void mdc_interrupt(struct mdc *);

int mdc_lookup(struct mdc *, const struct mdc_cred *, uint64_t parent, const char *name,
	       struct mdc_attr *ret);
int mdc_getattr(struct mdc *, uint64_t ino, struct mdc_attr *ret);
int mdc_setattr(struct mdc *, const struct mdc_cred *, uint64_t ino, uint32_t valid,
		const struct mdc_attr *set, struct mdc_attr *ret);
int mdc_mknod(struct mdc *, const struct mdc_cred *, uint64_t parent, const char *name,
	      uint32_t mode, uint64_t rdev, struct mdc_attr *ret);
int mdc_mkdir(struct mdc *, const struct mdc_cred *, uint64_t parent, const char *name,
	      uint32_t mode, struct mdc_attr *ret);
int mdc_symlink(struct mdc *, const struct mdc_cred *, uint64_t parent, const char *name,
		const char *target, struct mdc_attr *ret);
/* target is cut to size - 1 bytes; returns its length. */
ssize_t mdc_readlink(struct mdc *, const struct mdc_cred *, uint64_t ino, char *target,
		     size_t size);
int mdc_link(struct mdc *, const struct mdc_cred *, uint64_t ino, uint64_t parent, const char *name,
	     struct mdc_attr *ret);
int mdc_unlink(struct mdc *, const struct mdc_cred *, uint64_t parent, const char *name);
int mdc_rmdir(struct mdc *, const struct mdc_cred *, uint64_t parent, const char *name);
int mdc_rename(struct mdc *, const struct mdc_cred *, uint64_t old_parent, const char *old_name,
	       uint64_t new_parent, const char *new_name, uint32_t flags);
/*
 * Entries after cookie (0: from the start), without . and .., about max_bytes of reply. fill is
 * called for each; false stops (that entry was not taken). *ret_eof: nothing follows. *ret_parent:
 * the directory's own parent. Both may be NULL.
 */
int mdc_readdir(struct mdc *, const struct mdc_cred *, uint64_t ino, uint64_t cookie,
		uint32_t max_bytes, bool (*fill)(void *user, const struct mdc_dirent *), void *user,
		bool *ret_eof, uint64_t *ret_parent);
int mdc_statfs(struct mdc *, struct mdc_statfs *ret);
/* As getxattr(2) and listxattr(2): size 0 asks for the length; -ERANGE: too small. */
ssize_t mdc_xattr_get(struct mdc *, const struct mdc_cred *, uint64_t ino, const char *name,
		      void *value, size_t size);
int mdc_xattr_set(struct mdc *, const struct mdc_cred *, uint64_t ino, const char *name,
		  const void *value, size_t bytes, uint32_t flags);
ssize_t mdc_xattr_list(struct mdc *, const struct mdc_cred *, uint64_t ino, char *names,
		       size_t size);
int mdc_xattr_remove(struct mdc *, const struct mdc_cred *, uint64_t ino, const char *name);
int mdc_access(struct mdc *, const struct mdc_cred *, uint64_t ino, uint32_t mask);
int mdc_noop(struct mdc *);

/* ---- files ---- */

/*
 * Opening for MDC_O_READ, MDC_O_WRITE or both; the controller checks access. Layouts, what was
 * written and not committed and the pending size are kept per inode: all opens of a session see the
 * same file. What is no regular file has none: -EISDIR, or -ENXIO.
 */
int mdc_file_open(struct mdc *, const struct mdc_cred *, uint64_t ino, uint32_t flags,
		  struct mdc_file **ret, struct mdc_attr *ret_attr);
/* Makes (unless it exists and flags has no MDC_O_EXCL) and opens. ret_attr and ret_created may be
 * NULL. */
int mdc_file_create(struct mdc *, const struct mdc_cred *, uint64_t parent, const char *name,
		    uint32_t mode, uint32_t flags, struct mdc_file **ret, struct mdc_attr *ret_attr,
		    bool *ret_created);
/* A file whose open (MDC_CREATE, MDC_OPEN by mdc_submit) was counted already; attr is what that
 * gave. Waits for nothing. */
int mdc_file_adopt(struct mdc *, const struct mdc_cred *, const struct mdc_attr *attr,
		   uint32_t flags, struct mdc_file **ret);
/* Commits what is dirty, trims preallocation with the last open of the inode, gives back the open.
 * The error of a late write, once. */
int mdc_file_close(struct mdc_file *);
/*
 * The same without waiting for a clean file (what is dirty is committed first): done may be NULL.
 * The handle is gone at once.
 */
void mdc_file_close_start(struct mdc_file *, mdc_done done, void *user);

uint64_t mdc_file_ino(const struct mdc_file *);
/* As this client saw it last, pending writes included. What another client has made of it since is
 * seen by the next read, write or mdc_getattr. */
uint64_t mdc_file_size(struct mdc_file *);

enum {
	MDC_WRITE_APPEND = 1,	/* at the end of the file; offset is ignored */
	MDC_WRITE_KILLPRIV = 2, /* clear the set-id bits with the commit */
	MDC_WRITE_DSYNC = 4,	/* as if followed by mdc_file_fsync */
};

/* Bytes read or written, or a negative errno. Reads past the end are short. A buffer, length and
 * offset of 4096 travel without a copy. */
ssize_t mdc_file_read(struct mdc_file *, void *buffer, size_t bytes, uint64_t offset);
ssize_t mdc_file_write(struct mdc_file *, const void *buffer, size_t bytes, uint64_t offset,
		       uint32_t flags);

typedef void (*mdc_io_done)(void *user, ssize_t result);
/* The buffer is the library's until done. Writes to the same bytes in flight at once end in either
 * order. */
int mdc_file_read_start(struct mdc_file *, void *buffer, size_t bytes, uint64_t offset,
			mdc_io_done done, void *user);
int mdc_file_write_start(struct mdc_file *, const void *buffer, size_t bytes, uint64_t offset,
			 uint32_t flags, mdc_io_done done, void *user);
/* Writes complete, LUNs flushed, layout committed and durable on both controllers. */
int mdc_file_fsync(struct mdc_file *);
int mdc_file_fsync_start(struct mdc_file *, mdc_io_done done, void *user);
/* Every file that is dirty when it is called, as by mdc_file_fsync; the first error, or why the
 * session is over. */
int mdc_sync(struct mdc *);
int mdc_file_truncate(struct mdc_file *, const struct mdc_cred *, uint64_t size);
/* fallocate(2): mode 0, FALLOC_FL_KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE]. */
int mdc_file_allocate(struct mdc_file *, const struct mdc_cred *, uint32_t mode, uint64_t offset,
		      uint64_t bytes);
/* SEEK_DATA or SEEK_HOLE: the offset, or -ENXIO. */
int64_t mdc_file_seek(struct mdc_file *, uint64_t offset, int whence);

#ifdef __cplusplus
}
#endif
