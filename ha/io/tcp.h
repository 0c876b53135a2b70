/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both the heartbeat link and the client ports need of TCP: listening sockets whose failure says
 * who has the port, addresses as text. Numeric addresses only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { TCP_NAME_MAX = 80 };

/* A listening socket (non-blocking, close-on-exec), or -errno and a sentence in why with the next step. */
int tcp_listen(const char *address, uint16_t port, char *why, size_t why_size);
/* A connection begun from one address to another, or -errno; writable once it stands, see SO_ERROR. */
int tcp_connect_start(const char *from, const char *to, uint16_t port);
/* A descriptor to be kept for tcp_accept(), or -1. */
int tcp_spare(void);
/*
 * A connection that waits there (non-blocking, close-on-exec), or -errno. With no descriptor left it is closed, by means of the
 * spare one, with -EMFILE or -ENFILE: a socket that nobody takes from would be ready for ever.
 */
int tcp_accept(int listen_fd, int *spare);
/* No delay; dead after dead_ms without an acknowledgement (0: the kernel's own patience). */
void tcp_tune(int fd, uint32_t dead_ms);
/* "127.0.0.1:40000" of the other side. */
void tcp_peer_name(int fd, char out[TCP_NAME_MAX]);
/* The other side has this address. */
bool tcp_peer_is(int fd, const char *address);
/* "PID 17 (sshd)" of whoever has the port, or "somebody ..." when it cannot be seen. */
void tcp_port_holder(const char *address, uint16_t port, char *out, size_t size);
