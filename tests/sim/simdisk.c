/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk in memory with crashes and faults. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/assert.h"
#include "tests/sim/simdisk.h"

enum fault { FAULT_NONE, FAULT_LOSE, FAULT_MISDIRECT, FAULT_FAIL };

struct file {
	uint8_t *p;
	uint64_t bytes;
	uint64_t bad_from, bad_to;
};

struct simdisk {
	uint64_t random;
	struct file files[SIMDISK_FILES_MAX];
	struct simdisk_op pending[SIMDISK_PENDING_MAX];
	unsigned pending_count;
	enum fault fault;
	uint32_t fault_file, to_file;
	uint64_t to_offset;
	unsigned fault_after;
	int fault_error;
};

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t simdisk_random(struct simdisk *d, uint64_t below)
{
	return below > 0 ? random_next(&d->random) % below : 0;
}

struct simdisk *simdisk_new(uint64_t seed)
{
	struct simdisk *d = calloc(1, sizeof(*d));

	ASSERT(d);
	d->random = seed;
	return d;
}

static void pending_drop(struct simdisk *d)
{
	for (unsigned i = 0; i < d->pending_count; i++)
		if (d->pending[i].write)
			free(d->pending[i].buffer);
	d->pending_count = 0;
}

void simdisk_free(struct simdisk *d)
{
	if (!d)
		return;
	pending_drop(d);
	for (unsigned i = 0; i < SIMDISK_FILES_MAX; i++)
		free(d->files[i].p);
	free(d);
}

struct simdisk *simdisk_copy(const struct simdisk *from, uint64_t seed)
{
	struct simdisk *d = simdisk_new(seed);

	for (unsigned i = 0; i < SIMDISK_FILES_MAX; i++) {
		if (from->files[i].bytes == 0)
			continue;
		simdisk_file(d, i, from->files[i].bytes);
		memcpy(d->files[i].p, from->files[i].p, from->files[i].bytes);
		d->files[i].bad_from = from->files[i].bad_from;
		d->files[i].bad_to = from->files[i].bad_to;
	}
	return d;
}

void simdisk_file(struct simdisk *d, uint32_t file, uint64_t bytes)
{
	struct file *f = &d->files[file];

	ASSERT(file < SIMDISK_FILES_MAX && bytes >= f->bytes);
	f->p = realloc(f->p, bytes);
	ASSERT(f->p);
	memset(f->p + f->bytes, 0, bytes - f->bytes);
	f->bytes = bytes;
}

uint8_t *simdisk_bytes(struct simdisk *d, uint32_t file, uint64_t *ret_bytes)
{
	if (ret_bytes)
		*ret_bytes = d->files[file].bytes;
	return d->files[file].p;
}

void simdisk_submit(struct simdisk *d, const struct simdisk_op *op)
{
	struct simdisk_op *to = &d->pending[d->pending_count];

	ASSERT(d->pending_count < SIMDISK_PENDING_MAX && op->bytes > 0);
	*to = *op;
	if (op->write) {
		to->buffer = malloc(op->bytes);
		ASSERT(to->buffer);
		memcpy(to->buffer, op->buffer, op->bytes);
	}
	d->pending_count++;
}

unsigned simdisk_pending(const struct simdisk *d)
{
	return d->pending_count;
}

unsigned simdisk_any(struct simdisk *d)
{
	return (unsigned)simdisk_random(d, d->pending_count);
}

static void write_sectors(struct simdisk *d, uint32_t file, uint64_t offset,
			  const struct simdisk_op *op, bool tear)
{
	struct file *f = &d->files[file];

	if (op->append) {
		offset = f->bytes;
		simdisk_file(d, file, offset + op->bytes);
	}
	ASSERT(offset + op->bytes <= f->bytes);
	for (uint32_t at = 0; at < op->bytes; at += SIMDISK_SECTOR_BYTES) {
		uint32_t n = op->bytes - at < SIMDISK_SECTOR_BYTES ? op->bytes - at
								   : SIMDISK_SECTOR_BYTES;

		if (!tear || simdisk_random(d, 2))
			memcpy(f->p + offset + at, op->buffer + at, n);
	}
	if (offset <= f->bad_from && offset + op->bytes >= f->bad_to)
		f->bad_from = f->bad_to = 0;
}

static enum fault fault_now(struct simdisk *d, const struct simdisk_op *op)
{
	enum fault fault = d->fault;

	if (fault == FAULT_NONE || !op->write ||
	    (d->fault_file != UINT32_MAX && d->fault_file != op->file))
		return FAULT_NONE;
	if (d->fault_after-- > 0)
		return FAULT_NONE;
	d->fault = FAULT_NONE;
	return fault;
}

static int op_perform(struct simdisk *d, const struct simdisk_op *op)
{
	struct file *f = &d->files[op->file];

	if (!op->write) {
		if (op->offset + op->bytes > f->bytes)
			return -EIO;
		if (op->offset < f->bad_to && op->offset + op->bytes > f->bad_from)
			return -EIO;
		memcpy(op->buffer, f->p + op->offset, op->bytes);
		return 0;
	}
	switch (fault_now(d, op)) {
	case FAULT_LOSE:
		return 0;
	case FAULT_MISDIRECT:
		write_sectors(d, d->to_file, d->to_offset, op, false);
		return 0;
	case FAULT_FAIL:
		write_sectors(d, op->file, op->offset, op, true);
		return d->fault_error;
	default:
		write_sectors(d, op->file, op->offset, op, false);
		return 0;
	}
}

const struct simdisk_op *simdisk_op_at(const struct simdisk *d, unsigned i)
{
	ASSERT(i < d->pending_count);
	return &d->pending[i];
}

int simdisk_complete(struct simdisk *d, unsigned i, uint64_t *ret_tag)
{
	struct simdisk_op op;
	int r;

	ASSERT(i < d->pending_count);
	op = d->pending[i];
	memmove(&d->pending[i], &d->pending[i + 1], (d->pending_count - i - 1) * sizeof(op));
	d->pending_count--;
	r = op_perform(d, &op);
	if (op.write)
		free(op.buffer);
	*ret_tag = op.tag;
	return r;
}

void simdisk_crash(struct simdisk *d, enum simdisk_crash mode)
{
	for (unsigned i = 0; i < d->pending_count; i++) {
		const struct simdisk_op *op = &d->pending[i];
		enum simdisk_crash m =
			mode == SIMDISK_RANDOM ? (enum simdisk_crash)simdisk_random(d, 3) : mode;

		if (op->write && m != SIMDISK_DROP)
			write_sectors(d, op->file, op->offset, op, m == SIMDISK_TEAR);
	}
	pending_drop(d);
}

static void fault_set(struct simdisk *d, enum fault fault, uint32_t file, unsigned after)
{
	d->fault = fault;
	d->fault_file = file;
	d->fault_after = after;
}

void simdisk_lose_write(struct simdisk *d, uint32_t file, unsigned after)
{
	fault_set(d, FAULT_LOSE, file, after);
}

void simdisk_misdirect_write(struct simdisk *d, uint32_t file, unsigned after, uint32_t to_file,
			     uint64_t to_offset)
{
	fault_set(d, FAULT_MISDIRECT, file, after);
	d->to_file = to_file;
	d->to_offset = to_offset;
}

void simdisk_fail_write(struct simdisk *d, uint32_t file, unsigned after, int error)
{
	fault_set(d, FAULT_FAIL, file, after);
	d->fault_error = error;
}

void simdisk_flip(struct simdisk *d, uint32_t file, uint64_t offset, unsigned bit)
{
	ASSERT(offset < d->files[file].bytes);
	d->files[file].p[offset] ^= (uint8_t)(1u << (bit % 8));
}

void simdisk_unreadable(struct simdisk *d, uint32_t file, uint64_t offset, uint64_t bytes)
{
	d->files[file].bad_from = offset;
	d->files[file].bad_to = offset + bytes;
}
