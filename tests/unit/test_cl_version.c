/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The library and a controller of another release: the error says so, and what to do. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/mdcpair.h"
#include "proto/pr.h"

static int listener = -1;

static uint16_t listen_somewhere(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(listener, 16), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

/* Whoever comes hears a sound frame of the next version, and nothing else. */
static void *answer_all(void *unused)
{
	static const uint8_t payload[8];
	struct pr_frame f = {
		.version = PR_VERSION + 1, .type = PR_T_HELLO_R, .length = sizeof(payload)};
	uint8_t bytes[PR_FRAME_BYTES], heard[4096];
	int fd;

	pr_frame_encode(bytes, &f, payload);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (recv(fd, heard, sizeof(heard), 0) > 0) {
			send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
			send(fd, payload, sizeof(payload), MSG_NOSIGNAL);
		}
		close(fd);
	}
	return NULL;
}

Test(cl_version, another_release_is_named_as_such)
{
	struct mdc_options options = {.flags = MDC_OPEN_NO_WAIT, .open_ms = 500};
	struct mdc *mdc;
	pthread_t thread;
	char spec[64];

	snprintf(spec, sizeof(spec), "127.0.0.1:%u:/vol1", listen_somewhere());
	cr_assert_eq(pthread_create(&thread, NULL, answer_all, NULL), 0);
	cr_assert_eq(mdc_open_volume(spec, &options, &mdc), -ETIMEDOUT);
	cr_assert(strstr(mdc_error(), "127.0.0.1: speaks another version"), "%s", mdc_error());
	cr_assert(strstr(mdc_error(), "install the same release"), "%s", mdc_error());
}

Test(cl_version, who_does_not_listen_is_named_with_the_reason)
{
	struct mdc_options options = {.flags = MDC_OPEN_NO_WAIT, .open_ms = 300};
	struct mdc *mdc;
	char spec[64];

	snprintf(spec, sizeof(spec), "127.0.0.1:%u:/vol1", listen_somewhere());
	close(listener);
	cr_assert_eq(mdc_open_volume(spec, &options, &mdc), -ETIMEDOUT);
	cr_assert(strstr(mdc_error(), "127.0.0.1: Connection refused"), "%s", mdc_error());
}
