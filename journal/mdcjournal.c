/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mdcjournal: looks at a journal on disk with the daemon's own parser and recovery, and changes
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal/core/format.h"
#include "journal/io/jx.h"
#include "proto/assert_stderr.h"
#include "proto/command_line.h"
#include "proto/pr.h"
#include "proto/version.h"

enum { EXIT_WHOLE, EXIT_TORN, EXIT_DAMAGED, EXIT_LOST, EXIT_USAGE = 64, EXIT_NO_INPUT = 66 };
enum { TEXT_BYTES = 1 << 20, TRIES_IN_USE = 5 };

struct options {
	const char *dir;
	bool json, archive;
	uint64_t from, to;
};

struct look {
	struct options o;
	struct jr_config cfg;
	char dir[4096], who[128];
	bool in_use;
	struct jx *jx;
	struct jr *jr;
	struct jr_event opened;
	json_t *damage; /* what was reported, also for text */
};

static const char usage[] =
	"Usage: mdcjournal dump|verify DIR [--json] [--from LSN] [--to LSN]\n"
	"       mdcjournal dump --archive DIR [--json]\n"
	"\n"
	"  dump       print the batches and records of a controller's journal\n"
	"  verify     read all of it, report damage with LSN, file and offset, and say\n"
	"             what the daemon's recovery would do\n"
	"\n"
	"  DIR        a controller's directory, or the journal's own (with the file ring)\n"
	"  --from, --to LSN   only what concerns these LSNs\n"
	"  --archive  the batches that were cut off and set aside\n"
	"  --json     for programs: dump prints one object per batch and line\n"
	"  -h, --help, --version\n"
	"\n"
	"Nothing is changed. A daemon may be running; then the tail moves while it is read.\n"
	"\n"
	"Exit status: 0 whole; 1 a torn tail, which recovery leaves out; 2 damaged:\n"
	"batches must come from the peer; 3 lost: only a full copy from the peer helps, or\n"
	"the journal of another cluster; 64 wrong command line; 66 no journal there.\n";

static const char *const verdicts[] = {
	[JR_CLEAN] = "clean",	[JR_EMPTY] = "empty", [JR_TORN] = "torn",
	[JR_REPAIR] = "repair", [JR_HALT] = "halt",   [JR_FOREIGN] = "foreign",
};

static const char *const advice[] = {
	[JR_CLEAN] = "Recovery would open it as it is.",
	[JR_EMPTY] = "Recovery would open it as a new journal.",
	[JR_TORN] = "Recovery would leave out the torn tail: it was never reported durable.",
	[JR_REPAIR] =
		"Recovery would fetch the damaged batches from the peer; without a peer the daemon stops.",
	[JR_HALT] =
		"Recovery would stop: what was acknowledged cannot be told. A full copy from the peer helps.",
	[JR_FOREIGN] = "Recovery would refuse it.",
};

static int verdict_exit(enum jr_verdict v)
{
	static const int codes[] = {
		[JR_CLEAN] = EXIT_WHOLE,    [JR_EMPTY] = EXIT_WHOLE, [JR_TORN] = EXIT_TORN,
		[JR_REPAIR] = EXIT_DAMAGED, [JR_HALT] = EXIT_LOST,   [JR_FOREIGN] = EXIT_LOST,
	};

	return codes[v];
}

static const char *file_name(uint8_t file, char out[32])
{
	if (file == 0)
		snprintf(out, 32, "ring");
	else
		snprintf(out, 32, "segment-%03u", file);
	return out;
}

static void damage_add(struct look *k, const struct jr_event *ev)
{
	char name[32];

	json_array_append_new(k->damage,
			      json_pack("{s:I, s:s, s:I, s:s}", "lsn", (json_int_t)ev->lsn, "file",
					file_name(ev->file, name), "offset", (json_int_t)ev->offset,
					"why", ev->why));
}

/* Runs the core until an event of this type comes. */
static struct jr_event wait_for(struct look *k, enum jr_event_type type)
{
	struct jr_event ev;

	for (;;) {
		while (jr_next_event(k->jr, &ev)) {
			if (ev.type == JR_EV_DAMAGE)
				damage_add(k, &ev);
			if (ev.type == type)
				return ev;
		}
		jx_drive(k->jx, k->jr);
	}
}

static int look_once(struct look *k, char *why, size_t size)
{
	struct jx_config c = {.dir = k->dir, .read_only = true};
	int r = jx_geometry(k->o.dir, &k->cfg, k->dir, sizeof(k->dir), why, size);

	if (r < 0)
		return r;
	k->cfg.look_only = true;
	c.journal = k->cfg;
	k->in_use = jx_in_use(k->dir, k->who, sizeof(k->who));
	r = jx_open_with(&c, &k->jx, why, size);
	if (r < 0)
		return r;
	k->damage = json_array();
	k->jr = jr_new(&k->cfg);
	if (!k->jr || !k->damage) {
		snprintf(why, size, "%.300s: no memory, or impossible sizes", k->dir);
		return -ENOMEM;
	}
	jr_open(k->jr);
	k->opened = wait_for(k, JR_EV_OPENED);
	return 0;
}

static void look_end(struct look *k)
{
	jr_free(k->jr);
	jx_close(k->jx);
	json_decref(k->damage);
	k->jr = NULL;
	k->jx = NULL;
	k->damage = NULL;
}

/*
 * A running daemon writes while this reads, so its tail may look torn: look again before saying so.
 */
static int look_begin(struct look *k, char *why, size_t size)
{
	struct timespec pause = {.tv_nsec = 20000000};
	int r = 0;

	for (int i = 0; i < TRIES_IN_USE; i++) {
		r = look_once(k, why, size);
		if (r < 0 || !k->in_use || k->opened.verdict == JR_CLEAN ||
		    k->opened.verdict == JR_EMPTY)
			break;
		if (i + 1 < TRIES_IN_USE)
			look_end(k);
		nanosleep(&pause, NULL);
	}
	if (k->in_use) /* what was written behind the end after the end was read */
		k->opened.missing_lsn = 0;
	return r;
}

/* ---- verify ---- */

static bool concerns(const struct options *o, uint64_t lsn)
{
	return lsn == 0 || (lsn >= o->from && lsn <= o->to);
}

static const char *verdict_word(const struct look *k)
{
	return k->opened.missing_lsn > 0 ? "missing" : verdicts[k->opened.verdict];
}

static void verify_text(const struct look *k)
{
	const struct jr_event *ev = &k->opened;
	size_t i;
	json_t *d;

	printf("%s: LSN %" PRIu64 " to %" PRIu64 ", epoch %" PRIu64 ", %" PRIu64 " of %" PRIu64
	       " MiB\n",
	       k->dir, ev->first_lsn, ev->tail_lsn, ev->tail_epoch, jr_used_bytes(k->jr) >> 20,
	       jr_size_bytes(k->jr) >> 20);
	if (k->in_use)
		printf("in use by %s: the tail may have moved on\n",
		       k->who[0] ? k->who : "another process");
	json_array_foreach(k->damage, i, d) if (concerns(&k->o, (uint64_t)json_integer_value(
									json_object_get(d, "lsn"))))
		printf("damage: LSN %lld, %s offset %lld: %s\n",
		       (long long)json_integer_value(json_object_get(d, "lsn")),
		       json_string_value(json_object_get(d, "file")),
		       (long long)json_integer_value(json_object_get(d, "offset")),
		       json_string_value(json_object_get(d, "why")));
	if (ev->missing_lsn > 0)
		printf("missing: LSN %" PRIu64 " to %" PRIu64
		       ": a batch behind them says that they were committed\n",
		       ev->tail_lsn + 1, ev->missing_lsn);
	printf("verdict: %s%s%s\n%s\n", verdict_word(k), ev->why[0] ? ": " : "", ev->why,
	       ev->missing_lsn > 0
		       ? "Recovery would open it, but nobody is promoted on it before the peer has brought what is missing."
		       : advice[ev->verdict]);
}

static void verify_json(const struct look *k)
{
	const struct jr_event *ev = &k->opened;
	json_t *shown = json_array(), *d, *j;
	size_t i;

	json_array_foreach(k->damage, i, d) if (concerns(&k->o, (uint64_t)json_integer_value(
									json_object_get(d, "lsn"))))
		json_array_append(shown, d);
	j = json_pack("{s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
		      "journal", k->dir, "in_use", k->in_use, "verdict", verdict_word(k), "why",
		      ev->why, "first_lsn", (json_int_t)ev->first_lsn, "tail_lsn",
		      (json_int_t)ev->tail_lsn, "commit_lsn", (json_int_t)ev->commit_lsn,
		      "tail_epoch", (json_int_t)ev->tail_epoch, "damaged_first",
		      (json_int_t)ev->damaged_first, "damaged_last", (json_int_t)ev->damaged_last,
		      "missing_lsn", (json_int_t)ev->missing_lsn, "used_bytes",
		      (json_int_t)jr_used_bytes(k->jr), "size_bytes",
		      (json_int_t)jr_size_bytes(k->jr), "damage", shown);
	json_dumpf(j, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(j);
}

static int verify(struct look *k)
{
	if (k->o.json)
		verify_json(k);
	else
		verify_text(k);
	/* What is wrong at the tail of a journal in use is on its way to being right. */
	if (k->in_use && k->opened.verdict == JR_TORN)
		return EXIT_WHOLE;
	if (k->opened.missing_lsn > 0)
		return EXIT_DAMAGED;
	return verdict_exit(k->opened.verdict);
}

/* ---- dump ---- */

static void records_print(const struct jr_batch *b, const struct options *o, json_t *list)
{
	static char text[TEXT_BYTES];
	struct pr_cur c = pr_cur_on(b->payload, b->payload_bytes);
	struct pr_record record;

	while (c.left > 0) {
		struct pr_text t = pr_text_on(text, sizeof(text));

		if (!pr_record_get(&c, &record)) {
			pr_text_str(&t, "not a record: ");
			pr_cur_why(&c, &t);
			c.left = 0;
		} else if (!concerns(o, record.lsn)) {
			continue;
		} else {
			pr_record_explain(&t, &record);
		}
		if (list)
			json_array_append_new(list, json_string(text));
		else
			printf(" %s\n", text);
	}
}

static void batch_print(const struct jr_batch *b, const struct options *o)
{
	char hash[PR_HASH_TEXT], prev[PR_HASH_TEXT];
	json_t *list, *j;

	pr_hash_format(hash, &b->hash);
	pr_hash_format(prev, &b->prev_hash);
	if (!o->json) {
		printf("batch %" PRIu64 "..%" PRIu64 " epoch=%" PRIu64 " commit=%" PRIu64
		       " payload=%u image=%u hash=%s prev=%s\n",
		       b->first_lsn, b->last_lsn, b->epoch, b->commit_lsn, b->payload_bytes,
		       b->image_bytes, hash, prev);
		records_print(b, o, NULL);
		return;
	}
	list = json_array();
	records_print(b, o, list);
	j = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o}", "first_lsn",
		      (json_int_t)b->first_lsn, "last_lsn", (json_int_t)b->last_lsn, "epoch",
		      (json_int_t)b->epoch, "commit_lsn", (json_int_t)b->commit_lsn,
		      "payload_bytes", (json_int_t)b->payload_bytes, "image_bytes",
		      (json_int_t)b->image_bytes, "hash", hash, "prev_hash", prev, "records", list);
	json_dumpf(j, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(j);
}

static void gap_print(uint64_t first, uint64_t last, const struct options *o)
{
	if (o->json)
		printf("{\"first_lsn\":%" PRIu64 ",\"last_lsn\":%" PRIu64 ",\"damaged\":true}\n",
		       first, last);
	else
		printf("batch %" PRIu64 "..%" PRIu64 " damaged\n", first, last);
}

static int dump(struct look *k)
{
	uint64_t lsn = k->o.from > k->opened.first_lsn ? k->o.from : k->opened.first_lsn;
	uint64_t end = k->o.to < k->opened.tail_lsn ? k->o.to : k->opened.tail_lsn, bad = 0;
	struct jr_event ev;

	while (lsn <= end) {
		jr_fetch(k->jr, lsn, lsn);
		ev = wait_for(k, JR_EV_FETCHED);
		if (!ev.batch) {
			if (bad == 0)
				bad = lsn;
			lsn++;
			continue;
		}
		if (bad > 0)
			gap_print(bad, ev.batch->first_lsn - 1, &k->o);
		bad = 0;
		batch_print(ev.batch, &k->o);
		lsn = ev.batch->last_lsn + 1;
		jr_batch_unref(ev.batch);
	}
	if (bad > 0)
		gap_print(bad, end, &k->o);
	if (k->opened.why[0])
		fprintf(stderr, "mdcjournal: %s: %s\n", k->dir, k->opened.why);
	return verdict_exit(k->opened.verdict);
}

/* The archive is a row of images; what is damaged in it is passed over page by page. */
static int archive_dump(const struct options *o, const char *dir)
{
	static uint8_t image[JR_BATCH_BYTES_MAX];
	char path[4200];
	const char *why;
	struct jr_header h;
	struct jr_batch *b;
	off_t at = 0;
	int fd, bad = 0;

	snprintf(path, sizeof(path), "%s/archive", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "mdcjournal: %s: %s\n", path, strerror(errno));
		return EXIT_NO_INPUT;
	}
	while (pread(fd, image, JR_PAGE_BYTES, at) == JR_PAGE_BYTES) {
		b = NULL;
		if (!jr_header_peek(image, &h) &&
		    pread(fd, image, h.image_bytes, at) == (ssize_t)h.image_bytes)
			b = jr_batch_open(h.cluster, image, h.image_bytes, &why);
		if (b && concerns(o, b->first_lsn))
			batch_print(b, o);
		bad += !b;
		at += b ? (off_t)b->image_bytes : JR_PAGE_BYTES;
		jr_batch_unref(b);
	}
	close(fd);
	if (bad)
		fprintf(stderr, "mdcjournal: %s: %d pages belong to no whole batch\n", path, bad);
	return EXIT_WHOLE;
}

/* ---- the command line ---- */

static bool lsn_parse(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static void say_error(const char *why)
{
	json_t *o = json_pack("{s:s}", "error", why);

	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static int run(const char *command, const struct options *o)
{
	struct look k = {.o = *o};
	char why[512] = "";
	int r;

	if (o->archive && strcmp(command, "dump") != 0) {
		fprintf(stderr,
			"mdcjournal: --archive goes with dump only\nTry: mdcjournal --help\n");
		return EXIT_USAGE;
	}
	if (o->archive) {
		r = jx_geometry(o->dir, &k.cfg, k.dir, sizeof(k.dir), why, sizeof(why));
		if (r == 0)
			return archive_dump(o, k.dir);
	} else {
		r = look_begin(&k, why, sizeof(why));
	}
	if (r < 0) {
		fprintf(stderr, "mdcjournal: %s\n", why);
		if (o->json)
			say_error(why);
		look_end(&k);
		return EXIT_NO_INPUT;
	}
	r = strcmp(command, "dump") == 0 ? dump(&k) : verify(&k);
	look_end(&k);
	if (fflush(stdout) != 0 && r == EXIT_WHOLE)
		r = EXIT_NO_INPUT;
	return r;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"from", required_argument, NULL, 'f'},
		{"to", required_argument, NULL, 't'},
		{"archive", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.to = UINT64_MAX};
	int c;

	pr_assert_to_stderr();
	pr_output_must_arrive();
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			o.json = true;
			break;
		case 'a':
			o.archive = true;
			break;
		case 'f':
		case 't':
			if (!lsn_parse(optarg, c == 'f' ? &o.from : &o.to))
				return pr_wrong_usage(EXIT_USAGE, "not an LSN: %s", optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			printf("mdcjournal %s\n", pr_version());
			return 0;
		default:
			return pr_wrong_usage(EXIT_USAGE, NULL);
		}
	}
	if (optind < argc && strcmp(argv[optind], "dump") != 0 &&
	    strcmp(argv[optind], "verify") != 0)
		return pr_wrong_usage(EXIT_USAGE, "unknown command: %s", argv[optind]);
	if (argc - optind > 2)
		return pr_wrong_usage(EXIT_USAGE, "no such word is known: %s", argv[optind + 2]);
	if (argc - optind < 2)
		return pr_wrong_usage(EXIT_USAGE, "a command and a directory are wanted");
	o.dir = argv[optind + 1];
	return run(argv[optind], &o);
}
