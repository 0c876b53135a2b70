/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches and ring entries whose checksums are right and whose contents cannot be: each is refused by what is wrong with it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "journal/core/format.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"

static const uint8_t cluster[16] = "forged", other[16] = "another";

/* ---- batches ---- */

enum { HASH_AT = offsetof(struct jr_header_disk, hash), PAYLOAD_BYTES = 64 };

static uint8_t image[2 * JR_PAGE_BYTES];

static struct jr_batch *batch(void)
{
	static const uint8_t payload[PAYLOAD_BYTES] = "what was agreed upon";
	struct pr_hash prev = {{1}};

	return jr_batch_new(cluster, 7, 5, 6, 4, &prev, payload, sizeof(payload));
}

/* All of it lies in the first sector. */
static void seal(uint8_t *sector, bool stream)
{
	if (stream)
		pr_store32(sector, pr_crc32c(sector + 4, JR_HEADER_BYTES + PAYLOAD_BYTES - 4));
	pr_store32(sector + JR_SECTOR_BYTES - 4, pr_crc32c(sector, JR_SECTOR_BYTES - 4));
}

static const char *why_not(const uint8_t *of, uint32_t bytes)
{
	const char *why = NULL;
	struct jr_batch *b = jr_batch_open(of, image, bytes, &why);

	cr_assert((b == NULL) == (why != NULL));
	jr_batch_unref(b);
	return why ? why : "";
}

static const char *forged(size_t at, const void *bytes, size_t n, bool stream)
{
	struct jr_batch *b = batch();

	memset(image, 0, sizeof(image));
	memcpy(image, b->image, b->image_bytes);
	jr_batch_unref(b);
	memcpy(image + at, bytes, n);
	seal(image, stream);
	return why_not(cluster, JR_PAGE_BYTES);
}

#define FORGED(field, type, value) \
	forged(offsetof(struct jr_header_disk, field), &(type){value}, sizeof(type), true)

Test(jr_forged, a_batch_is_refused_by_what_is_wrong_with_it)
{
	cr_assert_str_eq(FORGED(zero, uint8_t, 0), "");
	cr_assert_str_eq(FORGED(magic, uint32_t, 7), "not a batch");
	cr_assert_str_eq(FORGED(version, uint16_t, 1), "a batch of another format version");
	cr_assert_str_eq(FORGED(header_bytes, uint16_t, 64), "wrong size of the batch header");
	cr_assert_str_eq(FORGED(first_lsn, uint64_t, 0), "impossible LSN range");
	cr_assert_str_eq(FORGED(last_lsn, uint64_t, 4), "impossible LSN range");
	cr_assert_str_eq(FORGED(commit_lsn, uint64_t, 5), "commit LSN not before the batch");
	cr_assert_str_eq(FORGED(image_bytes, uint32_t, 0), "image size does not fit the payload");
	cr_assert_str_eq(FORGED(payload_bytes, uint32_t, 5000),
			 "image size does not fit the payload");
	cr_assert_str_eq(FORGED(zero, uint8_t, 1), "reserved bytes are not zero");
	cr_assert_str_eq(FORGED(zero[27], uint8_t, 1), "reserved bytes are not zero");
	cr_assert_str_eq(FORGED(epoch, uint64_t, 8), "stamp does not match the header");
	cr_assert_str_eq(FORGED(hash, uint8_t, 0), "batch hash does not match");
	cr_assert_str_eq(forged(JR_HEADER_BYTES, "W", 1, false), "batch CRC does not match");
	cr_assert_str_eq(forged(JR_HEADER_BYTES, "W", 1, true), "batch hash does not match");
	cr_assert_str_eq(forged(JR_HEADER_BYTES + PAYLOAD_BYTES, "x", 1, true),
			 "bytes after the payload");
}

Test(jr_forged, a_batch_of_another_size_or_cluster_is_refused)
{
	uint8_t flat[2 * JR_PAGE_BYTES];
	struct jr_header h;
	uint32_t sector;

	cr_assert_str_eq(FORGED(zero, uint8_t, 0), "");
	cr_assert_str_eq(why_not(other, JR_PAGE_BYTES), "batch of another cluster");
	cr_assert_str_eq(why_not(NULL, JR_PAGE_BYTES), "", "whoever wants any takes it");
	cr_assert_str_eq(why_not(cluster, 2 * JR_PAGE_BYTES), "size is not the one in its header");
	cr_assert_str_eq(why_not(cluster, 0), "size is not that of a batch");
	cr_assert_str_eq(why_not(cluster, JR_PAGE_BYTES + 8), "size is not that of a batch");
	cr_assert_str_eq(why_not(cluster, JR_BATCH_BYTES_MAX + JR_PAGE_BYTES),
			 "size is not that of a batch");
	cr_assert(jr_image_check(cluster, image, 512, flat, &h, &sector));
	cr_assert(jr_image_check(cluster, image, JR_PAGE_BYTES + 512, flat, &h, &sector));
}

/* ---- ring entries ---- */

enum { SEGMENT_BYTES = 4 * JR_PAGE_BYTES, SEGMENTS = 3 };

static struct jr_entry sound(void)
{
	struct jr_entry e = {
		.kind = JR_KIND_BATCH,
		.in_flight = 2,
		.seq = 9,
		.epoch = 7,
		.first_lsn = 5,
		.tail_lsn = 6,
		.commit_lsn = 4,
		.page = 9,
		.image_bytes = JR_PAGE_BYTES,
		.segment_bytes = SEGMENT_BYTES,
		.segments = SEGMENTS,
		.ring_slots = 16,
		.start_page = 4,
		.start_lsn = 3,
		.blank_page = JR_NO_PAGE,
	};

	return e;
}

static const char *why_no_entry(const uint8_t *page)
{
	struct jr_entry e;
	const char *why = jr_entry_decode(page, &e);

	return why ? why : "";
}

static void refused(const struct jr_entry *e, const char *why)
{
	uint8_t page[JR_PAGE_BYTES];

	jr_entry_encode(page, e);
	cr_assert_str_eq(why_no_entry(page), why);
}

#define REFUSED(why, ...)                     \
	do {                                  \
		struct jr_entry e_ = sound(); \
		struct jr_entry *e = &e_;     \
		__VA_ARGS__;                  \
		refused(e, why);              \
	} while (0)

Test(jr_forged, a_ring_entry_is_refused_by_what_is_wrong_with_it)
{
	REFUSED("", (void)e);
	REFUSED("unknown kind of ring entry", e->kind = 0);
	REFUSED("unknown kind of ring entry", e->kind = JR_KIND_SETTLED + 1);
	REFUSED("impossible numbers in a ring entry", e->seq = 0);
	REFUSED("impossible numbers in a ring entry", e->ring_slots = 0);
	REFUSED("impossible numbers in a ring entry", e->segments = 0);
	REFUSED("impossible segment size in a ring entry", e->segment_bytes = 0);
	REFUSED("impossible segment size in a ring entry", e->segment_bytes += 1);
	REFUSED("impossible image size in a ring entry", e->image_bytes += 1);
	REFUSED("impossible image size in a ring entry",
		e->image_bytes = SEGMENT_BYTES + JR_PAGE_BYTES);
	REFUSED("impossible LSN range in a ring entry", e->image_bytes = 0);
	REFUSED("impossible LSN range in a ring entry", e->first_lsn = 0);
	REFUSED("impossible LSN range in a ring entry", e->first_lsn = e->tail_lsn + 1);
	REFUSED("impossible beginning in a ring entry", e->start_page = 5);
	REFUSED("impossible beginning in a ring entry", e->start_lsn = e->tail_lsn + 2);
	REFUSED("impossible place in a ring entry", e->page = 3);
	REFUSED("impossible place in a ring entry", e->page = 4 + 4 * SEGMENTS);
	REFUSED("", e->page = 4 + 4 * SEGMENTS - 1);
	REFUSED("", e->kind = JR_KIND_BASE, e->image_bytes = 0, e->page = 0);
}

Test(jr_forged, reserved_bytes_of_a_ring_entry_are_zero)
{
	static const size_t at[] = {offsetof(struct jr_entry_disk, zero),
				    offsetof(struct jr_entry_disk, zero1), JR_SECTOR_BYTES - 1};
	struct jr_entry e = sound();
	uint8_t page[JR_PAGE_BYTES];

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		jr_entry_encode(page, &e);
		page[at[i]] = 1;
		pr_store32(page, pr_crc32c(page + 4, JR_SECTOR_BYTES - 4));
		cr_assert_str_eq(why_no_entry(page), "reserved bytes are not zero");
	}
	jr_entry_encode(page, &e);
	pr_store16(page + offsetof(struct jr_entry_disk, version), 1);
	pr_store32(page, pr_crc32c(page + 4, JR_SECTOR_BYTES - 4));
	cr_assert_str_eq(why_no_entry(page), "a ring entry of another format version");
	page[4] ^= 1;
	pr_store32(page, pr_crc32c(page + 4, JR_SECTOR_BYTES - 4));
	cr_assert_str_eq(why_no_entry(page), "not a ring entry");
}
