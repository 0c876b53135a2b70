/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a controller's virtual machine is made of: its small records (sim_records.c), and what its disk does wrong (sim_damage.c). */
#pragma once

#include "tests/sim/sim.h"

uint64_t sim_disk_us(struct sim *, int node); /* how long its disk takes now */
/* Nothing acknowledged needs this node's journal: the other holds everything, and stays. */
bool sim_may_lose_journal(struct sim *, int node);

void sim_journal_config(const struct sim *, struct jr_config *ret);

int sim_state_read(const struct sim_node *, struct ha_state *ret); /* as ha_state_pick */
int sim_state_open(
	struct sim_node *,
	struct ha_state *ret); /* and the copies that differ are written over, as the daemon does */
void sim_state_save(struct sim *, int node, const struct ha_state *, uint64_t us);
void sim_state_crash(struct sim *, int node);
void sim_state_rot(struct sim *, int node); /* if that was ordered */
/* A page that was meant for the journal lands on a copy. False: they are not all sound, and what can be read stays so. */
bool sim_state_take(struct sim *, int node, const uint8_t *page);

void sim_arbiter_read(struct sim *, int node);
void sim_arbiter_cas(struct sim *, int node, const struct ha_arbiter *expect,
		     const struct ha_arbiter *next);
void sim_arbiter_floor(struct sim *, int node, uint64_t epoch, uint64_t lsn);
void sim_arbiter_preempt(struct sim *, int node);

/* The i-th operation under way is about to complete: what was ordered for this node happens to it. */
void sim_damage_now(struct sim *, int node, unsigned i);
/* The store is about to take a flush that its disk will have lost, if the node dies before the next one. */
void sim_damage_flush(struct sim *, int node);
/* A store that cannot be opened was moved away. */
void sim_damage_store(struct sim *, int node);
/* A copy of the state lands in the journal. False: its journal must stay as it is. */
bool sim_damage_by_state(struct sim *, int node, const uint8_t *p);
/* What is damaged and was not written since is as it should be again. */
void sim_damage_undo(struct sim *);
void sim_damage_forget(struct sim *);
