/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/admin_client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qb/qbipcc.h>

#include "controller/io/admin.h"

struct answer {
	char *text;
	size_t len;
	int error;
};

static int read_name(const char *dir, char name[64])
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/admin", dir);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (!fgets(name, 64, f))
		name[0] = '\0';
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
	return name[0] ? 0 : -ENOENT;
}

static int send_command(qb_ipcc_connection_t *c, const char *command)
{
	struct qb_ipc_request_header h = {.id = ADMIN_REQUEST};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(size_t)command, strlen(command) + 1}};
	ssize_t n;

	h.size = (int32_t)(iov[0].iov_len + iov[1].iov_len);
	n = qb_ipcc_sendv(c, iov, 2);
	return n < 0 ? (int)n : 0;
}

static int add_piece(struct answer *a, const void *p, size_t len)
{
	char *text = realloc(a->text, a->len + len + 1);

	if (!text)
		return -ENOMEM;
	memcpy(text + a->len, p, len);
	a->text = text;
	a->len += len;
	text[a->len] = '\0';
	return 0;
}

static int receive(qb_ipcc_connection_t *c, int wait_ms, struct answer *a)
{
	static _Alignas(8) char room[ADMIN_MESSAGE_BYTES];
	const struct qb_ipc_response_header *h = (const void *)room;
	ssize_t n;
	int error;

	do {
		n = qb_ipcc_recv(c, room, sizeof(room), wait_ms);
		if (n == -EAGAIN)
			return -ETIMEDOUT;
		if (n < 0)
			return (int)n;
		if ((size_t)n < sizeof(*h) || h->size != n)
			return -EBADMSG;
		error = add_piece(a, room + sizeof(*h), (size_t)n - sizeof(*h));
		if (error < 0)
			return error;
	} while (h->id == ADMIN_PIECE);
	a->error = h->error;
	return 0;
}

/* A controller that is stopped takes the connection and never answers: so wait with a limit. */
static qb_ipcc_connection_t *connect_to(const char *name, int wait_ms, int *ret_error)
{
	struct pollfd p = {.events = POLLIN};
	qb_ipcc_connection_t *c;
	int rc;

	errno = 0;
	c = qb_ipcc_connect_async(name, ADMIN_MESSAGE_BYTES, &p.fd);
	if (!c) {
		*ret_error = errno ? -errno : -ECONNREFUSED;
		return NULL;
	}
	if (poll(&p, 1, wait_ms) <= 0) {
		close(p.fd); /* the rest of it libqb gives no way to free */
		*ret_error = -ETIMEDOUT;
		return NULL;
	}
	rc = qb_ipcc_connect_continue(c);
	*ret_error = rc < 0 ? rc : 0;
	return rc < 0 ? NULL : c;
}

int admin_ask(const char *dir, const char *command, int wait_ms, char **ret_json, int *ret_error)
{
	struct answer a = {0};
	qb_ipcc_connection_t *c;
	char name[64];
	int error = read_name(dir, name);

	if (error < 0)
		return error;
	c = connect_to(name, wait_ms, &error);
	if (!c)
		return error;
	error = send_command(c, command);
	if (!error)
		error = receive(c, wait_ms, &a);
	qb_ipcc_disconnect(c);
	if (error < 0) {
		free(a.text);
		return error;
	}
	*ret_json = a.text;
	*ret_error = a.error;
	return 0;
}
