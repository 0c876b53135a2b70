/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both journals, read again from their files when nobody uses them: whole, and the same batch at the end. */
#include "tests/crash/crash.h"

#include <string.h>

#include "journal/io/jx.h"

struct end {
	uint64_t tail_lsn;
	struct pr_hash hash;
	char bad[400]; /* empty: it is whole */
};

static bool take_events(struct jr *jr, bool verifying, struct end *ret)
{
	bool opened = false;
	struct jr_event ev;

	while (jr_next_event(jr, &ev)) {
		/* At the opening also what is only noted: an entry that is missing behind data that is there. */
		if (ev.type == JR_EV_DAMAGE && verifying)
			snprintf(ret->bad, sizeof(ret->bad), "LSN %llu: %s",
				 (unsigned long long)ev.lsn, ev.why);
		if (ev.type != JR_EV_OPENED)
			continue;
		opened = true;
		ret->tail_lsn = ev.tail_lsn;
		ret->hash = ev.tail_hash;
		if (ev.verdict != JR_CLEAN)
			snprintf(ret->bad, sizeof(ret->bad), "verdict %d at the end: %s",
				 ev.verdict, ev.why);
	}
	return opened;
}

static void read_journal(const char *dir, int node, struct end *ret)
{
	struct jx_config c = {.engine = AIO_THREADS, .read_only = true};
	char path[512], journal[600], why[300] = "";
	struct jx *jx = NULL;
	struct jr *jr;
	int error;

	snprintf(path, sizeof(path), "%s/n%d", dir, node);
	error = jx_geometry(path, &c.journal, journal, sizeof(journal), why, sizeof(why));
	c.dir = journal;
	c.journal.look_only = true;
	if (!error)
		error = jx_open_with(&c, &jx, why, sizeof(why));
	if (error) {
		snprintf(ret->bad, sizeof(ret->bad), "%s", why);
		return;
	}
	jr = jr_new(&c.journal);
	jr_open(jr);
	jx_drive(jx, jr);
	if (!take_events(jr, false, ret)) {
		snprintf(ret->bad, sizeof(ret->bad), "recovery does not end");
	} else if (!ret->bad[0]) {
		jr_verify(jr, jr_first_lsn(jr));
		jx_drive(jx, jr);
		take_events(jr, true, ret);
	}
	jr_free(jr);
	jx_close(jx);
}

bool crash_journal_whole(const char *dir, int node, char why[512])
{
	struct end end = {0};

	disk_node(0);
	read_journal(dir, node, &end);
	snprintf(why, 512, "%s", end.bad);
	return !end.bad[0];
}

uint64_t crash_journal_tail(const char *dir, int node)
{
	struct end end = {0};

	disk_node(0);
	read_journal(dir, node, &end);
	return end.tail_lsn;
}

void crash_journals_compare(struct sim *s, const char *dir)
{
	struct end end[SIM_NODES + 1] = {0};

	disk_node(0);
	for (int n = 1; n <= SIM_NODES && !s->violation; n++) {
		read_journal(dir, n, &end[n]);
		if (end[n].bad[0])
			sim_fail(s, "journal", "node %d: %s", n, end[n].bad);
	}
	if (s->violation)
		return;
	if (end[1].tail_lsn != end[2].tail_lsn ||
	    memcmp(&end[1].hash, &end[2].hash, sizeof(end[1].hash)) != 0)
		sim_fail(s, "I11", "the journals end at LSN %llu and %llu, or with another hash",
			 (unsigned long long)end[1].tail_lsn, (unsigned long long)end[2].tail_lsn);
}

/* The simulator's own end of a run, which no sweep comes to: there are no virtual disks. */
void sim_journal_check_end(struct sim *s)
{
	sim_fail(s, "end", "the journals are files: crash_journals_compare");
}
