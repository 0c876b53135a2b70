/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client without memory for a message sends it later, and says nothing meanwhile that would be true only behind it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include "tests/unit/cl_rig.h"

/* The linker puts this in the place of the C library's (--wrap). */
void *__real_realloc(void *, size_t bytes);
void *__wrap_realloc(void *, size_t bytes);

static size_t most = SIZE_MAX; /* who asks for more gets nothing */

void *__wrap_realloc(void *p, size_t bytes)
{
	return bytes > most ? NULL : __real_realloc(p, bytes);
}

static uint64_t last_ping(const struct net *r, int link, int from)
{
	for (int i = r->sents; i-- > from;)
		if (r->sent[i].link == link && r->sent[i].f.type == PR_T_PING)
			return r->sent[i].f.sequence;
	cr_assert(false, "no ping");
	return 0;
}

enum { LONG = 5000 }; /* more than a buffer has from the start */

static void ask_xattr_set(struct net *r, uint64_t tag)
{
	static uint8_t value[LONG];
	struct pr_xattr_set q = {
		.ino = 5, .name = pr_bytes_str("user.x"), .value = {value, sizeof(value)}};
	struct pr_buf *b = cl_prepare(r->cl, pr_xattr_set_size(&q));

	cr_assert_eq(pr_xattr_set_encode(b, &q), 0);
	cl_submit(r->cl, PR_T_XATTR_SET, tag);
	net_pump(r);
}

/* The controller takes a ping that names the bind as: all that is unanswered has come again. */
Test(cl_memory, a_bind_is_not_named_before_what_got_no_memory_was_sent_again)
{
	struct net *r = net_serving();
	uint64_t bind;
	int from;

	ask_xattr_set(r, 100);
	ask_create(r, "x", 101);
	net_want(r, at(A, ACCESS), PR_T_XATTR_SET);
	net_want(r, at(A, ACCESS), PR_T_CREATE);
	net_notice(r, at(B, ACCESS), PR_ROLE_ACTIVE, 6);
	bind = net_want(r, at(B, ACCESS), PR_T_SESSION_BIND)->f.sequence;
	cr_assert_neq(bind, 0);
	from = r->sents;
	most = LONG;
	net_bind_reply(r, at(B, ACCESS), 6);
	net_want(r, at(B, ACCESS), PR_T_CREATE);
	cr_assert(net_quiet(r), "there is memory for the long one");
	cr_assert_eq(last_ping(r, at(B, ACCESS), from), 0);
	from = r->sents;
	net_pass(r, 600);
	cr_assert(net_quiet(r), "there is memory for the long one");
	cr_assert_eq(last_ping(r, at(B, ACCESS), from), 0);

	most = SIZE_MAX;
	net_pass(r, 600);
	net_want(r, at(B, ACCESS), PR_T_XATTR_SET);
	net_pass(r, 600);
	cr_assert_eq(last_ping(r, at(B, ACCESS), from), bind);
	net_free(r);
}
