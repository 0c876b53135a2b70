/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ha/io/super.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX = 4096 };

struct super {
	int fd;
	struct pr_stream in;
	uint8_t buf[PR_FRAME_BYTES + 4 * MESSAGE_MAX];
};

int super_new(int fd, struct super **ret)
{
	struct super *s = calloc(1, sizeof(*s));
	int flags = fcntl(fd, F_GETFL), error = -errno;

	if (!s || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		if (flags >= 0)
			close(fd);
		free(s);
		return s ? error : -ENOMEM;
	}
	s->fd = fd;
	pr_stream_init(&s->in, s->buf, sizeof(s->buf), MESSAGE_MAX);
	*ret = s;
	return 0;
}

void super_free(struct super *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
}

int super_fd(const struct super *s)
{
	return s->fd;
}

int super_read(struct super *s)
{
	size_t room;
	uint8_t *to = pr_stream_room(&s->in, &room);
	ssize_t n = recv(s->fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPIPE;
	pr_stream_added(&s->in, (size_t)n);
	return s->in.broken ? -EBADMSG : 0;
}

bool super_next(struct super *s, struct pr_frame *ret, const uint8_t **ret_payload)
{
	return pr_stream_next(&s->in, ret, ret_payload) == 1;
}

static int put_on_wire(struct super *s, uint16_t type, struct pr_buf *b, size_t at)
{
	struct pr_frame f = {.type = type};

	if (pr_frame_end(b, at, &f) < 0)
		return -EMSGSIZE;
	return send(s->fd, b->p, b->len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)b->len ? 0
											 : -EPIPE;
}

#define SENDER(name, NAME)                                                  \
	int super_##name(struct super *s, const struct pr_##name *m)        \
	{                                                                   \
		uint8_t room[PR_FRAME_BYTES + MESSAGE_MAX];                 \
		struct pr_buf b = pr_buf_on(room, sizeof(room));            \
		size_t at = pr_frame_begin(&b);                             \
		int error = pr_##name##_encode(&b, m);                      \
                                                                            \
		return error ? error : put_on_wire(s, PR_T_##NAME, &b, at); \
	}

SENDER(fact_peer, FACT_PEER)
SENDER(fact_fence, FACT_FENCE)
SENDER(order_promote, ORDER_PROMOTE)
SENDER(order_demote, ORDER_DEMOTE)
SENDER(order_result, ORDER_RESULT)
SENDER(ask_fence, ASK_FENCE)
SENDER(set_score, SET_SCORE)
SENDER(ask_move, ASK_MOVE)
SENDER(pulse, PULSE)
