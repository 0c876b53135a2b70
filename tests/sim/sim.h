/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulator of whole systems: two controllers and several clients, made of the objects the daemon and the library are made of,
 * on a virtual clock, a virtual network, virtual disks and one seeded generator. A seed decides everything; the same seed gives the
 * same run, event by event. sim_check.c holds what must be true at every step, sim_witness.c and sim_history.c what every answer
 * must be.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/core/cl.h"
#include "controller/core/ctl.h"
#include "tests/check/model.h"

/* Ends of the network: 1 and 2 are the controllers, SIM_CLIENT_END + i is client i. */
enum {
	SIM_NODES = 2,
	SIM_CLIENTS = 5,
	SIM_CLIENT_END = 3,
	SIM_ENDS = SIM_CLIENT_END + SIM_CLIENTS
};
enum { SIM_WORKERS = 8, SIM_SLOTS = SIM_WORKERS };
enum {
	SIM_LUN_FIRST = 256,
	SIM_FILE_BLOCKS = 24,
	SIM_EXTENTS_MAX = SIM_FILE_BLOCKS + 8,
	SIM_SESSIONS_MAX = 4096,
	SIM_LINK_LEASE_MS = 600
};
/* How soon the network, the disks and the supervisor do what is asked, in us. */
enum { SIM_US_MS = 1000, SIM_ARCHIVE = 255, SIM_STATE_COPIES = 4, SIM_DAMAGE_MAX = 8 };

/* What a disk does without saying so. */
enum sim_harm {
	SIM_HARM_NONE,
	SIM_HARM_ROT,
	SIM_HARM_UNREADABLE,
	SIM_HARM_LOSE,
	SIM_HARM_MISDIRECT,
	SIM_HARM_LOSE_RING,
	SIM_HARM_MISDIRECT_RING
};

/* What becomes of the next write of a state, which is four. */
enum sim_state_harm {
	SIM_STATE_SOUND,
	SIM_STATE_LOSE,
	SIM_STATE_MISDIRECT,
	SIM_STATE_EIO,
	SIM_STATE_ENOSPC,
	SIM_STATE_SHORT
};

struct sim;
struct simdisk;
struct simstore;

/* What the clocks say at the beginning. */
#define SIM_EPOCH_NS INT64_C(1600000000000000000)

/* One thing that will happen. When node is set, fn is not run in another life of that end: gen is compared. */
struct sim_event {
	uint64_t at_us, order;
	int node; /* the end it belongs to; 0: none */
	uint64_t gen;
	bool parked; /* until that end goes on */
	void (*fn)(struct sim *, struct sim_event *);
	void (*drop)(struct sim *, struct sim_event *); /* instead of fn when that end died first */
	uint64_t a, b, c;
	int error;
	void *ptr;
	uint8_t *p; /* owned by the event */
	uint32_t len;
};

struct sim_segment { /* bytes on their way */
	struct sim_segment *next;
	uint64_t at_us;
	uint32_t len;
	uint8_t p[];
};

/* A stream between two ends. */
struct sim_conn {
	uint64_t id[2]; /* as each end calls it */
	int end[2];
	int port; /* 0 access, 1 coordination, 2 heartbeat link */
	bool open, up;
	bool gone[2];	     /* that end has closed it, or died: it says and hears no more */
	unsigned doomed;     /* half-dead when the client has sent so many more frames */
	uint64_t busy_us[2]; /* nothing overtakes: when the last byte sent by that end arrives */
	struct sim_segment *queue[2], **last[2]; /* to that side */
};

/* What a life of a controller was told of its peer. */
struct sim_proof {
	uint64_t gen, peer, fenced; /* peer: its newest life; fenced: over up to that one */
	uint64_t promised_epoch, promised_by, greeted; /* by which life; whose hello came last */
	bool told;				       /* of a fence at all */
	bool quorate, was_quorate; /* is it; was it since it was ordered to be active */
};

struct sim_node {
	int id;
	bool up;
	uint64_t gen; /* grows with every start */
	uint64_t incarnation;
	struct ctl *ctl;
	struct simdisk *disk;
	struct simstore *store, *copy,
		*before; /* before: what the disk holds, which lost the last flush */
	bool lose_flush, rot_store, store_moved; /* moved: it does not have everything yet */
	struct pr_key copy_key;
	uint64_t copy_done;
	bool pump;
	uint64_t tags[256]; /* journal I/O under way, in order */
	unsigned tag_count;
	uint8_t state[SIM_STATE_COPIES][HA_STATE_BYTES];
	enum sim_state_harm state_harm;
	bool rot_state;	      /* a copy of it rots */
	uint64_t no_quorum;   /* so many losses of the quorum are not over */
	uint64_t unsaved_gen; /* the life in which it could not be saved */
	struct sim_event *saving;
	uint64_t timer_us, paused_until_us, settle_us;
	uint64_t
		arb_busy_until_us; /* a write of this controller is on its way to the LUN, dead or alive */
	int score;
	enum pr_role role; /* last seen by the supervisor */
	uint64_t persisted_epoch, committed_lsn;
	struct ctl_flush *flush;
	uint64_t flush_lsn;
	uint64_t slow_disk_us;
	int64_t clock_ns;		/* how far its clock is off */
	int journal_error, store_error; /* so the next write fails */
	enum sim_harm harm;		/* what its disk does next */
	/* the batches in its journal by LSN, as sim_witness.c saw them written */
	struct sim_batch **log;
	uint64_t log_count, seen_commit;
	bool lags; /* started with a damaged journal, it does not hold everything yet */
	uint64_t
		keyless_gen; /* the life in which its key was taken off the LUN: nothing of it lands any more */
	uint64_t fenced_gen; /* the life in which its fence was reported, done or not */
	uint64_t answered;   /* replies to operations that left it */
	uint64_t slow_store_us;
	uint64_t failed_gen; /* the life in which its journal failed */
	bool failed_told;    /* and what it ended with was written: it must know */
	bool log_recovered;  /* log ends where recovery found the tail */
	struct sim_proof proof;
};

/* Bytes of a journal that are not what was written there. */
struct sim_damage {
	uint32_t file, bytes;
	uint64_t at;
	uint8_t *is, *was;
};

/* One request of a client, from its first run to its answer and beyond. */
struct sim_op {
	struct model_op q;
	int client, worker;
	uint64_t session, sequence;
	uint32_t slot;
	bool sent;		/* session, slot and sequence are known */
	uint32_t crc, bytes;	/* of the encoded request, until then */
	uint64_t asked_us, low; /* low: it must not see less than this LSN */
	uint64_t lsn;		/* of its record; 0: none */
	uint32_t reply_crc;	/* of the reply stored with the record */
	bool answered, unknown;
	int error;
	struct model_answer told;
	uint64_t answered_us;
	uint64_t made, opened; /* the inode number it gave, by its record; which it opened */
};

/* Work on a file's data: sim_data.c. */
struct sim_task {
	enum {
		SIM_TASK_NONE,
		SIM_TASK_GET,
		SIM_TASK_IO,
		SIM_TASK_FLUSH,
		SIM_TASK_COMMIT,
		SIM_TASK_RETURN
	} state;
	bool write, failed, recalled, cut;
	bool again; /* written once more, since the LUN lost its cache */
	uint64_t ino, at, blocks, size, generation, stamp,
		power;		       /* power: the LUN's when it was written */
	unsigned extent_count, flying; /* flying: blocks on their way to the LUN */
	struct pr_extent extent[SIM_EXTENTS_MAX];
};

/* A block of the LUN: what was written there, and whose the committed rows say it is. */
struct sim_stamp {
	uint64_t ino, at, stamp; /* block at of inode ino, by that write; stamp 0: never */
};

enum sim_owner { SIM_OWNER_NONE, SIM_OWNER_FREE, SIM_OWNER_RESTS, SIM_OWNER_FILE };

struct sim_block {
	struct sim_stamp now, durable;
	enum sim_owner owner;
	uint64_t owner_ino, owner_block;
	bool dirty;
};

/* A block of a file: the last write whose commit has a record, and the last one that a truncation took away. */
struct sim_file_block {
	uint64_t ino, at, acked, cut;
	uint64_t reg; /* which register it is, since the last cut: sim_blocks.c */
};

/* One thread of a client: one request under way. */
struct sim_worker {
	struct sim_op *op;
	struct sim_task task;
	uint64_t next_us, close_ino; /* close_ino: a file it opened and gives back next */
};

struct sim_client {
	int end;
	struct cl *cl;
	uint64_t gen, paused_until_us;
	uint64_t session, wake_us,
		disturbed_us; /* disturbed: it may have been out of reach until then */
	uint64_t unserved_us; /* since then it is not served */
	bool up, session_stands, served;
	struct sim_worker worker[SIM_WORKERS];
	struct sim_op *unsent[SIM_WORKERS]; /* in the order they were asked */
	int unsent_count;
	uint64_t last_sequence[SIM_SLOTS];
	struct sim_op *in_slot[SIM_SLOTS];
};

/* What a run needs to count. */
enum { SIM_OPS_MIN = 1000, SIM_FAULTS_MIN = 20, SIM_FAILOVERS_MIN = 2 };

#define SIM_FAULT_KINDS                                             \
	SIM_FAULT(CRASH, "crash")                                   \
	SIM_FAULT(CRASH_BOTH, "power-loss")                         \
	SIM_FAULT(CUT_LINK, "link-cut")                             \
	SIM_FAULT(CUT_CLIENT, "client-cut")                         \
	SIM_FAULT(CLIENT_OFF, "client-cut-off")                     \
	SIM_FAULT(CLIENT_CRASH, "client-crash")                     \
	SIM_FAULT(CLIENT_PAUSE, "client-pause")                     \
	SIM_FAULT(LUN_CACHE, "lun-power-loss")                      \
	SIM_FAULT(RESET, "connection-reset")                        \
	SIM_FAULT(HALF_DEAD, "connection-half-dead")                \
	SIM_FAULT(CORRUPT, "bit-flip-in-frame")                     \
	SIM_FAULT(CLOCK, "clock-jump")                              \
	SIM_FAULT(JOURNAL_EIO, "journal-eio")                       \
	SIM_FAULT(JOURNAL_ENOSPC, "journal-enospc")                 \
	SIM_FAULT(JOURNAL_ROT, "journal-bit-rot")                   \
	SIM_FAULT(JOURNAL_UNREADABLE, "journal-unreadable")         \
	SIM_FAULT(JOURNAL_LOST, "journal-lost-write")               \
	SIM_FAULT(JOURNAL_MISDIRECTED, "journal-misdirected-write") \
	SIM_FAULT(STATE_ROT, "state-bit-rot")                       \
	SIM_FAULT(STATE_LOST, "state-lost-write")                   \
	SIM_FAULT(ARBITER_ROT, "arbiter-bit-rot")                   \
	SIM_FAULT(STORE_EIO, "store-eio")                           \
	SIM_FAULT(STORE_ENOSPC, "store-enospc")                     \
	SIM_FAULT(SLOW_DISK, "slow-disk")                           \
	SIM_FAULT(PAUSE, "pause")                                   \
	SIM_FAULT(SWITCHOVER, "switchover")                         \
	SIM_FAULT(FENCE_LIES, "fence-lies")                         \
	SIM_FAULT(ARBITER, "arbiter-unreachable")                   \
	SIM_FAULT(FALSE_DEATH, "false-death")                       \
	SIM_FAULT(CRASH_LOOP, "crash-loop")                         \
	SIM_FAULT(RING_LOST, "ring-lost-write")                     \
	SIM_FAULT(RING_MISDIRECTED, "ring-misdirected-write")       \
	SIM_FAULT(STATE_MISDIRECTED, "state-misdirected-write")     \
	SIM_FAULT(STATE_EIO, "state-eio")                           \
	SIM_FAULT(STATE_ENOSPC, "state-enospc")                     \
	SIM_FAULT(STATE_SHORT, "state-short-write")                 \
	SIM_FAULT(STORE_LOST, "store-lost-flush")                   \
	SIM_FAULT(STORE_UNREADABLE, "store-unreadable")             \
	SIM_FAULT(QUORUM, "quorum-lost")

enum sim_fault_kind {
#define SIM_FAULT(name, text) SIM_FAULT_##name,
	SIM_FAULT_KINDS
#undef SIM_FAULT
		SIM_FAULTS
};

struct sim_swarm {	/* drawn from the seed */
	uint32_t burst; /* of 1000 faults, so many bring another at once */
	uint32_t pages; /* of 1000 listings, so many are of a page */
	uint32_t clients, workers, ops, faults_mean_ms, net_min_us, net_max_us, disk_min_us,
		disk_max_us, keep, tear;
	uint32_t think_us, restart_min_ms, restart_max_ms, segments, overlay_kib, flush_ms;
	uint32_t names, inodes, cache_kib, fetch_max_us, lease_ms, lun_blocks, lun_stuck, data,
		fence_fails, fence_late;
	uint32_t weight[SIM_FAULTS];
	uint32_t node_fence_fails; /* of 1000 fences of a controller */
	uint32_t long_pauses;	   /* of 1000, for longer than a session lasts */
	uint32_t
		takeover_wait_ms; /* a fence only takes the key off the LUN, and the node lives; 0: it kills */
};

struct sim_rng {
	uint64_t r[4];
};

/* A request as its reply names it, and what it was answered. */
struct sim_asked {
	uint64_t session, sequence, answers;
	uint32_t slot, status;
	uint16_t type;
};

enum { SIM_LINK_TYPES = 32 };

enum { SIM_FAULTS_MAX = 8192 }; /* that can be left out one by one */

struct sim {
	uint64_t seed, now_us, order, hash, steps;
	struct sim_rng rng, fault_rng;
	bool trace, trace_frames, striking; /* striking: chance is fault_rng's */
	struct sim_event **heap;
	size_t heap_count, heap_cap;
	struct sim_swarm swarm;
	struct sim_node node[SIM_NODES + 1];
	struct sim_conn **conns, **open; /* all there ever were; those that stand */
	size_t conn_count, open_count;
	uint64_t next_conn;
	/* the LUN */
	struct ha_arbiter arbiter;
	uint8_t cluster; /* each byte of its name */
	uint8_t arbiter_copy[2][HA_ARBITER_BYTES];
	bool arbiter_set, arbiter_written, arbiter_cut;
	int arbiter_error; /* what a read of it ends with while it is out of reach; 0: EIO */
	uint64_t floor_epoch, floor_lsn;
	/* network: broken[a][b]: what a sends to b stalls */
	bool cut[SIM_ENDS][SIM_ENDS];
	/* clients */
	struct sim_client client[SIM_CLIENTS];
	bool volume_made;
	uint64_t root;
	uint64_t done_ops, acked_lsn, acked_epoch;
	/* what was committed, and what it means */
	struct sim_batch *batches, **committed;
	uint64_t committed_lsn, committed_cap;
	struct model *model;
	struct sim_op **ops;
	size_t op_count, op_cap;
	/* the LUN, and the rows as committed */
	struct sim_block *lun;
	struct simstore *rows;
	struct sim_file_block *files;
	size_t file_count, file_cap;
	struct sim_block_op *block_ops; /* of sim_blocks.c */
	size_t block_op_count, block_op_cap;
	uint64_t block_clock, next_reg;
	uint64_t stamp, lun_power, lun_writes, lun_reads, lun_refused, client_fences, evictions,
		recalls;
	bool fenced[SIM_SESSIONS_MAX];
	uint64_t seen_lsn; /* the highest LSN that an answered request has seen */
	/* what a script asks for: nodes that stay down; a number it keeps; no rest is to be expected */
	bool held[SIM_NODES + 1], ends_broken;
	uint64_t mark, until_us,
		healed_us; /* until: faults stop then at the latest; healed: when they did */
	int quarantined;   /* the node whose journal failed last; its disk is to be replaced */
	uint64_t corrupt, corrupted, replaced, cas_flying;
	struct sim_damage damage[SIM_DAMAGE_MAX];
	unsigned damage_count;
	int damaged;	    /* the node whose journal is */
	bool damage_counts; /* it need not have all it held */
	uint64_t lost_lsn;  /* of a lost write that nothing on its disk tells of yet; 0: none */
	uint64_t damage_round, harmed, state_harmed, store_harmed, lies;
	bool arbiter_rots;	 /* a copy of the record does, when it is read next */
	uint64_t quiet_until_us; /* nobody asks for anything; crashes: yet to come in that time */
	unsigned loop_crashes;
	bool fence_lies; /* the next fence is reported and does not happen */
	unsigned
		doomed_next; /* of so many connections, the next: they become half-dead in their first frames */
	int given_up; /* the node that the cluster holds for dead while it lives; 0: none */
	int lost; /* the node that the membership has lost, and whose fence was not reported yet */
	bool unstopped;		 /* nobody stops who was given up */
	uint64_t fence_takes_ms; /* as long a fence takes; 0: as is drawn */
	bool lone;		 /* at the end one controller is taken away for good */
	bool healing, counts;	 /* counts: enough happened */
	bool scripted;		 /* no fault is drawn: all asked for is enough */
	bool tail_lost; /* a disk may have lost its last writes: only who serves must hold all */
	uint64_t fault_index, fault_count[SIM_FAULTS],
		struck; /* count: of those that struck, not of those drawn */
	bool skip[SIM_FAULTS_MAX];
	/* supervisor */
	uint64_t ticket, promote_ticket, promote_until_us;
	int promoting, last_tried;
	/* counted */
	uint64_t failovers, served_gen; /* of who served last, in which life */
	int served_by;
	uint64_t fences_failed, resends, torn;
	/* the link, frame by frame */
	uint64_t link_frames[SIM_LINK_TYPES], old_acks; /* old: of an epoch before the record's */
	uint64_t repeats, repeated, swaps, swapped, stalled;
	bool ghosts; /* what comes late on a link that its receiver has left is read by it all the same */
	uint64_t ghost_frames, ghost_acks, ghosts_of_old;
	uint32_t mtu;	      /* longer frames get stuck on the link; 0: none does */
	struct sim_asked tap; /* this reply is looked at */
	uint64_t alarmed[HA_ALARM_COUNT];
	uint64_t crashes, promotions, faults, replies, full_copies, alarms, refused;
	uint64_t epoch_owner[4096], compared, trees, hashes;
	struct ctl *dead[4096]; /* freed between events, not inside their own step */
	size_t dead_count;
	const char *violation;
	char why[512];
};

/* sim_run.c */
struct sim *sim_new(uint64_t seed);
void sim_run(struct sim *);
/* The parts of a run, for who brings his own faults. */
void sim_begin(struct sim *);
void sim_finish(struct sim *); /* faults stop, and it must come to rest */
void sim_until(struct sim *, uint64_t end_us, bool (*until)(struct sim *));
bool sim_settled(struct sim *);
void sim_free(struct sim *);
bool sim_enough(const struct sim *);

/* sim_fault.c */
const char *sim_fault_name(enum sim_fault_kind);
void sim_struck(struct sim *, enum sim_fault_kind); /* it did harm */
void sim_swarm_draw(struct sim *);
void sim_swarm_print(const struct sim *);
int sim_active(const struct sim *); /* the controller that is active, or 0 */
void sim_fault(struct sim *, struct sim_event *);
void sim_heal(struct sim *);

/* sim_world.c */
void sim_rng_seed(struct sim_rng *, uint64_t seed);
uint64_t sim_random(struct sim *);
uint64_t sim_below(struct sim *, uint64_t n); /* 0..n-1 */
uint64_t sim_between(struct sim *, uint64_t lo, uint64_t hi);
bool sim_chance(struct sim *, uint32_t permille);
static inline bool sim_is_node(int end)
{
	return end >= 1 && end <= SIM_NODES;
}
struct sim_event *sim_after(struct sim *, uint64_t us, int node,
			    void (*fn)(struct sim *, struct sim_event *));
bool sim_run_one(struct sim *);
void sim_pause(struct sim *, int end,
	       uint64_t us); /* that end stands still for so long, or longer if it does already */
void sim_resume(struct sim *, int end);
void sim_mix(struct sim *, uint64_t); /* into the trace hash */
void sim_mix_bytes(struct sim *, const void *p, size_t len);
void sim_note(struct sim *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(struct sim *, const char *rule, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* sim_net.c */
uint64_t sim_connect(struct sim *, int from, int to, int port, uint64_t id_from);
void sim_send(struct sim *, int from, uint64_t id, const uint8_t *p, uint32_t len,
	      const uint8_t *p2, uint32_t len2);
void sim_hang_up(struct sim *, int from, uint64_t id);
void sim_drop_all(struct sim *, int end); /* that end died */
/* What does harm at once tells whether there was anything to harm. */
bool sim_net_reset(struct sim *); /* some connection breaks */
bool sim_net_half_dead(
	struct sim *); /* one end has lost it, the other hears late of what was under way */
void sim_cut(struct sim *, int a, int b, bool on); /* what a sends to b */
/* A frame of that type, sent by that controller, is on its way. */
bool sim_link_carries(const struct sim *, int from, uint16_t type);
/* That controller has lost the link; what it had sent comes so much later. */
void sim_link_half_dead(struct sim *, int node, uint64_t late_ms);
/* The connection by which that client asks that controller, as it calls it, or 0. */
uint64_t sim_access_of(const struct sim *, int client, int node);
void sim_dial_link(struct sim *); /* node 2 dials node 1 unless a link stands */
void sim_net_free(struct sim *);

/* sim_node.c */
void sim_node_boot(struct sim *, int node);
bool sim_node_crash(struct sim *, int node, const char *why);
void sim_node_step(struct sim *, int node, struct ctl_event *);
void sim_node_free(struct sim *, int node);

/* sim_super.c */
void sim_super_born(struct sim *, int node);
void sim_super_died(struct sim *, int node);
void sim_super_result(struct sim *, int node, uint64_t ticket, int error, const char *why);
void sim_super_fence(struct sim *, int node, uint64_t incarnation);
void sim_super_look(struct sim *);
void sim_super_quorum(struct sim *, int node, uint64_t us); /* lost for so long; 0: it is back */
void sim_super_give_up(
	struct sim *,
	int node); /* though it lives: fenced off the LUN, the other is to be active */
void sim_super_lose(struct sim *, int node); /* its machine falls silent and is gone */
void sim_super_confirm(
	struct sim *,
	int node); /* somebody says that the other is fenced, and orders this one to be active */
void sim_super_tick(struct sim *, struct sim_event *);

/* sim_client.c */
void sim_client_start(struct sim *, int client);
void sim_client_step(struct sim *, int client, struct cl_event *);
bool sim_client_crash(struct sim *, int client);
void sim_client_pump(struct sim *, struct sim_event *);
void sim_client_free(struct sim *);
bool sim_client_idle(const struct sim *);

/* sim_work.c */
struct sim_op *sim_work_pick(struct sim *, int client,
			     int worker); /* NULL: nothing is left to do */
/* It makes a file shorter, or longer. */
bool sim_op_cuts(const struct model_op *);
/* What it finds or makes, of that mode, is open then. */
bool sim_op_opens(const struct model_op *, uint32_t mode);
int sim_work_encode(struct pr_buf *, const struct model_op *, uint64_t mark);
/* The answer as the model gives it. False: it does not decode. */
bool sim_work_decode(const struct model_op *, const uint8_t *p, uint32_t len,
		     struct model_answer *);
void sim_work_done(struct sim *, struct sim_op *, const struct model_answer *);

/* sim_data.c */
bool sim_data_begin(struct sim *, int client, int worker, uint64_t ino);
/* The next request of the task under way; false: it waits for the LUN. */
bool sim_data_next(struct sim *, int client, int worker, struct model_op *ret);
void sim_data_answered(struct sim *, struct sim_op *, int error, const uint8_t *p, uint32_t len);
void sim_data_recalled(struct sim *, int client, uint64_t ino);
/* A file whose return is under way, or 0. */
uint64_t sim_data_returning(const struct sim *, int client);
/* May the client cut the file now? Its writes that are under way are not committed then. */
bool sim_data_cut(struct sim *, int client, uint64_t ino);

/* sim_lun.c */
const char *sim_lun_volume_create(const struct sim *, char out[200]);
void sim_lun_new(struct sim *);
void sim_lun_free(struct sim *);
void sim_lun_record(struct sim *, const struct pr_record *);
/* 0, or -EBUSY: the session was fenced. */
int sim_lun_write(struct sim *, uint64_t session, uint64_t at, uint64_t ino, uint64_t file_block,
		  uint64_t stamp);
void sim_lun_flush(struct sim *);
void sim_lun_lose_cache(struct sim *);
void sim_lun_fence(struct sim *, uint64_t session);
bool sim_lun_fenced(const struct sim *, uint64_t session);
void sim_lun_check_end(struct sim *);
void sim_file_written(struct sim *, uint64_t ino, uint64_t from, uint64_t blocks, uint64_t stamp);
void sim_file_cut(struct sim *, uint64_t ino, uint64_t size);
void sim_file_read(struct sim *, uint64_t ino, uint64_t at, uint64_t lun_block);

/* sim_blocks.c: reg is that of the block at, of inode ino */
void sim_blocks_written(struct sim *, uint64_t reg, uint64_t ino, uint64_t at, uint64_t stamp);
void sim_blocks_committed(struct sim *, uint64_t ino, uint64_t at, uint64_t stamp);
void sim_blocks_read(struct sim *, uint64_t reg, uint64_t ino, uint64_t at, uint64_t stamp);
/* What was written behind that stamp and not committed is gone. */
void sim_blocks_lost(struct sim *, uint64_t ino, uint64_t at, uint64_t durable);
void sim_blocks_check(struct sim *);

/* sim_history.c */
struct sim_op *sim_op_new(struct sim *, int client, int worker);
void sim_op_sent(struct sim *, struct sim_client *, const struct pr_frame *, const uint8_t *p);
/* error, p, len: as in CL_FX_DONE. */
void sim_op_answered(struct sim *, struct sim_op *, int error, const uint8_t *p, uint32_t len);
/* These bytes of frames leave for a client: no operation is answered before its record is committed. */
void sim_op_leaving(struct sim *, int node, const uint8_t *p, uint32_t len);
void sim_op_executed(struct sim *, const struct pr_record *, const struct pr_row_slot *);
const char *sim_op_waiting(const struct sim *, char out[200]); /* the oldest without an answer */
void sim_history_free(struct sim *);

/* sim_journal.c */
void sim_journal_check_end(struct sim *);

/* sim_witness.c */
void sim_witness_write(struct sim *, int node, const struct jr_io *);
void sim_witness_restart(struct sim *, int node);
void sim_witness_commit(struct sim *, int node);
bool sim_session_stands(const struct sim *, uint64_t session);
bool sim_all_are_back(const struct sim *);
bool sim_is_open(const struct sim *, uint64_t ino);
void sim_witness_free(struct sim *);

/* sim_proof.c: a fact or a message that comes to a controller; what it is about to write to the record. */
void sim_proof_event(struct sim *, int node, const struct ctl_event *);
void sim_proof_cas(struct sim *, int node, const struct ha_arbiter *expect,
		   const struct ha_arbiter *next);

/* sim_check.c */
void sim_check_serving(struct sim *, int node);
void sim_check_step(struct sim *, int node);
void sim_check_stores(struct sim *); /* I14 */
void sim_check_end(struct sim *);
