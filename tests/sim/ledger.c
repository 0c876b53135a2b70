/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/assert.h"

void ledger_begin(struct ledger *l, const char *path, uint64_t from)
{
	*l = (struct ledger){.path = path, .first = from, .next = from};
}

void ledger_add(struct ledger *l, const char *name, uint64_t *value)
{
	ASSERT(l->sums < LEDGER_SUMS);
	l->sum[l->sums++] = (struct ledger_sum){name, value};
}

static int failed(const struct ledger *l)
{
	fprintf(stderr, "%s: %s\n", l->path, strerror(errno));
	return -1;
}

static uint64_t *place(struct ledger *l, const char *name)
{
	if (strcmp(name, "first") == 0)
		return &l->first;
	if (strcmp(name, "next") == 0)
		return &l->next;
	for (unsigned i = 0; i < l->sums; i++)
		if (strcmp(name, l->sum[i].name) == 0)
			return l->sum[i].value;
	return NULL;
}

static int read_lines(struct ledger *l, FILE *f)
{
	char line[128], name[64];
	uint64_t value, *at;

	for (unsigned n = 1; fgets(line, sizeof(line), f); n++) {
		at = sscanf(line, "%" SCNu64 " %63[^\n]", &value, name) == 2 ? place(l, name)
									     : NULL;
		if (!at) {
			fprintf(stderr, "%s:%u: no line of a ledger of this program\n", l->path, n);
			return -1;
		}
		*at = value;
	}
	return 0;
}

/* One of an earlier version, which had no "first", may have counted seeds twice, or left some out. */
static int look(const struct ledger *l)
{
	if (l->next >= l->first && *l->sum[0].value == l->next - l->first)
		return 0;
	fprintf(stderr,
		"%s: it holds %" PRIu64 " seeds, but is to hold each from %" PRIu64
		" to before %" PRIu64 " once; begin a new one\n",
		l->path, *l->sum[0].value, l->first, l->next);
	return -1;
}

int ledger_read(struct ledger *l)
{
	FILE *f = l->path ? fopen(l->path, "r") : NULL;
	int r;

	if (!f)
		return !l->path || errno == ENOENT ? 0 : failed(l);
	r = read_lines(l, f);
	fclose(f);
	return r ? r : look(l);
}

int ledger_write(const struct ledger *l)
{
	char tmp[4096];
	FILE *f;
	int r;

	if (!l->path)
		return 0;
	snprintf(tmp, sizeof(tmp), "%s.new", l->path);
	f = fopen(tmp, "w");
	if (!f)
		return failed(l);
	fprintf(f, "%" PRIu64 " first\n%" PRIu64 " next\n", l->first, l->next);
	for (unsigned i = 0; i < l->sums; i++)
		fprintf(f, "%" PRIu64 " %s\n", *l->sum[i].value, l->sum[i].name);
	r = fflush(f) || fsync(fileno(f)) ? failed(l) : 0;
	fclose(f);
	return r || rename(tmp, l->path) == 0 ? r : failed(l);
}
