/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring's entries: encoding, and the judgement of one page. */
#include <string.h>

#include "journal/core/format.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"

#define ENTRY_AT(field) offsetof(struct jr_entry_disk, field)

void jr_entry_encode(uint8_t page[JR_PAGE_BYTES], const struct jr_entry *e)
{
	uint8_t *p = page;

	memset(p, 0, JR_SECTOR_BYTES);
	pr_store32(p + ENTRY_AT(magic), JR_RING_MAGIC);
	pr_store16(p + ENTRY_AT(version), JR_FORMAT_VERSION);
	p[ENTRY_AT(kind)] = (uint8_t)e->kind;
	pr_store32(p + ENTRY_AT(in_flight), e->in_flight);
	memcpy(p + ENTRY_AT(cluster), e->cluster, sizeof(e->cluster));
	pr_store64(p + ENTRY_AT(seq), e->seq);
	pr_store64(p + ENTRY_AT(epoch), e->epoch);
	pr_store64(p + ENTRY_AT(first_lsn), e->first_lsn);
	pr_store64(p + ENTRY_AT(tail_lsn), e->tail_lsn);
	pr_store64(p + ENTRY_AT(commit_lsn), e->commit_lsn);
	memcpy(p + ENTRY_AT(prev_hash), e->prev_hash.b, sizeof(e->prev_hash.b));
	memcpy(p + ENTRY_AT(hash), e->hash.b, sizeof(e->hash.b));
	pr_store64(p + ENTRY_AT(page), e->page);
	pr_store32(p + ENTRY_AT(image_bytes), e->image_bytes);
	pr_store32(p + ENTRY_AT(segment_bytes), e->segment_bytes);
	pr_store32(p + ENTRY_AT(segments), e->segments);
	pr_store32(p + ENTRY_AT(ring_slots), e->ring_slots);
	pr_store64(p + ENTRY_AT(start_page), e->start_page);
	pr_store64(p + ENTRY_AT(start_lsn), e->start_lsn);
	memcpy(p + ENTRY_AT(start_hash), e->start_hash.b, sizeof(e->start_hash.b));
	pr_store64(p + ENTRY_AT(start_epoch), e->start_epoch);
	pr_store64(p + ENTRY_AT(blank_page), e->blank_page);
	pr_store32(p, pr_crc32c(p + 4, JR_SECTOR_BYTES - 4));
	for (int i = 1; i < JR_PAGE_SECTORS; i++)
		memcpy(page + (size_t)i * JR_SECTOR_BYTES, page, JR_SECTOR_BYTES);
}

static const char *entry_reject(const uint8_t *p, const struct jr_entry *e)
{
	if (e->kind < JR_KIND_BATCH || e->kind > JR_KIND_SETTLED)
		return "unknown kind of ring entry";
	if (p[ENTRY_AT(zero)] != 0 || pr_load64(p + ENTRY_AT(zero1)) != 0 ||
	    !jr_is_zero(p + ENTRY_AT(zero2), JR_SECTOR_BYTES - ENTRY_AT(zero2)))
		return "reserved bytes are not zero";
	if (e->seq == 0 || e->ring_slots == 0 || e->segments == 0)
		return "impossible numbers in a ring entry";
	if (e->segment_bytes == 0 || e->segment_bytes % JR_PAGE_BYTES != 0)
		return "impossible segment size in a ring entry";
	if (e->image_bytes % JR_PAGE_BYTES != 0 || e->image_bytes > e->segment_bytes)
		return "impossible image size in a ring entry";
	if (e->image_bytes == 0 ? e->kind == JR_KIND_BATCH
				: e->first_lsn == 0 || e->first_lsn > e->tail_lsn)
		return "impossible LSN range in a ring entry";
	if (e->start_page % (e->segment_bytes / JR_PAGE_BYTES) != 0 ||
	    e->start_lsn > e->tail_lsn + 1)
		return "impossible beginning in a ring entry";
	if (e->image_bytes > 0 &&
	    (e->page < e->start_page ||
	     e->page - e->start_page >= (uint64_t)e->segment_bytes / JR_PAGE_BYTES * e->segments))
		return "impossible place in a ring entry";
	return NULL;
}

const char *jr_entry_decode(const uint8_t p[JR_SECTOR_BYTES], struct jr_entry *ret)
{
	const char *why;

	if (pr_load32(p) != pr_crc32c(p + 4, JR_SECTOR_BYTES - 4))
		return "CRC of a ring entry does not match";
	if (pr_load32(p + ENTRY_AT(magic)) != JR_RING_MAGIC)
		return "not a ring entry";
	if (pr_load16(p + ENTRY_AT(version)) != JR_FORMAT_VERSION)
		return "a ring entry of another format version";
	*ret = (struct jr_entry){
		.kind = p[ENTRY_AT(kind)],
		.in_flight = pr_load32(p + ENTRY_AT(in_flight)),
		.seq = pr_load64(p + ENTRY_AT(seq)),
		.epoch = pr_load64(p + ENTRY_AT(epoch)),
		.first_lsn = pr_load64(p + ENTRY_AT(first_lsn)),
		.tail_lsn = pr_load64(p + ENTRY_AT(tail_lsn)),
		.commit_lsn = pr_load64(p + ENTRY_AT(commit_lsn)),
		.page = pr_load64(p + ENTRY_AT(page)),
		.image_bytes = pr_load32(p + ENTRY_AT(image_bytes)),
		.segment_bytes = pr_load32(p + ENTRY_AT(segment_bytes)),
		.segments = pr_load32(p + ENTRY_AT(segments)),
		.ring_slots = pr_load32(p + ENTRY_AT(ring_slots)),
		.start_page = pr_load64(p + ENTRY_AT(start_page)),
		.start_lsn = pr_load64(p + ENTRY_AT(start_lsn)),
		.start_epoch = pr_load64(p + ENTRY_AT(start_epoch)),
		.blank_page = pr_load64(p + ENTRY_AT(blank_page)),
	};
	memcpy(ret->cluster, p + ENTRY_AT(cluster), sizeof(ret->cluster));
	memcpy(ret->prev_hash.b, p + ENTRY_AT(prev_hash), sizeof(ret->prev_hash.b));
	memcpy(ret->hash.b, p + ENTRY_AT(hash), sizeof(ret->hash.b));
	memcpy(ret->start_hash.b, p + ENTRY_AT(start_hash), sizeof(ret->start_hash.b));
	why = entry_reject(p, ret);
	return why;
}

enum jr_slot jr_slot_judge(const uint8_t page[JR_PAGE_BYTES], struct jr_entry *ret,
			   uint32_t *ret_bad)
{
	struct jr_entry e;
	bool found = false;
	uint32_t bad = 0;

	for (int i = 0; i < JR_PAGE_SECTORS; i++) {
		const uint8_t *sector = page + (size_t)i * JR_SECTOR_BYTES;

		/* The common case is eight equal copies: only the first is decoded. */
		if (found && i > 0 &&
		    memcmp(sector, sector - JR_SECTOR_BYTES, JR_SECTOR_BYTES) == 0 && bad == 0)
			continue;
		if (jr_entry_decode(sector, &e) == NULL) {
			if (!found || e.seq > ret->seq)
				*ret = e;
			found = true;
		} else if (!jr_is_zero(sector, JR_SECTOR_BYTES)) {
			bad++;
		}
	}
	*ret_bad = bad;
	if (found)
		return JR_SLOT_ENTRY;
	return bad > 0 ? JR_SLOT_BAD : JR_SLOT_BLANK;
}
