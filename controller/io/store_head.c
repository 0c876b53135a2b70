/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "controller/io/store_head.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* LMDB's two first pages, as versions 0.9.x lay them out: a page header, and behind it what the file is. */
enum {
	HEADER_BYTES = 16,
	MAGIC_AT = HEADER_BYTES,
	PAGE_BYTES_AT = HEADER_BYTES + 24,
	HEAD_BYTES = PAGE_BYTES_AT + 4,
	MAGIC = 0xbeefc0de,
	PAGE_MIN = 256,
	PAGE_MAX = 65536,
};

static uint32_t number_at(const uint8_t *p, size_t at)
{
	uint32_t n;

	memcpy(&n, p + at, sizeof(n));
	return n;
}

static int check_fd(int fd)
{
	uint8_t head[HEAD_BYTES];
	struct stat st;
	uint32_t page;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return errno;
	if (st.st_size == 0)
		return 0;
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return errno;
	if (n < (ssize_t)sizeof(head) || number_at(head, MAGIC_AT) != MAGIC)
		return MDB_INVALID;
	page = number_at(head, PAGE_BYTES_AT);
	if (page < PAGE_MIN || page > PAGE_MAX || (page & (page - 1)))
		return MDB_CORRUPTED;
	n = pread(fd, head, sizeof(head), page);
	if (n < 0)
		return errno;
	if (n < (ssize_t)sizeof(head) || number_at(head, MAGIC_AT) != MAGIC ||
	    number_at(head, PAGE_BYTES_AT) != page)
		return MDB_CORRUPTED;
	return 0;
}

int store_head_check(const char *dir)
{
	char path[4200];
	int fd, rc;

	snprintf(path, sizeof(path), "%.4096s/data.mdb", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	rc = check_fd(fd);
	close(fd);
	return rc;
}
