/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two things the kernel offers and libfuse up to 3.16 never accepts, though one of them has a
 * capability bit there. Lookups and listings of one directory at the same time; and the promise that
 * set-id bits and file capabilities are cleared by who serves the file system. Without that promise
 * the kernel asks for security.capability before every write, and clears the bits by a chmod in the
 * name of the writer, whom the controllers must refuse.
 *
 * So the answer to INIT, the first thing ever written, gets these flags on its way out.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/mdcfs.h"

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 13)

#ifndef FUSE_HANDLE_KILLPRIV_V2
#define FUSE_HANDLE_KILLPRIV_V2 (1 << 28)
#endif

static atomic_bool init_answered;

static void patch(struct iovec *iov, int count)
{
	struct fuse_out_header *header = iov[0].iov_base;
	struct fuse_init_out *init = count > 1 ? iov[1].iov_base : NULL;

	if (!init || iov[0].iov_len != sizeof(*header) || header->error || iov[1].iov_len < 16)
		return;
	init->flags |= FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_HANDLE_KILLPRIV_V2;
}

static ssize_t write_out(int fd, struct iovec *iov, int count, void *user)
{
	if (!init_answered && !atomic_exchange(&init_answered, true))
		patch(iov, count);
	return writev(fd, iov, count);
}

static ssize_t read_in(int fd, void *buffer, size_t bytes, void *user)
{
	return read(fd, buffer, bytes);
}

static ssize_t splice_in(int in, off_t *in_offset, int out, off_t *out_offset, size_t bytes,
			 unsigned flags, void *user)
{
	return splice(in, in_offset, out, out_offset, bytes, flags);
}

int mf_init_hook(struct fuse_session *session)
{
	static const struct fuse_custom_io io = {
		.writev = write_out,
		.read = read_in,
		.splice_receive = splice_in,
	};

	/* The descriptor is that of the mount, once there is one. */
	return fuse_session_custom_io(session, &io, STDIN_FILENO);
}

#else

int mf_init_hook(struct fuse_session *session)
{
	return 0;
}

#endif
