/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each controller persists: its format, the choice among four copies, and one write at a time. */
#include "ha/core/ha_core.h"

/*
 *    0  u32  crc of bytes 4..4095        24  u64  seq
 *    4  u32  magic "HAST"                32  u64  epoch
 *    8  u16  version                     40  u64  log_epoch
 *   10  u8   node                        48  u32  fault_flags
 *   11  u8   dstate                      52  u32  overrides
 *   12  u32  history_count               56  16   cluster
 *   16  8    zero                        72  40 each  history: epoch, first_lsn, hash, members, reason, 6 zero
 */
#define STATE_MAGIC 0x54534148u
enum { STATE_VERSION = 1, STATE_HISTORY_AT = 72, STATE_HISTORY_BYTES = 40 };
_Static_assert(STATE_HISTORY_AT + HA_HISTORY_MAX * STATE_HISTORY_BYTES <= HA_STATE_BYTES,
	       "the history fits");

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

void ha_state_encode(uint8_t out[HA_STATE_BYTES], const struct ha_state *s)
{
	ASSERT(s->history_count <= HA_HISTORY_MAX);
	memset(out, 0, HA_STATE_BYTES);
	pr_store32(out + 4, STATE_MAGIC);
	pr_store16(out + 8, STATE_VERSION);
	out[10] = s->node;
	out[11] = (uint8_t)s->dstate;
	pr_store32(out + 12, s->history_count);
	pr_store64(out + 24, s->seq);
	pr_store64(out + 32, s->epoch);
	pr_store64(out + 40, s->log_epoch);
	pr_store32(out + 48, s->fault_flags);
	pr_store32(out + 52, s->overrides);
	memcpy(out + 56, s->cluster, 16);
	for (uint32_t i = 0; i < s->history_count; i++) {
		uint8_t *p = out + STATE_HISTORY_AT + i * STATE_HISTORY_BYTES;

		pr_store64(p, s->history[i].epoch);
		pr_store64(p + 8, s->history[i].first_lsn);
		memcpy(p + 16, s->history[i].hash.b, 16);
		p[32] = s->history[i].members;
		p[33] = s->history[i].reason;
	}
	pr_store32(out, pr_crc32c(out + 4, HA_STATE_BYTES - 4));
}

int ha_state_decode(struct ha_state *ret, const uint8_t in[HA_STATE_BYTES])
{
	uint32_t count = pr_load32(in + 12);
	size_t end;

	if (pr_load32(in) != pr_crc32c(in + 4, HA_STATE_BYTES - 4) ||
	    pr_load32(in + 4) != STATE_MAGIC || pr_load16(in + 8) != STATE_VERSION || in[10] < 1 ||
	    in[10] > 2 || in[11] > HA_QUARANTINED || count > HA_HISTORY_MAX ||
	    !all_zero(in + 16, 8))
		return -EBADMSG;
	end = STATE_HISTORY_AT + (size_t)count * STATE_HISTORY_BYTES;
	if (!all_zero(in + end, HA_STATE_BYTES - end))
		return -EBADMSG;
	memset(ret, 0, sizeof(*ret));
	ret->node = in[10];
	ret->dstate = in[11];
	ret->history_count = count;
	ret->seq = pr_load64(in + 24);
	ret->epoch = pr_load64(in + 32);
	ret->log_epoch = pr_load64(in + 40);
	ret->fault_flags = pr_load32(in + 48);
	ret->overrides = pr_load32(in + 52);
	memcpy(ret->cluster, in + 56, 16);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *p = in + STATE_HISTORY_AT + i * STATE_HISTORY_BYTES;

		if (!all_zero(p + 34, STATE_HISTORY_BYTES - 34))
			return -EBADMSG;
		ret->history[i].epoch = pr_load64(p);
		ret->history[i].first_lsn = pr_load64(p + 8);
		memcpy(ret->history[i].hash.b, p + 16, 16);
		ret->history[i].members = p[32];
		ret->history[i].reason = p[33];
	}
	return 0;
}

/*
 * A write is done when three of four stand, so of the newest state written at least three copies do, and after one more write
 * that stopped half-way at least one of the two states has two copies. The newest that two copies agree on is the state. Two are
 * enough once: beside the old state's two copies the next write would take one of them first, and leave the old one chosen again.
 * So whoever chooses writes the others over.
 */
int ha_state_pick(struct ha_state *ret, const uint8_t *const copies[4], unsigned *ret_others)
{
	struct ha_state state;
	uint64_t best = 0;
	int pick = -1;
	unsigned others = 0, blank = 0;

	for (int i = 0; i < 4; i++) {
		unsigned same = 0, differ = 0;

		if (copies[i] && all_zero(copies[i], HA_STATE_BYTES))
			blank++;
		if (!copies[i] || ha_state_decode(&state, copies[i]) < 0)
			continue;
		for (int j = 0; j < 4; j++) {
			if (copies[j] && memcmp(copies[i], copies[j], HA_STATE_BYTES) == 0)
				same++;
			else
				differ |= 1u << j;
		}
		if (same >= 2 && (pick < 0 || state.seq > best)) {
			pick = i;
			best = state.seq;
			others = differ;
		}
	}
	if (ret_others)
		*ret_others = others;
	if (pick >= 0)
		return ha_state_decode(ret, copies[pick]);
	/* The very first write may have reached one copy and torn the next: nothing was promised on it yet. Any that was done left one blank at most. */
	return blank >= 2 ? -ENOENT : -EUCLEAN;
}

void ha_save(struct ha *h)
{
	h->state.seq++;
	if (h->save_busy)
		return;
	h->save_busy = true;
	h->saving_seq = h->state.seq;
	struct ha_state *copy = ha_alloc(h, sizeof(*copy));
	*copy = h->state;
	ha_emit(h, HA_FX_SAVE_STATE)->state = copy;
}

bool ha_saved(const struct ha *h)
{
	return h->saved_seq == h->state.seq;
}

void ha_state_saved(struct ha *h, int error)
{
	if (!h->save_busy)
		return;
	h->save_busy = false;
	if (error) {
		ha_die(h, "the state of the pair could not be saved");
		return;
	}
	h->saved_seq = h->saving_seq;
	if (h->saved_seq != h->state.seq) {
		h->state.seq--; /* ha_save counts it again */
		ha_save(h);
	}
}

void ha_history_push(struct ha *h, uint64_t epoch, uint64_t first_lsn, uint8_t members,
		     uint8_t reason)
{
	struct ha_state *s = &h->state;

	if (s->history_count == HA_HISTORY_MAX) {
		memmove(s->history, s->history + 1, sizeof(s->history[0]) * (HA_HISTORY_MAX - 1));
		s->history_count--;
	}
	s->history[s->history_count++] = (struct ha_history){
		.epoch = epoch,
		.first_lsn = first_lsn,
		.hash = h->tail.hash,
		.members = members,
		.reason = reason,
	};
}

/* The epoch in which the batch that ends at lsn was written, as far as the history reaches. */
uint64_t ha_history_epoch_at(const struct ha *h, uint64_t lsn)
{
	uint64_t epoch = 0;

	for (uint32_t i = 0; i < h->state.history_count; i++)
		if (h->state.history[i].first_lsn <= lsn)
			epoch = h->state.history[i].epoch;
	return epoch;
}
