/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the journal looks like on disk: a ring of headers (file 0) and preallocated segments (files
 * 1..), all little-endian, in pages of 4096 bytes. Owns the layout, its encoding and the judgement
 * of a single sector; never reads or writes a file.
 *
 * Place. A page of the data has a number that only grows: number / pages of a segment is the
 * segment's ordinal, which lies in file 1 + ordinal % segments; the first page of the journal's
 * life is 0. A batch takes whole pages and does not cross a segment's end: what does not fit begins
 * the next segment, and the page after the last batch of the segment it left is zeroed. So the
 * first batch of a segment lies at its offset 0, and the batch after another either follows it at
 * once or begins the next segment.
 *
 * Image of a batch (the same bytes on both controllers and on the link): the stream {batch header,
 * payload, zeros} cut into sectors of 512 bytes, the last 16 of each its trailer; a multiple of 8
 * sectors.
 *
 *	sector	0	496	of the stream
 *		496	8	stamp: first_lsn of the batch
 *		504	4	place: bits 0..12 index of the sector, bits 13..31 hash of the epoch
 *		508	4	CRC-32C of bytes 0..507
 *
 *	batch	0	4	CRC-32C of bytes 4.. to the end of the payload
 *	header	4	4	magic "mdcB"
 *		8	2	version 2
 *		10	2	128, bytes of this header
 *		12	4	payload bytes
 *		16	16	cluster
 *		32	8	epoch
 *		40	8	first_lsn
 *		48	8	last_lsn
 *		56	8	commit_lsn: known committed when the batch was closed
 *		64	16	hash of the batch before
 *		80	16	hash of this one: of the same bytes with this field zero
 *		96	4	image bytes
 *		100	28	zero
 *
 * Ring entry, 512 bytes, eight times in its page; entry seq lies in page seq % ring_slots. It is
 * written when the batch it names is durable, one at a time, so it passes over batches when they
 * are many, and describes the whole journal as of that batch. The valid entry with the highest seq
 * is the head.
 *
 *	entry	0	4	CRC-32C of bytes 4..511
 *		4	4	magic "mdcR"
 *		8	2	version 2
 *		10	1	kind: 1 BATCH, 2 BASE (begun anew), 3 CUT, 4 START (beginning moved),
 *				5 SETTLED (recovery kept batches without entries of their own)
 *		11	1	zero
 *		12	4	in_flight
 *		16	16	cluster
 *		32	8	seq, from 1
 *		40	8	epoch of the tail batch
 *		48	8	first_lsn of the tail batch
 *		56	8	tail_lsn, its last
 *		64	8	commit_lsn known then
 *		72	8	zero
 *		80	16	prev_hash of the tail batch
 *		96	16	hash of the tail batch
 *		112	8	page number of the tail batch
 *		120	4	its image bytes; 0: no batch, the journal begins after tail_lsn
 *		124	4	segment bytes
 *		128	4	segments
 *		132	4	ring slots
 *		136	8	start_page: where the first batch to be kept begins a segment
 *		144	8	start_lsn: its first_lsn
 *		152	16	start_hash: its prev_hash
 *		168	8	start_epoch: the epoch of the batch before it
 *		176	8	blank_page: to be zeroed after this entry (CUT, BASE); all ones: none
 *		184	328	zero
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "journal/core/jr.h"
#include "proto/hash.h"

enum {
	JR_TRAILER_BYTES = 16,
	JR_BODY_BYTES = JR_SECTOR_BYTES - JR_TRAILER_BYTES,
	JR_PAGE_SECTORS = JR_PAGE_BYTES / JR_SECTOR_BYTES,
	JR_HEADER_BYTES = 128,
	JR_FORMAT_VERSION = 2,
	JR_SECTOR_INDEX_BITS = 13,
};

#define JR_BATCH_MAGIC 0x4263646du /* "mdcB" */
#define JR_RING_MAGIC  0x5263646du /* "mdcR" */
#define JR_NO_PAGE     UINT64_MAX

struct jr_trailer_disk {
	uint64_t first_lsn;
	uint32_t place;
	uint32_t crc;
};

struct jr_header_disk {
	uint32_t crc;
	uint32_t magic;
	uint16_t version;
	uint16_t header_bytes;
	uint32_t payload_bytes;
	uint8_t cluster[16];
	uint64_t epoch;
	uint64_t first_lsn;
	uint64_t last_lsn;
	uint64_t commit_lsn;
	uint8_t prev_hash[16];
	uint8_t hash[16];
	uint32_t image_bytes;
	uint8_t zero[28];
};

struct jr_entry_disk {
	uint32_t crc;
	uint32_t magic;
	uint16_t version;
	uint8_t kind;
	uint8_t zero;
	uint32_t in_flight;
	uint8_t cluster[16];
	uint64_t seq;
	uint64_t epoch;
	uint64_t first_lsn;
	uint64_t tail_lsn;
	uint64_t commit_lsn;
	uint64_t zero1;
	uint8_t prev_hash[16];
	uint8_t hash[16];
	uint64_t page;
	uint32_t image_bytes;
	uint32_t segment_bytes;
	uint32_t segments;
	uint32_t ring_slots;
	uint64_t start_page;
	uint64_t start_lsn;
	uint8_t start_hash[16];
	uint64_t start_epoch;
	uint64_t blank_page;
	uint8_t zero2[328];
};

#define JR_AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " moved")
JR_AT(jr_header_disk, payload_bytes, 12);
JR_AT(jr_header_disk, cluster, 16);
JR_AT(jr_header_disk, epoch, 32);
JR_AT(jr_header_disk, first_lsn, 40);
JR_AT(jr_header_disk, last_lsn, 48);
JR_AT(jr_header_disk, commit_lsn, 56);
JR_AT(jr_header_disk, prev_hash, 64);
JR_AT(jr_header_disk, hash, 80);
JR_AT(jr_header_disk, image_bytes, 96);
JR_AT(jr_header_disk, zero, 100);
JR_AT(jr_entry_disk, kind, 10);
JR_AT(jr_entry_disk, in_flight, 12);
JR_AT(jr_entry_disk, cluster, 16);
JR_AT(jr_entry_disk, seq, 32);
JR_AT(jr_entry_disk, epoch, 40);
JR_AT(jr_entry_disk, first_lsn, 48);
JR_AT(jr_entry_disk, tail_lsn, 56);
JR_AT(jr_entry_disk, commit_lsn, 64);
JR_AT(jr_entry_disk, zero1, 72);
JR_AT(jr_entry_disk, prev_hash, 80);
JR_AT(jr_entry_disk, hash, 96);
JR_AT(jr_entry_disk, page, 112);
JR_AT(jr_entry_disk, image_bytes, 120);
JR_AT(jr_entry_disk, segment_bytes, 124);
JR_AT(jr_entry_disk, segments, 128);
JR_AT(jr_entry_disk, ring_slots, 132);
JR_AT(jr_entry_disk, start_page, 136);
JR_AT(jr_entry_disk, start_lsn, 144);
JR_AT(jr_entry_disk, start_hash, 152);
JR_AT(jr_entry_disk, start_epoch, 168);
JR_AT(jr_entry_disk, blank_page, 176);
JR_AT(jr_entry_disk, zero2, 184);
_Static_assert(sizeof(struct jr_trailer_disk) == JR_TRAILER_BYTES, "trailer size");
_Static_assert(sizeof(struct jr_header_disk) == JR_HEADER_BYTES, "batch header size");
_Static_assert(sizeof(struct jr_entry_disk) == JR_SECTOR_BYTES, "ring entry size");
_Static_assert(JR_BATCH_BYTES_MAX / JR_SECTOR_BYTES <= 1 << JR_SECTOR_INDEX_BITS,
	       "the index of a batch's last sector fits its trailer");

/* ---- a batch's image ---- */

/* Bytes of the image of a batch with that much payload; 0: too large. */
uint32_t jr_image_bytes(uint32_t payload_bytes);
uint32_t jr_payload_max(uint32_t image_bytes);

/* A batch header as numbers. */
struct jr_header {
	uint8_t cluster[16];
	uint64_t epoch, first_lsn, last_lsn, commit_lsn;
	struct pr_hash prev_hash, hash;
	uint32_t payload_bytes, image_bytes;
};

/*
 * What a header says of itself, sector 0's CRC and the header's fields checked, nothing else. NULL,
 * or why not.
 */
const char *jr_header_peek(const uint8_t *sector, struct jr_header *ret);

/*
 * The whole image: every sector, the batch's CRC and hash. flat gets header and payload in one
 * piece and holds at least image_bytes. cluster NULL: any. NULL, or what is wrong; then *ret_sector
 * is the first bad sector, or 0.
 */
const char *jr_image_check(const uint8_t cluster[16], const uint8_t *image, uint32_t image_bytes,
			   uint8_t *flat, struct jr_header *ret, uint32_t *ret_sector);

enum jr_sector { JR_SECTOR_NEW, JR_SECTOR_OLD, JR_SECTOR_BAD };

/*
 * Is this sector the index-th of batch (epoch, first_lsn), what stood there before it, or neither?
 */
enum jr_sector jr_sector_judge(const uint8_t *sector, uint64_t epoch, uint64_t first_lsn,
			       uint32_t index);
/* Whose sector it is: the first LSN of its batch, and the tag of its epoch, equal for equal epochs. */
struct jr_stamp {
	uint64_t first_lsn;
	uint32_t tag;
};
/* False: it is not whole, or blank. */
bool jr_sector_stamp(const uint8_t *sector, struct jr_stamp *ret);
uint32_t jr_epoch_tag(uint64_t epoch);

/* ---- the ring ---- */

enum jr_kind { JR_KIND_BATCH = 1, JR_KIND_BASE, JR_KIND_CUT, JR_KIND_START, JR_KIND_SETTLED };

struct jr_entry {
	enum jr_kind kind;
	uint32_t in_flight;
	uint8_t cluster[16];
	uint64_t seq, epoch, first_lsn, tail_lsn, commit_lsn;
	struct pr_hash prev_hash, hash;
	uint64_t page;
	uint32_t image_bytes, segment_bytes, segments, ring_slots;
	uint64_t start_page, start_lsn, start_epoch;
	struct pr_hash start_hash;
	uint64_t blank_page;
};

/* Fills a whole page. */
void jr_entry_encode(uint8_t page[JR_PAGE_BYTES], const struct jr_entry *);
/* One of the eight copies. NULL, or why not. */
const char *jr_entry_decode(const uint8_t sector[JR_SECTOR_BYTES], struct jr_entry *ret);

enum jr_slot { JR_SLOT_BLANK, JR_SLOT_ENTRY, JR_SLOT_BAD };

/* The newest valid copy in a page; *ret_bad counts the copies that are neither valid nor zero. */
enum jr_slot jr_slot_judge(const uint8_t page[JR_PAGE_BYTES], struct jr_entry *ret,
			   uint32_t *ret_bad);

bool jr_is_zero(const uint8_t *p, size_t bytes);
