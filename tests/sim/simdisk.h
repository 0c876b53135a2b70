/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk in memory that behaves as badly as real ones may: what was not reported done is kept,
 * dropped or torn by sectors at a crash, and writes can be lost, misdirected or refused, bits
 * flipped, pages made unreadable. Everything from one seed. Owns the files' bytes and what is under
 * way; decides nothing about when: the caller completes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIMDISK_SECTOR_BYTES = 512, SIMDISK_FILES_MAX = 256, SIMDISK_PENDING_MAX = 256 };

struct simdisk;

struct simdisk_op {
	bool write;
	bool append; /* write at the file's end; the file grows */
	uint32_t file;
	uint64_t offset;
	uint8_t *buffer;
	uint32_t bytes;
	uint64_t tag;
};

enum simdisk_crash { SIMDISK_DROP, SIMDISK_KEEP, SIMDISK_TEAR, SIMDISK_RANDOM };

struct simdisk *simdisk_new(uint64_t seed);
void simdisk_free(struct simdisk *);
void simdisk_file(struct simdisk *, uint32_t file,
		  uint64_t bytes); /* makes it, or makes it longer; zeroes */
uint8_t *simdisk_bytes(struct simdisk *, uint32_t file, uint64_t *ret_bytes);

/*
 * The data of a write is taken now, it reaches the file when the op is completed. Reads see what is
 * in the file at completion.
 */
void simdisk_submit(struct simdisk *, const struct simdisk_op *);
unsigned simdisk_pending(const struct simdisk *);
const struct simdisk_op *simdisk_op_at(const struct simdisk *, unsigned i);
/*
 * Ends the i-th pending op, in the order they were submitted. Returns its result; *ret_tag is its
 * tag.
 */
int simdisk_complete(struct simdisk *, unsigned i, uint64_t *ret_tag);
unsigned simdisk_any(struct simdisk *); /* a random pending op */
/* Power off: nothing under way completes; each pending write leaves what mode says. */
void simdisk_crash(struct simdisk *, enum simdisk_crash mode);

/*
 * Faults. They count completions of writes (to that file, or to any: UINT32_MAX) from now on; 0 is
 * the next.
 */
void simdisk_lose_write(struct simdisk *, uint32_t file, unsigned after);
void simdisk_misdirect_write(struct simdisk *, uint32_t file, unsigned after, uint32_t to_file,
			     uint64_t to_offset);
void simdisk_fail_write(struct simdisk *, uint32_t file, unsigned after, int error);
void simdisk_flip(struct simdisk *, uint32_t file, uint64_t offset, unsigned bit);
void simdisk_unreadable(struct simdisk *, uint32_t file, uint64_t offset,
			uint64_t bytes); /* -EIO until written again */

uint64_t simdisk_random(struct simdisk *, uint64_t below);
/* A copy with everything but what is pending: to try several futures of one state. */
struct simdisk *simdisk_copy(const struct simdisk *, uint64_t seed);
