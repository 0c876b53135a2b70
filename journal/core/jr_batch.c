/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A batch and its image: building, checking, sharing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal/core/format.h"
#include "proto/assert.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"

#define HEADER_AT(field) offsetof(struct jr_header_disk, field)

bool jr_is_zero(const uint8_t *p, size_t bytes)
{
	return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

uint32_t jr_image_bytes(uint32_t payload_bytes)
{
	uint64_t sectors =
		((uint64_t)JR_HEADER_BYTES + payload_bytes + JR_BODY_BYTES - 1) / JR_BODY_BYTES;
	uint64_t pages = (sectors + JR_PAGE_SECTORS - 1) / JR_PAGE_SECTORS;

	return pages * JR_PAGE_BYTES <= JR_BATCH_BYTES_MAX ? (uint32_t)(pages * JR_PAGE_BYTES) : 0;
}

uint32_t jr_payload_max(uint32_t image_bytes)
{
	return image_bytes / JR_SECTOR_BYTES * JR_BODY_BYTES - JR_HEADER_BYTES;
}

/*
 * 19 bits that tell the epochs of a place's history apart; a collision makes a torn tail look
 * damaged, never whole.
 */
uint32_t jr_epoch_tag(uint64_t epoch)
{
	return (uint32_t)((epoch * 0x9e3779b97f4a7c15u) >> (64 - (32 - JR_SECTOR_INDEX_BITS)));
}

static uint32_t sector_place(uint64_t epoch, uint32_t index)
{
	return jr_epoch_tag(epoch) << JR_SECTOR_INDEX_BITS | index;
}

static void trailer_put(uint8_t *sector, uint64_t epoch, uint64_t first_lsn, uint32_t index)
{
	pr_store64(sector + JR_BODY_BYTES, first_lsn);
	pr_store32(sector + JR_BODY_BYTES + 8, sector_place(epoch, index));
	pr_store32(sector + JR_BODY_BYTES + 12, pr_crc32c(sector, JR_SECTOR_BYTES - 4));
}

static bool sector_crc_ok(const uint8_t *sector)
{
	return pr_load32(sector + JR_BODY_BYTES + 12) == pr_crc32c(sector, JR_SECTOR_BYTES - 4);
}

enum jr_sector jr_sector_judge(const uint8_t *sector, uint64_t epoch, uint64_t first_lsn,
			       uint32_t index)
{
	uint64_t lsn = pr_load64(sector + JR_BODY_BYTES);
	uint32_t place = pr_load32(sector + JR_BODY_BYTES + 8);

	if (!sector_crc_ok(sector))
		return jr_is_zero(sector, JR_SECTOR_BYTES) ? JR_SECTOR_OLD : JR_SECTOR_BAD;
	if (lsn == first_lsn && place == sector_place(epoch, index))
		return JR_SECTOR_NEW;
	/*
	 * Before it, only earlier batches and those of a fork that was cut stood here: anything
	 * else strayed.
	 */
	if (lsn < first_lsn || place >> JR_SECTOR_INDEX_BITS != jr_epoch_tag(epoch))
		return JR_SECTOR_OLD;
	return JR_SECTOR_BAD;
}

bool jr_sector_stamp(const uint8_t *sector, struct jr_stamp *ret)
{
	*ret = (struct jr_stamp){
		.first_lsn = pr_load64(sector + JR_BODY_BYTES),
		.tag = pr_load32(sector + JR_BODY_BYTES + 8) >> JR_SECTOR_INDEX_BITS,
	};
	return sector_crc_ok(sector);
}

static struct pr_hash hash_load(const uint8_t *p)
{
	struct pr_hash h;

	memcpy(h.b, p, sizeof(h.b));
	return h;
}

static const char *header_parse(const uint8_t *p, struct jr_header *ret)
{
	struct jr_header h = {
		.epoch = pr_load64(p + HEADER_AT(epoch)),
		.first_lsn = pr_load64(p + HEADER_AT(first_lsn)),
		.last_lsn = pr_load64(p + HEADER_AT(last_lsn)),
		.commit_lsn = pr_load64(p + HEADER_AT(commit_lsn)),
		.prev_hash = hash_load(p + HEADER_AT(prev_hash)),
		.hash = hash_load(p + HEADER_AT(hash)),
		.payload_bytes = pr_load32(p + HEADER_AT(payload_bytes)),
		.image_bytes = pr_load32(p + HEADER_AT(image_bytes)),
	};

	memcpy(h.cluster, p + HEADER_AT(cluster), sizeof(h.cluster));
	if (pr_load32(p + HEADER_AT(magic)) != JR_BATCH_MAGIC)
		return "not a batch";
	if (pr_load16(p + HEADER_AT(version)) != JR_FORMAT_VERSION)
		return "a batch of another format version";
	if (pr_load16(p + HEADER_AT(header_bytes)) != JR_HEADER_BYTES)
		return "wrong size of the batch header";
	if (h.first_lsn == 0 || h.last_lsn < h.first_lsn)
		return "impossible LSN range";
	if (h.commit_lsn >= h.first_lsn)
		return "commit LSN not before the batch";
	if (h.image_bytes == 0 || h.image_bytes != jr_image_bytes(h.payload_bytes))
		return "image size does not fit the payload";
	if (!jr_is_zero(p + HEADER_AT(zero), sizeof(((struct jr_header_disk *)0)->zero)))
		return "reserved bytes are not zero";
	*ret = h;
	return NULL;
}

const char *jr_header_peek(const uint8_t *sector, struct jr_header *ret)
{
	struct jr_header h;
	const char *why;

	if (!sector_crc_ok(sector))
		return "sector CRC does not match";
	why = header_parse(sector, &h);
	if (why)
		return why;
	if (jr_sector_judge(sector, h.epoch, h.first_lsn, 0) != JR_SECTOR_NEW)
		return "stamp does not match the header";
	*ret = h;
	return NULL;
}

static struct pr_hash flat_hash(uint8_t *flat, uint32_t bytes)
{
	uint8_t saved[16];
	struct pr_hash h;

	memcpy(saved, flat + HEADER_AT(hash), sizeof(saved));
	memset(flat + HEADER_AT(hash), 0, sizeof(saved));
	h = pr_hash_of(flat + 4, bytes - 4);
	memcpy(flat + HEADER_AT(hash), saved, sizeof(saved));
	return h;
}

const char *jr_image_check(const uint8_t cluster[16], const uint8_t *image, uint32_t image_bytes,
			   uint8_t *flat, struct jr_header *ret, uint32_t *ret_sector)
{
	struct jr_header h;
	struct pr_hash hash;
	uint32_t bytes, at;
	const char *why;

	*ret_sector = 0;
	if (image_bytes < JR_PAGE_BYTES || image_bytes % JR_PAGE_BYTES != 0)
		return "size is not a multiple of a page";
	why = jr_header_peek(image, &h);
	if (why)
		return why;
	if (h.image_bytes != image_bytes)
		return "size is not the one in its header";
	if (cluster && memcmp(cluster, h.cluster, sizeof(h.cluster)) != 0)
		return "batch of another cluster";
	for (uint32_t i = 0; i < image_bytes / JR_SECTOR_BYTES; i++) {
		const uint8_t *sector = image + (size_t)i * JR_SECTOR_BYTES;

		if (jr_sector_judge(sector, h.epoch, h.first_lsn, i) != JR_SECTOR_NEW) {
			*ret_sector = i;
			return "a sector is damaged or of another batch";
		}
		memcpy(flat + (size_t)i * JR_BODY_BYTES, sector, JR_BODY_BYTES);
	}
	bytes = JR_HEADER_BYTES + h.payload_bytes;
	at = image_bytes / JR_SECTOR_BYTES * JR_BODY_BYTES;
	if (pr_load32(flat) != pr_crc32c(flat + 4, bytes - 4))
		return "batch CRC does not match";
	hash = flat_hash(flat, bytes);
	if (!pr_hash_equal(&hash, &h.hash))
		return "batch hash does not match";
	if (!jr_is_zero(flat + bytes, at - bytes))
		return "bytes after the payload";
	*ret = h;
	return NULL;
}

/* One piece of memory: the struct, the flat stream, the image on a page boundary. */
static struct jr_batch *batch_alloc(uint32_t image_bytes, uint8_t **ret_flat)
{
	size_t flat_bytes = (size_t)image_bytes / JR_SECTOR_BYTES * JR_BODY_BYTES;
	struct jr_batch *b = malloc(sizeof(*b) + flat_bytes + image_bytes + JR_PAGE_BYTES);
	uintptr_t at;

	ASSERT_MEMORY(b); /* a batch that is not there must not pass for one that is damaged */
	at = (uintptr_t)(b + 1) + flat_bytes;
	at = (at + JR_PAGE_BYTES - 1) & ~(uintptr_t)(JR_PAGE_BYTES - 1);
	*b = (struct jr_batch){.image = (uint8_t *)at, .image_bytes = image_bytes, .refs = 1};
	*ret_flat = (uint8_t *)(b + 1);
	return b;
}

static void batch_describe(struct jr_batch *b, const struct jr_header *h, const uint8_t *flat)
{
	b->epoch = h->epoch;
	b->first_lsn = h->first_lsn;
	b->last_lsn = h->last_lsn;
	b->commit_lsn = h->commit_lsn;
	b->prev_hash = h->prev_hash;
	b->hash = h->hash;
	b->payload = flat + JR_HEADER_BYTES;
	b->payload_bytes = h->payload_bytes;
}

static void header_put(uint8_t *flat, const struct jr_header *h)
{
	memset(flat, 0, JR_HEADER_BYTES);
	pr_store32(flat + HEADER_AT(magic), JR_BATCH_MAGIC);
	pr_store16(flat + HEADER_AT(version), JR_FORMAT_VERSION);
	pr_store16(flat + HEADER_AT(header_bytes), JR_HEADER_BYTES);
	pr_store32(flat + HEADER_AT(payload_bytes), h->payload_bytes);
	memcpy(flat + HEADER_AT(cluster), h->cluster, sizeof(h->cluster));
	pr_store64(flat + HEADER_AT(epoch), h->epoch);
	pr_store64(flat + HEADER_AT(first_lsn), h->first_lsn);
	pr_store64(flat + HEADER_AT(last_lsn), h->last_lsn);
	pr_store64(flat + HEADER_AT(commit_lsn), h->commit_lsn);
	memcpy(flat + HEADER_AT(prev_hash), h->prev_hash.b, sizeof(h->prev_hash.b));
	pr_store32(flat + HEADER_AT(image_bytes), h->image_bytes);
}

struct jr_batch *jr_batch_new(const uint8_t cluster[16], uint64_t epoch, uint64_t first_lsn,
			      uint64_t last_lsn, uint64_t commit_lsn, const struct pr_hash *prev,
			      const uint8_t *payload, uint32_t payload_bytes)
{
	struct jr_header h = {
		.epoch = epoch,
		.first_lsn = first_lsn,
		.last_lsn = last_lsn,
		.commit_lsn = commit_lsn,
		.prev_hash = *prev,
		.payload_bytes = payload_bytes,
		.image_bytes = jr_image_bytes(payload_bytes),
	};
	uint32_t bytes = JR_HEADER_BYTES + payload_bytes;
	struct jr_batch *b;
	uint8_t *flat;

	ASSERT(first_lsn > 0 && last_lsn >= first_lsn && commit_lsn < first_lsn);
	if (h.image_bytes == 0)
		return NULL;
	b = batch_alloc(h.image_bytes, &flat);
	memcpy(h.cluster, cluster, sizeof(h.cluster));
	header_put(flat, &h);
	if (payload_bytes > 0)
		memcpy(flat + JR_HEADER_BYTES, payload, payload_bytes);
	memset(flat + bytes, 0, h.image_bytes / JR_SECTOR_BYTES * JR_BODY_BYTES - bytes);
	h.hash = flat_hash(flat, bytes);
	memcpy(flat + HEADER_AT(hash), h.hash.b, sizeof(h.hash.b));
	pr_store32(flat, pr_crc32c(flat + 4, bytes - 4));
	for (uint32_t i = 0; i < h.image_bytes / JR_SECTOR_BYTES; i++) {
		uint8_t *sector = b->image + (size_t)i * JR_SECTOR_BYTES;

		memcpy(sector, flat + (size_t)i * JR_BODY_BYTES, JR_BODY_BYTES);
		trailer_put(sector, epoch, first_lsn, i);
	}
	batch_describe(b, &h, flat);
	return b;
}

struct jr_batch *jr_batch_open(const uint8_t cluster[16], const uint8_t *image,
			       uint32_t image_bytes, const char **ret_why)
{
	struct jr_header h;
	struct jr_batch *b;
	const char *why;
	uint32_t sector;
	uint8_t *flat;

	if (image_bytes < JR_PAGE_BYTES || image_bytes > JR_BATCH_BYTES_MAX ||
	    image_bytes % JR_PAGE_BYTES != 0) {
		*ret_why = "size is not that of a batch";
		return NULL;
	}
	b = batch_alloc(image_bytes, &flat);
	memcpy(b->image, image, image_bytes);
	why = jr_image_check(cluster, b->image, image_bytes, flat, &h, &sector);
	if (why) {
		*ret_why = why;
		jr_batch_unref(b);
		return NULL;
	}
	batch_describe(b, &h, flat);
	return b;
}

struct jr_batch *jr_batch_ref(struct jr_batch *b)
{
	b->refs++;
	return b;
}

void jr_batch_unref(struct jr_batch *b)
{
	if (!b)
		return;
	ASSERT(b->refs > 0);
	if (--b->refs == 0)
		free(b);
}
