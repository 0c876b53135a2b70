/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/status.h"

#include <errno.h>

/* Those a file system answers with; strerror() reads locales, which pure code does not. */
#define ERRNO_LIST                                                \
	ERRNO(EPERM, "operation not permitted")                   \
	ERRNO(ENOENT, "no such file or directory")                \
	ERRNO(EINTR, "interrupted system call")                   \
	ERRNO(EIO, "input/output error")                          \
	ERRNO(ENXIO, "no such device or address")                 \
	ERRNO(E2BIG, "argument list too long")                    \
	ERRNO(EBADF, "bad file descriptor")                       \
	ERRNO(EAGAIN, "resource temporarily unavailable")         \
	ERRNO(ENOMEM, "cannot allocate memory")                   \
	ERRNO(EACCES, "permission denied")                        \
	ERRNO(EBUSY, "device or resource busy")                   \
	ERRNO(EEXIST, "file exists")                              \
	ERRNO(EXDEV, "invalid cross-device link")                 \
	ERRNO(ENODEV, "no such device")                           \
	ERRNO(ENOTDIR, "not a directory")                         \
	ERRNO(EISDIR, "is a directory")                           \
	ERRNO(EINVAL, "invalid argument")                         \
	ERRNO(ENFILE, "too many open files in system")            \
	ERRNO(EMFILE, "too many open files")                      \
	ERRNO(ENOTTY, "inappropriate ioctl for device")           \
	ERRNO(ETXTBSY, "text file busy")                          \
	ERRNO(EFBIG, "file too large")                            \
	ERRNO(ENOSPC, "no space left on device")                  \
	ERRNO(EROFS, "read-only file system")                     \
	ERRNO(EMLINK, "too many links")                           \
	ERRNO(ERANGE, "numerical result out of range")            \
	ERRNO(EDEADLK, "resource deadlock avoided")               \
	ERRNO(ENAMETOOLONG, "file name too long")                 \
	ERRNO(ENOLCK, "no locks available")                       \
	ERRNO(ENOSYS, "function not implemented")                 \
	ERRNO(ENOTEMPTY, "directory not empty")                   \
	ERRNO(ELOOP, "too many levels of symbolic links")         \
	ERRNO(ENODATA, "no data available")                       \
	ERRNO(ETIME, "timer expired")                             \
	ERRNO(EPROTO, "protocol error")                           \
	ERRNO(EBADMSG, "bad message")                             \
	ERRNO(EOVERFLOW, "value too large for defined data type") \
	ERRNO(EOPNOTSUPP, "operation not supported")              \
	ERRNO(ENOBUFS, "no buffer space available")               \
	ERRNO(ETIMEDOUT, "connection timed out")                  \
	ERRNO(EALREADY, "operation already in progress")          \
	ERRNO(ESTALE, "stale file handle")                        \
	ERRNO(EREMOTEIO, "remote I/O error")                      \
	ERRNO(EDQUOT, "disk quota exceeded")                      \
	ERRNO(ECANCELED, "operation canceled")

const char *pr_status_name(uint32_t status)
{
	switch (status) {
	case 0:
		return "OK";
#define ERRNO(name, text) \
	case name:        \
		return #name;
		ERRNO_LIST
#undef ERRNO
#define PR_STATUS(number, NAME, text) \
	case number:                  \
		return #NAME;
		PR_STATUS_LIST
#undef PR_STATUS
	}
	return "?";
}

const char *pr_status_text(uint32_t status)
{
	switch (status) {
	case 0:
		return "success";
#define ERRNO(name, text) \
	case name:        \
		return text;
		ERRNO_LIST
#undef ERRNO
#define PR_STATUS(number, NAME, text) \
	case number:                  \
		return text;
		PR_STATUS_LIST
#undef PR_STATUS
	}
	return "unknown status";
}
