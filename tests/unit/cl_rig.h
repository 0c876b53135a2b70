/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client core by script: the test is the network and both controllers. */
#pragma once
#include "client/core/cl.h"

enum { A, B }; /* the controllers */
enum { ACCESS, COORD };
enum { NET_SENT_MAX = 256, NET_DONE_MAX = 64 };

struct net_sent {
	int link;
	struct pr_frame f;
	uint8_t p[128 << 10]; /* a bind may tell of thousands of inodes */
};

struct net {
	struct cl *cl;
	uint64_t now;
	uint64_t conn[CL_LINKS];
	bool refuse[CL_LINKS];
	struct net_sent sent[NET_SENT_MAX];
	int sents, seen;
	uint64_t ask; /* sequence of the last open or bind */
	struct {
		uint64_t tag;
		int error;
		uint16_t message;
	} done[NET_DONE_MAX];
	int dones;
	int ready, failed, evicted, warnings, recalls, serving, outages, drops, closed;
	uint64_t recall_generation;
	int recall_after_done; /* dones at the time of the last recall */
	uint32_t lost;
	char text[256];
};

/* The link to a port of a controller. */
static inline int at(int peer, int port)
{
	return peer * CL_PORTS + port;
}

struct net *net_new(void);
/* A serves in epoch 5, B stands by; all four links are up. */
struct net *net_serving(void);
void net_free(struct net *r);

void net_step(struct net *r, struct cl_event ev);
void net_pump(struct net *r);
/* Time goes by; links that want to be connected and are refused fail at once. */
void net_pass(struct net *r, uint64_t ms);

/* Links. */
void net_up(struct net *r, int link);
void net_down(struct net *r, int link, int error);
/* Up, and greeted. */
void net_connect(struct net *r, int link, uint8_t role, uint64_t epoch);
void net_kill_peer(struct net *r, int peer);

/* What was sent: the next frame that was not looked at, of this type; pings do not count. */
struct net_sent *net_want(struct net *r, int link, uint16_t type);
bool net_quiet(struct net *r);
void net_look_away(struct net *r);

/* What the client asks for; the id to cancel it by. */
uint64_t ask_getattr(struct net *r, uint64_t ino, uint64_t tag);
uint64_t ask_create(struct net *r, const char *name, uint64_t tag);
void ask_layout(struct net *r, uint64_t ino, uint8_t mode, uint64_t tag);
void ask_return(struct net *r, uint64_t ino, uint64_t generation, uint64_t tag);

/* What the controllers say. */
void net_say(struct net *r, int link, struct pr_frame *f, const void *p, size_t len);
#define SAY(r, link, frame, what, ...)                                \
	do {                                                          \
		struct pr_##what message_ = {__VA_ARGS__};            \
		uint8_t bytes_[4096];                                 \
		struct pr_buf b_ = pr_buf_on(bytes_, sizeof(bytes_)); \
		struct pr_frame f_ = frame;                           \
		cr_assert_eq(pr_##what##_encode(&b_, &message_), 0);  \
		net_say(r, link, &f_, bytes_, b_.len);                \
	} while (0)
#define FRAME(...) ((struct pr_frame){__VA_ARGS__})
extern uint32_t net_lease_ms; /* as their hello tells it */
void net_hello(struct net *r, int link, uint8_t role, uint64_t epoch);
void net_notice(struct net *r, int link, uint8_t role, uint64_t epoch);
void net_open_reply(struct net *r, int link, uint64_t epoch);
void net_bind_reply(struct net *r, int link, uint64_t epoch);
struct pr_frame net_reply_to(const struct net_sent *s, uint64_t epoch);
void net_getattr_reply(struct net *r, int link, const struct net_sent *s, uint64_t epoch);
void net_create_reply(struct net *r, int link, const struct net_sent *s, uint64_t epoch,
		      uint64_t ino);
void net_error_reply(struct net *r, int link, const struct net_sent *s, uint64_t epoch,
		     uint32_t status);
