/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal core: what stands on the disk of one controller's write-ahead journal, and how it is
 * appended, recovered, repaired, cut and truncated. A step machine: it asks for reads and writes
 * (jr_next_io), is told of their end (jr_io_done) and reports what became true (jr_next_event). It
 * never touches a file, a clock or a thread.
 *
 * Files: 0 is the ring of headers, 1..segments are the preallocated segments. All I/O is in whole
 * pages of 4096 bytes, aligned in file and memory. Every write the core asks for must be durable
 * (O_DSYNC) before it is reported done.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "proto/hash.h"

struct jr;

enum { JR_SECTOR_BYTES = 512, JR_PAGE_BYTES = 4096, JR_BATCH_BYTES_MAX = 4 << 20 };
/* Asked for and not yet answered, at most (asserted). */
enum { JR_FETCHES_MAX = 256, JR_REPAIRS_MAX = 64 };

/*
 * A batch: records first_lsn..last_lsn of one epoch, chained to the batch before it. Immutable once
 * built, shared by reference (local write, link send, apply). image is what is written and what is
 * sent, page aligned, a multiple of 4096 bytes: header, payload, and in each 512-byte sector the
 * stamp and CRC that tell new from old from damaged.
 */
struct jr_batch {
	uint64_t epoch, first_lsn, last_lsn;
	uint64_t commit_lsn;		/* known committed when the batch was closed */
	struct pr_hash prev_hash, hash; /* hash covers header fields and payload */
	const uint8_t *payload;		/* pr_record after pr_record (proto/journal.def) */
	uint32_t payload_bytes;
	uint8_t *image;
	uint32_t image_bytes;
	uint32_t refs;
};

/*
 * Build from a payload (copied). NULL: payload too large. The caller owns one
 * reference. commit_lsn is below first_lsn. Two different batches never have the same epoch and
 * first_lsn: sectors are told apart by them.
 */
struct jr_batch *jr_batch_new(const uint8_t cluster[16], uint64_t epoch, uint64_t first_lsn,
			      uint64_t last_lsn, uint64_t commit_lsn, const struct pr_hash *prev,
			      const uint8_t *payload, uint32_t payload_bytes);
/*
 * Check and open an image received or read (copied). NULL with *ret_why set: what is wrong with it.
 */
struct jr_batch *jr_batch_open(const uint8_t cluster[16], const uint8_t *image,
			       uint32_t image_bytes, const char **ret_why);
struct jr_batch *jr_batch_ref(struct jr_batch *);
void jr_batch_unref(struct jr_batch *); /* NULL is fine */

struct jr_config {
	uint8_t cluster[16];
	uint32_t segment_bytes; /* multiple of 4096 */
	uint32_t segments;	/* at least 3 */
	uint32_t ring_slots;	/* one page each; at least 2 * in_flight + 8 */
	uint32_t in_flight;	/* batches being written at once, at most 16 */
	/* recovery writes nothing: for tools, which then use it no further */
	bool look_only;
};

struct jr_io {
	bool write;
	uint8_t file;	 /* 0 ring, 1.. segment: see above; 255: the archive, append only */
	uint64_t offset; /* bytes; ignored for the archive */
	uint8_t *buffer; /* valid until jr_io_done(tag) */
	uint32_t bytes;
	uint64_t tag;
};

enum jr_event_type {
	JR_EV_OPENED,	/* verdict, first_lsn, tail_lsn ... : recovery is over */
	JR_EV_APPENDED, /* all up to lsn is durable here */
	/* cookie, batch (the receiver owns a reference) or NULL: not in the journal */
	JR_EV_FETCHED,
	JR_EV_CUT,	/* tail is now lsn */
	JR_EV_REPAIRED, /* the damaged batch that held lsn is whole again */
	JR_EV_DAMAGE,	/* found while reading: lsn, file, offset, why */
	JR_EV_FAILED,	/* a write failed: never retried; the process must end */
	JR_EV_VERIFIED, /* jr_verify went through: lsn is the last good one */
};

/* The verdicts of recovery; journal/README.md holds the decision table, tests visit every row. */
enum jr_verdict {
	JR_CLEAN, /* every batch up to the tail is whole */
	JR_EMPTY, /* a new journal */
	JR_TORN, /* a batch behind the tail was not fully written, nor reported durable: left out */
	JR_REPAIR,  /* damaged_first..damaged_last must come from the peer before use */
	JR_HALT,    /* nobody can tell what was acknowledged: only jr_reset and a full copy help */
	JR_FOREIGN, /* the journal of another cluster or format */
};

struct jr_event {
	enum jr_event_type type;
	enum jr_verdict verdict;
	uint64_t lsn;
	uint64_t first_lsn, tail_lsn, commit_lsn, tail_epoch;
	struct pr_hash tail_hash;
	uint64_t damaged_first, damaged_last;
	uint64_t
		missing_lsn; /* OPENED: a batch behind the tail says that all up to this was committed; 0: none does */
	uint8_t file;
	uint64_t offset;
	uint64_t cookie;
	struct jr_batch *batch;
	int error; /* -errno for FAILED; -EILSEQ for the DAMAGE that a repair left as it was */
	char why[160];
};

bool jr_config_ok(const struct jr_config *);
struct jr *jr_new(const struct jr_config *); /* NULL: no memory or a configuration that cannot be */
void jr_free(struct jr *);

void jr_open(struct jr *); /* start recovery; answered by JR_EV_OPENED */
/*
 * Start anew after `base`: an empty journal whose next batch begins at base_lsn + 1 and chains to
 * base_hash (full copy). Every batch that ends after common_lsn is archived first; after a HALT, whatever stands in the segments.
 * JR_EV_CUT.
 */
void jr_reset(struct jr *, uint64_t common_lsn, uint64_t base_lsn, uint64_t base_epoch,
	      const struct pr_hash *base_hash);
/*
 * Append in order: first_lsn must be tail + 1 and prev_hash must match (asserted). 0; -ENOSPC:
 * nothing released, back-pressure; -EBUSY: in_flight batches are on their way, or a cut or reset
 * is; -EMSGSIZE: larger than a segment; -EIO: a write has failed (JR_EV_FAILED).
 */
int jr_append(struct jr *, struct jr_batch *); /* takes its own reference */
bool jr_has_room(const struct jr *, uint32_t image_bytes);
/*
 * The ring names the last durable batch: to be called a few milliseconds after jr_unnamed, the
 * number of durable batches behind the one that it names, is no longer 0. Recovery finds those too,
 * but of them a write that the disk reported and lost is not missed.
 */
void jr_name(struct jr *);
uint32_t jr_unnamed(const struct jr *);
void jr_fetch(struct jr *, uint64_t lsn, uint64_t cookie);
/*
 * Archive, then drop every batch that ends after lsn; lsn must end a batch, or be jr_first_lsn - 1
 * (asserted). Waits for what is in flight.
 */
void jr_cut(struct jr *, uint64_t lsn);
/*
 * Write a damaged batch anew (own reference). JR_EV_REPAIRED, at once if it was whole; JR_EV_DAMAGE
 * if this is not the batch that stood there.
 */
void jr_repair(struct jr *, struct jr_batch *);
void jr_verify(struct jr *, uint64_t from_lsn); /* scrub: read and check all batches from there */
/*
 * What ends at or before lsn may be overwritten. It is kept, and can be fetched, until its segment
 * is needed: then jr_first_lsn moves.
 */
void jr_release(struct jr *, uint64_t lsn);

uint64_t jr_first_lsn(const struct jr *);
uint64_t jr_tail_lsn(const struct jr *);
uint64_t jr_durable_lsn(const struct jr *);
struct pr_hash jr_tail_hash(const struct jr *);
/*
 * The hash and epoch after the batch that ends at or before lsn: 0, or -ENOENT when it is not in
 * the journal any more. The epoch is 0 where jr_reset was given none.
 */
int jr_hash_at(const struct jr *, uint64_t lsn, uint64_t *ret_end_lsn, uint64_t *ret_epoch,
	       struct pr_hash *ret_hash);
uint64_t jr_used_bytes(const struct jr *),
	jr_size_bytes(const struct jr *); /* used: what is not released, in whole segments */

/*
 * After every call above and every jr_io_done: take all events, then all I/O. Buffers stay valid
 * until jr_io_done.
 */
bool jr_next_io(struct jr *, struct jr_io *ret);
void jr_io_done(struct jr *, uint64_t tag, int result); /* 0, or -errno; a short transfer is -EIO */
bool jr_next_event(struct jr *, struct jr_event *ret);
