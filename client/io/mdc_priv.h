/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's inside: a loop drives sessions, a session drives the client core over its
 * connections and the data path over the LUNs. Everything below is guarded by the loop's lock
 * unless a comment says otherwise.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "client/core/cl.h"
#include "client/mdcpair.h"
#include "proto/assert.h"

struct mdc_waiter {
	atomic_int state; /* a futex; see mdc_loop.c */
	struct mdc *mdc;
	struct mdc_waiter *next, **prev;
};

struct mdc_loop {
	pthread_mutex_t lock; /* recursive: callbacks submit */
	int epoll_fd, timer_fd, wake_fd;
	uint64_t now_ms, armed_ms;
	struct mdc *sessions, *dirty; /* dirty: to be pumped */
	struct mdc *graves;	      /* closed; freed once no event can name them any more */
	struct mdc_waiter *waiters;
	struct mdc_later *later, **later_end; /* to be called back by the next round */
	uint64_t completed;
	pthread_t thread;
	bool threaded, stop;
	bool leader;   /* somebody is in mdc_dispatch */
	bool in_round; /* and has the lock: in a callback, or about to call one */
	struct mdc_pending *free_pending;
	struct mdc_data *data; /* the data path's part: executor, buffers */
};

struct mdc_address {
	char text[256];		   /* as given, without a port */
	uint16_t port;		   /* access; 0: the default */
	bool numeric;		   /* never to be looked up */
	bool resolved, answered;   /* answered: the last connection stood */
	int unresolved, error;	   /* why not, of getaddrinfo(3); why no connection, -errno */
	struct mdc_lookup *lookup; /* under way, or NULL */
	uint64_t ask_ms;	   /* no lookup before */
	socklen_t length;
	struct sockaddr_storage socket;
};

struct mdc_conn {
	struct mdc *mdc;
	struct mdc_address *address;
	uint64_t id; /* of the core; 0: closed */
	int fd;
	int port;
	bool connecting, watching; /* watching: epoll tells when it is writable */
	struct pr_stream in;
	struct pr_buf out;
	size_t out_sent;
};

struct mdc {
	struct mdc_loop *loop;
	struct cl *cl;
	struct mdc *next, **prev;
	struct mdc *next_dirty;
	bool is_dirty, own_loop;
	uint64_t wake_ms;
	struct mdc_conn conns[CL_LINKS];
	struct mdc_address address[CL_PEERS];
	uint16_t port[CL_PORTS];
	uint32_t flags;
	void (*event)(void *user, const struct mdc_event *);
	void *user;

	void (*open_done)(void *user, int error);
	void *open_user;
	bool ready, closed, evicted, closing, stepping;
	struct {
		uint64_t conn;
		int error;
	} lost[CL_LINKS]; /* connections that failed at once */
	uint32_t lost_count;
	uint32_t laters;   /* completions that were not called back yet */
	uint64_t *cancels; /* asked for while stepping */
	uint32_t cancel_count, cancel_cap;
	int failed; /* the session never stood, or stands no more */
	char why[600], volume[64], active[256];
	uint64_t session, root, open_limit_ms;
	uint32_t key;
	struct mdc_stats stats;
	struct mdc_files *files; /* the data path's part: LUNs, inodes */
	char *luns;
};

/* One request on its way; from the loop's pool. */
struct mdc_pending {
	struct mdc *mdc;
	uint64_t id;
	enum mdc_op op;
	uint32_t flags; /* as asked; valid of a setattr */
	mdc_done done;
	void *user;
	/* the data path's raw requests */
	void (*raw)(struct mdc_pending *, int error, const uint8_t *p, uint32_t len);
	void *object;
	uint64_t number;
	struct mdc_pending *next;
};

/* mdc_loop.c */
uint64_t mdc_now_ms(void); /* CLOCK_BOOTTIME */
int64_t mdc_real_ns(void);
void mdc_lock(struct mdc_loop *);
void mdc_unlock(struct mdc_loop *);
void mdc_loop_kick(struct mdc_loop *); /* the dispatcher looks up from its sleep */
void mdc_loop_wake_at(struct mdc_loop *, uint64_t at_ms);
/* Waits for mdc_waiter_done, dispatching if nobody else does. False: the thread's interrupt test
 * said so. Without the lock. */
bool mdc_wait(struct mdc_loop *, struct mdc_waiter *);
void mdc_waiter_add(struct mdc *, struct mdc_waiter *);
void mdc_waiter_remove(struct mdc_waiter *); /* given up, not done */
void mdc_waiter_done(struct mdc_waiter *);   /* removes it too; it may be gone after */
bool mdc_waiter_is_done(struct mdc_waiter *);
struct mdc_pending *mdc_pending_new(struct mdc *);
void mdc_pending_free(struct mdc *, struct mdc_pending *);

/* mdc_later.c */
/* A completion that may be known while it is started. NULL: no memory. */
struct mdc_later *mdc_later_new(struct mdc *, mdc_io_done, void *user);
void mdc_later_done(void *later, ssize_t result); /* the next round calls back, and frees it */
void mdc_later_run(struct mdc_loop *);

/* mdc_error.c: sets the thread's text, returns error. */
int mdc_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* mdc_conn.c */
int mdc_conn_open(struct mdc *, uint64_t conn, int peer,
		  int port); /* 0, or the error that CONN_DOWN is told */
void mdc_conn_close(struct mdc_conn *);
void mdc_conn_send(struct mdc_conn *, const uint8_t *p, uint32_t len);
void mdc_conn_ready(struct mdc_conn *, uint32_t epoll_events);

/* mdc_address.c */
/* 0; -EINVAL. A name's lookup is started, and not waited for. */
int mdc_address_parse(struct mdc_address *, const char *text, size_t len);
/* To be called before each connection. False: the address is not known yet. A name that cannot be
 * resolved, or whose address no connection comes about with, is asked for again every few seconds;
 * until there is an answer, the address that was known stays. */
bool mdc_address_look(struct mdc_address *);
void mdc_address_forget(struct mdc_address *); /* does not wait for a lookup under way */
/* What came of it last: "mdc1: Connection refused". */
void mdc_address_say(const struct mdc_address *, char *text, size_t size);

/* mdc_session.c */
void mdc_step(struct mdc *, struct cl_event *); /* one event, its effects done */
void mdc_touch(struct mdc *);			/* to be pumped at the end of the round */
void mdc_pump(struct mdc *);
void mdc_tell(struct mdc *, const struct mdc_event *);
void mdc_bury(struct mdc *);
void mdc_open_expired(struct mdc *);

/* mdc_request.c */
void mdc_request_done(struct mdc *, const struct cl_effect *);
void mdc_attr_from(struct mdc_attr *ret, const struct pr_attr *);
/* A request of the library itself: encoded by the caller into cl_prepare's buffer. done gets the
 * reply. NULL: no memory. */
struct mdc_pending *mdc_raw_submit(struct mdc *, uint16_t type,
				   void (*raw)(struct mdc_pending *, int error, const uint8_t *p,
					       uint32_t len),
				   void *object);
