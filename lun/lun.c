/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* Opening a LUN, its label, its raw blocks. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lun/lun.h"
#include "lun/lun_iscsi.h"
#include "lun/lun_priv.h"
#include "proto/cursor.h"

enum { LOOP_MAJOR = 7, LOOK_BYTES = 72 << 10, BUFFER_BYTES = 128 << 10 };

static int open_as_it_can(const char *path, int flags, bool *ret_direct)
{
	int fd = open(path, flags | O_DIRECT);

	*ret_direct = fd >= 0;
	if (fd < 0 && errno == EINVAL)
		fd = open(path, flags);
	return fd < 0 ? -errno : fd;
}

static struct lun *lun_new(const char *path, enum lun_kind kind)
{
	struct lun *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->fd = -1;
	l->kind = kind;
	l->path = strdup(path);
	if (l->path && posix_memalign((void **)&l->buffer, LUN_BLOCK_BYTES, BUFFER_BYTES) == 0)
		return l;
	lun_close(l);
	return NULL;
}

static int open_url(const char *url, struct lun **ret, char *why, size_t size)
{
	struct lun *l;
	int r;

	if (strncmp(url, "iscsi://", 8) != 0) {
		snprintf(why, size, "%s: of URLs only iscsi:// is understood", url);
		return -EPROTONOSUPPORT;
	}
	l = lun_new(url, LUN_ISCSI);
	if (!l)
		return -ENOMEM;
	r = lun_iscsi_open(url, &l->iscsi, why, size);
	if (r < 0) {
		lun_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

int lun_open(const char *path, unsigned flags, struct lun **ret, char *why, size_t size)
{
	int mode = (flags & LUN_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;
	struct lun *l;
	int r;

	if (strstr(path, "://"))
		return open_url(path, ret, why, size);
	if (stat(path, &st) < 0) {
		r = -errno;
		snprintf(why, size, "%s: %s", path, strerror(-r));
		return r;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		snprintf(why, size, "%s: a LUN is a file or a block device, this is neither", path);
		return -ENOTBLK;
	}
	l = lun_new(path, S_ISREG(st.st_mode)		    ? LUN_FILE
			  : major(st.st_rdev) == LOOP_MAJOR ? LUN_LOOP
							    : LUN_BLOCK);
	if (!l)
		return -ENOMEM;
	l->fd = open_as_it_can(path, mode, &l->direct);
	if (l->fd < 0) {
		r = l->fd;
		snprintf(why, size, "%s: %s", path, strerror(-r));
		lun_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void lun_close(struct lun *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	lun_iscsi_close(l->iscsi);
	free(l->buffer);
	free(l->path);
	free(l);
}

int lun_fd(const struct lun *l)
{
	return l->fd;
}

bool lun_direct(const struct lun *l)
{
	return l->direct;
}

enum lun_kind lun_kind(const struct lun *l)
{
	return l->kind;
}

const char *lun_path(const struct lun *l)
{
	return l->path;
}

int lun_is_there(const struct lun *l, char *why, size_t size)
{
	struct stat open, named;

	if (l->kind != LUN_FILE)
		return 0;
	if (fstat(l->fd, &open) == 0 && stat(l->path, &named) == 0 && open.st_dev == named.st_dev &&
	    open.st_ino == named.st_ino)
		return 0;
	snprintf(
		why, size,
		"%.160s was moved, removed or replaced while it is in use: bring that file back, a copy of it is out of date",
		l->path);
	return -ENODEV;
}

uint64_t lun_blocks(const struct lun *l)
{
	struct stat st;
	uint64_t bytes = 0;

	if (l->iscsi) {
		bytes = lun_iscsi_bytes(l->iscsi);
	} else if (l->kind == LUN_FILE) {
		if (fstat(l->fd, &st) == 0)
			bytes = (uint64_t)st.st_size;
	} else if (ioctl(l->fd, BLKGETSIZE64, &bytes) < 0) {
		bytes = 0;
	}
	return bytes / LUN_BLOCK_BYTES;
}

/* ---- raw blocks ---- */

static int read_all(struct lun *l, uint64_t offset, size_t bytes)
{
	size_t done = 0;

	if (l->iscsi)
		return offset + bytes > lun_iscsi_bytes(l->iscsi)
			       ? -ENODATA
			       : lun_iscsi_read(l->iscsi, offset, l->buffer, bytes);
	while (done < bytes) {
		ssize_t n = pread(l->fd, l->buffer + done, bytes - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

int lun_block_read(struct lun *l, uint64_t block, uint8_t out[LUN_BLOCK_BYTES])
{
	int r = read_all(l, block * LUN_BLOCK_BYTES, LUN_BLOCK_BYTES);

	if (r == 0)
		memcpy(out, l->buffer, LUN_BLOCK_BYTES);
	return r;
}

/* The block in l->buffer, durably. */
static int write_buffer(struct lun *l, uint64_t offset)
{
	struct iovec v = {.iov_base = l->buffer, .iov_len = LUN_BLOCK_BYTES};
	ssize_t n;

	if (l->iscsi)
		return lun_iscsi_write(l->iscsi, offset, l->buffer, LUN_BLOCK_BYTES);
	n = pwritev2(l->fd, &v, 1, (off_t)offset, RWF_DSYNC);
	return n < 0 ? -errno : n != LUN_BLOCK_BYTES ? -EIO : 0;
}

int lun_block_write(struct lun *l, uint64_t block, const uint8_t in[LUN_BLOCK_BYTES])
{
	int r;

	memcpy(l->buffer, in, LUN_BLOCK_BYTES);
	r = write_buffer(l, block * LUN_BLOCK_BYTES);
	if (r < 0)
		return r;
	r = read_all(l, block * LUN_BLOCK_BYTES, LUN_BLOCK_BYTES);
	if (r < 0)
		return r;
	return memcmp(l->buffer, in, LUN_BLOCK_BYTES) == 0 ? 0 : -EIO;
}

/* ---- what stands on it ---- */

struct magic {
	uint32_t at;
	uint8_t length;
	char bytes[9];
	const char *what;
};

static const struct magic magics[] = {
	{0x438, 2, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{0, 4, "XFSB", "an XFS file system"},
	{0x10040, 8, "_BHRfS_M", "a btrfs file system"},
	{0x10000, 4, "\x01\x16\x19\x70", "a GFS2 file system"},
	{0x2000, 6, "OCFSV2", "an OCFS2 file system"},
	{0, 6, "LUKS\xba\xbe", "a LUKS volume"},
	{0x200, 8, "LABELONE", "an LVM physical volume"},
	{0, 8, "LABELONE", "an LVM physical volume"},
	{0x400, 4, "\x10\x20\xf5\xf2", "an F2FS file system"},
	{0, 4, "\xfc\x4e\x2b\xa9", "a member of an md array"},
	{0x1000, 4, "\xfc\x4e\x2b\xa9", "a member of an md array"},
	{0xff6, 8, "SWAPSPAC", "swap space"},
	{0x200, 8, "EFI PART", "a GPT partition table"},
	{0x1000, 8, "EFI PART", "a GPT partition table"},
	{3, 8, "NTFS    ", "an NTFS file system"},
	{3, 8, "EXFAT   ", "an exFAT file system"},
	{0, 4, "hsqs", "a squashfs file system"},
	{0x8001, 5, "CD001", "an ISO 9660 file system"},
	{0, 4, "QFI\xfb", "a qcow2 image"},
	{0x1fe, 2, "\x55\xaa", "a partition table or boot sector"},
};

const char *lun_signature(struct lun *l)
{
	uint64_t bytes = lun_blocks(l) * LUN_BLOCK_BYTES;
	uint32_t have = bytes < LOOK_BYTES ? (uint32_t)bytes : LOOK_BYTES;

	if (have == 0 || read_all(l, 0, have) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		const struct magic *m = &magics[i];

		if (m->at + m->length <= have &&
		    memcmp(l->buffer + m->at, m->bytes, m->length) == 0)
			return m->what;
	}
	return NULL;
}

/* Nothing but zeros at the beginning and at the end, where some keep their labels and the second copy of a partition table. */
static bool is_blank(struct lun *l)
{
	uint64_t bytes = lun_blocks(l) * LUN_BLOCK_BYTES;
	size_t have = bytes < LOOK_BYTES ? (size_t)bytes : LOOK_BYTES;

	for (int end = 0; end < 2; end++) {
		if (read_all(l, end ? bytes - have : 0, have) < 0)
			return false;
		if (have > 0 && (l->buffer[0] || memcmp(l->buffer, l->buffer + 1, have - 1) != 0))
			return false;
	}
	return true;
}

/* ---- the label ---- */

int lun_label_read(struct lun *l, struct lun_label *ret, char *why, size_t size)
{
	uint8_t block[LUN_BLOCK_BYTES];
	const char *text;
	struct lun_label label;
	int r = lun_block_read(l, LUN_LABEL_BLOCK, block);

	if (r == -ENODATA) {
		snprintf(why, size, "%s: no label, it is empty", l->path);
		return r;
	}
	if (r < 0) {
		snprintf(why, size, "%s: reading the label: %s", l->path, strerror(-r));
		return r;
	}
	r = lun_label_decode(&label, block, &text);
	if (r < 0) {
		snprintf(why, size, "%s: %s", l->path, text);
		return r;
	}
	if (lun_blocks(l) < label.blocks) {
		snprintf(why, size, "%s: has %llu blocks, its label says %llu", l->path,
			 (unsigned long long)lun_blocks(l), (unsigned long long)label.blocks);
		return -ENOSPC;
	}
	*ret = label;
	return 0;
}

static int refuse_labelled(struct lun *l, const struct lun_label *old, const char *force, char *why,
			   size_t size)
{
	char lun[PR_UUID_TEXT], cluster[PR_UUID_TEXT];
	struct pr_uuid named;

	if (force && (strcmp(force, old->name) == 0 ||
		      (pr_uuid_parse(force, &named) == 0 && pr_uuid_equal(&named, &old->lun))))
		return 0;
	snprintf(
		why, size,
		"%s: is labelled already: LUN \"%s\" (%s) of cluster %s%s. To overwrite it and lose what it holds: --force %s",
		l->path, old->name, pr_uuid_format(lun, &old->lun),
		pr_uuid_format(cluster, &old->cluster),
		pr_uuid_is_zero(&old->volume) ? "" : ", part of a volume", old->name);
	return -EEXIST;
}

static int refuse_used(struct lun *l, const char *force, char *why, size_t size)
{
	struct lun_label old;
	char text[512];
	const char *what;
	int r = lun_label_read(l, &old, text, sizeof(text));

	if (r == 0)
		return refuse_labelled(l, &old, force, why, size);
	if (r == -EBADMSG || r == -EPROTONOSUPPORT || r == -ENOSPC) {
		what = "an mdcpair label that is damaged, of another version or larger than the LUN";
	} else if (r != -ENODATA) {
		snprintf(why, size, "%s", text);
		return r;
	} else {
		what = lun_signature(l);
		if (!what && !is_blank(l))
			what = "data of a kind that is not known here";
	}
	if (!what || (force && strcmp(force, l->path) == 0))
		return 0;
	snprintf(why, size, "%s: holds %s. To overwrite it and lose what it holds: --force %s",
		 l->path, what, l->path);
	return -ENOTEMPTY;
}

/* A device that is mounted, or part of an array or volume group, cannot be opened exclusively. */
static int refuse_busy(struct lun *l, char *why, size_t size)
{
	char who[128] = "";
	int fd, r;

	if (l->kind == LUN_LOOP || l->kind == LUN_BLOCK) {
		fd = open(l->path, O_RDWR | O_EXCL | O_CLOEXEC);
		if (fd < 0 && errno == EBUSY) {
			snprintf(why, size, "%s: is mounted, or otherwise in use by the kernel",
				 l->path);
			return -EBUSY;
		}
		if (fd >= 0)
			close(fd);
	}
	r = lun_keys_are_free(l);
	if (r == -EBUSY) {
		snprintf(why, size, "%s: a mount has it open: unmount the volume first", l->path);
		return r;
	}
	r = lun_arbiter_lock(l, who, sizeof(who));
	if (r == -EBUSY)
		snprintf(why, size, "%s: a controller is using it%s%s", l->path, who[0] ? ": " : "",
			 who);
	else if (r < 0)
		snprintf(why, size, "%s: locking it: %s", l->path, strerror(-r));
	return r;
}

static int label_put(struct lun *l, const struct lun_label *label, bool blank, char *why,
		     size_t size)
{
	uint8_t block[LUN_BLOCK_BYTES] = {0};
	int r = 0;

	/* The label last: a LUN with a label has sound blocks behind it. */
	for (uint64_t i = LUN_ARBITER_BLOCK; blank && i < LUN_FLOOR_BLOCK + 2 && r == 0; i++)
		r = lun_block_write(l, i, block);
	if (r == 0) {
		lun_label_encode(block, label);
		r = lun_block_write(l, LUN_LABEL_BLOCK, block);
	}
	if (r < 0)
		snprintf(why, size, "%s: writing the label: %s", l->path, strerror(-r));
	return r;
}

int lun_label_write(struct lun *l, struct lun_label *label, const char *force, char *why,
		    size_t size)
{
	uint64_t blocks = lun_blocks(l);
	struct timespec now;
	int r;

	if (!lun_name_ok(label->name)) {
		snprintf(why, size,
			 "\"%s\" is no name for a LUN: letters, digits, '.', '_', '-', at most %d",
			 label->name, LUN_NAME_MAX);
		return -EINVAL;
	}
	if (label->blocks > blocks) {
		snprintf(why, size, "%s: has %llu blocks, fewer than the %llu of the label",
			 l->path, (unsigned long long)blocks, (unsigned long long)label->blocks);
		return -ENOSPC;
	}
	if (blocks < LUN_BLOCKS_MIN) {
		snprintf(why, size, "%s: has %llu KiB, a LUN needs at least %d", l->path,
			 (unsigned long long)blocks * 4, LUN_BLOCKS_MIN * 4);
		return -ENOSPC;
	}
	r = refuse_used(l, force, why, size);
	if (r < 0)
		return r;
	r = refuse_busy(l, why, size);
	if (r < 0)
		return r;
	if (label->blocks == 0)
		label->blocks = blocks;
	if (label->data_block == 0)
		label->data_block = LUN_DATA_BLOCK;
	if (label->labelled_ns == 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		label->labelled_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	}
	r = label_put(l, label, true, why, size);
	lun_arbiter_unlock(l);
	return r;
}

int lun_label_update(struct lun *l, const struct lun_label *label, char *why, size_t size)
{
	struct lun_label old;
	int r = lun_label_read(l, &old, why, size);

	if (r < 0)
		return r;
	if (!pr_uuid_equal(&old.cluster, &label->cluster) ||
	    !pr_uuid_equal(&old.lun, &label->lun)) {
		snprintf(why, size, "%s: another label stands there now: LUN \"%s\"", l->path,
			 old.name);
		return -ESTALE;
	}
	return label_put(l, label, false, why, size);
}
