/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding the LUNs of a volume: the controller names them by UUID and may hint at a path; only the
 * label decides. The session's key is held on each before anything is read or written: taking it
 * away is how a dead client is proven silent.
 */
#include "client/io/mdc_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lun/lun.h"

static const char luns_file[] = "/etc/mdcpair/luns";

struct search {
	char *paths;
	const char *between, *source; /* what separates the paths; who named them */
	char looked[400];	      /* at what, and what is wrong with it */
};

/* Where the comment of a line begins, or its end: a # inside of a path is none. */
static size_t line_length(const char *line)
{
	size_t n = strcspn(line, "#\n");

	while (line[n] == '#' && n > 0 && line[n - 1] != ' ' && line[n - 1] != '\t')
		n += 1 + strcspn(line + n + 1, "#\n");
	return n;
}

static char *read_luns_file(void)
{
	FILE *f = fopen(luns_file, "re");
	char *text = NULL, *line = NULL;
	size_t size = 0, len = 0;

	if (!f)
		return NULL;
	while (getline(&line, &size, f) > 0) {
		size_t n = line_length(line);
		char *more = realloc(text, len + n + 2);

		if (!more)
			break;
		text = more;
		memcpy(text + len, line, n);
		text[len + n] = '\n';
		text[len + n + 1] = '\0';
		len += n + 1;
	}
	free(line);
	fclose(f);
	return text;
}

static void search_start(struct search *s, const char *given)
{
	const char *env = getenv("MDCPAIR_LUNS");

	*s = (struct search){.source = "the option luns=", .between = ","};
	if (given) {
		s->paths = strdup(given);
	} else if (env && *env) {
		s->paths = strdup(env);
		s->source = "MDCPAIR_LUNS";
	} else {
		s->paths = read_luns_file();
		s->source = luns_file;
		s->between = "\n";
	}
}

static void looked(struct search *s, const char *why)
{
	size_t n = strlen(s->looked);

	snprintf(s->looked + n, sizeof(s->looked) - n, "%s%s", n ? "; " : "", why);
}

/* Opens path if its label has the UUID. NULL: added to what was looked at. */
static struct lun *try_path(struct search *s, const char *path, const struct pr_uuid *uuid,
			    unsigned int flags)
{
	struct lun_label label;
	struct lun *lun;
	char why[400];

	if (lun_open(path, flags, &lun, why, sizeof(why)) < 0) {
		looked(s, why);
		return NULL;
	}
	if (lun_kind(lun) == LUN_ISCSI) {
		snprintf(
			why, sizeof(why),
			"%s: file data does not go through a URL; let the kernel log in (iscsiadm)",
			path);
	} else if (lun_label_read(lun, &label, why, sizeof(why)) == 0) {
		if (pr_uuid_equal(&label.lun, uuid))
			return lun;
		snprintf(why, sizeof(why), "%s: another LUN, %s", path, label.name);
	}
	looked(s, why);
	lun_close(lun);
	return NULL;
}

static char *trimmed(char *path)
{
	size_t n;

	path += strspn(path, " \t");
	for (n = strlen(path); n > 0 && (path[n - 1] == ' ' || path[n - 1] == '\t'); n--)
		;
	path[n] = '\0';
	return path;
}

static struct lun *find(struct search *s, const struct pr_lun_ref *ref, unsigned int flags)
{
	char hint[256], *copy = s->paths ? strdup(s->paths) : NULL, *rest = copy, *path;
	struct lun *lun = NULL;

	s->looked[0] = '\0';
	while (!lun && (path = strsep(&rest, s->between))) {
		path = trimmed(path);
		if (*path)
			lun = try_path(s, path, &ref->uuid, flags);
	}
	free(copy);
	if (!lun && ref->hint.len)
		lun = try_path(s, pr_bytes_copy(hint, sizeof(hint), ref->hint), &ref->uuid, flags);
	return lun;
}

/* The session that had the key is over, and its process is there still, a stopped one for instance. */
static int key_is_held(const struct mdc *mdc, struct lun *lun)
{
	char who[128];

	lun_key_holder(lun, mdc->key, who, sizeof(who));
	return mdc_fail(-EBUSY,
			"LUN %s: the key of this session is held by %s, whose session is over; "
			"end it (SIGKILL, should it be stopped) and try again",
			lun_path(lun), who[0] ? who : "a process that cannot be seen from here");
}

static int open_disk(struct mdc *mdc, struct mdc_disk *disk, struct search *s,
		     const struct pr_lun_ref *ref)
{
	unsigned int flags = mdc->flags & MDC_OPEN_READER ? LUN_READ_ONLY : 0;
	char uuid[PR_UUID_TEXT];
	int r;

	pr_bytes_copy(disk->name, sizeof(disk->name), ref->name);
	disk->number = ref->lun;
	disk->files = mdc->files;
	disk->lun = find(s, ref, flags);
	if (!disk->lun)
		return mdc_fail(
			-ENODEV,
			"LUN %s (%s) of volume %s was not found; name its path by the option "
			"luns=PATH, MDCPAIR_LUNS or %s. Looked at %s",
			disk->name, pr_uuid_format(uuid, &ref->uuid), mdc->volume, luns_file,
			s->looked[0] ? s->looked : "nothing: the controllers know no path of it");
	disk->fd = lun_fd(disk->lun);
	r = lun_key_hold(disk->lun, mdc->key);
	if (r == -EBUSY)
		return key_is_held(mdc, disk->lun);
	if (r < 0)
		return mdc_fail(r, "LUN %s: cannot hold the key of this session: %s",
				lun_path(disk->lun), strerror(-r));
	return 0;
}

int mdc_files_open(struct mdc *mdc, const struct pr_session_open_r *open)
{
	struct mdc_files *files = calloc(1, sizeof(*files));
	struct pr_list it = open->luns;
	struct pr_lun_ref ref;
	struct search search;
	int r;

	if (!files)
		return mdc_fail(-ENOMEM, "no memory for the data path");
	files->mdc = mdc;
	files->dirty_end = &files->dirty;
	mdc->files = files;
	r = mdc_data_need(mdc->loop);
	if (r < 0)
		return r;
	if (open->block_bytes != CL_BLOCK_BYTES)
		return mdc_fail(-EPROTONOSUPPORT, "blocks of %u bytes are not understood",
				open->block_bytes);
	if (it.count > 64)
		return mdc_fail(-EPROTONOSUPPORT, "more than 64 LUNs are not understood");
	files->hash_size = 256;
	files->hash = calloc(files->hash_size, sizeof(struct mdc_inode *));
	files->disks = calloc(it.count ? it.count : 1, sizeof(*files->disks));
	if (!files->hash || !files->disks)
		return mdc_fail(-ENOMEM, "no memory for the data path");
	search_start(&search, mdc->luns);
	while (r == 0 && pr_lun_ref_next(&it, &ref))
		r = open_disk(mdc, &files->disks[files->disk_count++], &search, &ref);
	free(search.paths);
	return r;
}

struct mdc_disk *mdc_disk_of(struct mdc_files *files, uint16_t number)
{
	for (uint32_t i = 0; i < files->disk_count; i++)
		if (files->disks[i].number == number)
			return &files->disks[i];
	return NULL;
}

void mdc_files_free(struct mdc *mdc)
{
	struct mdc_files *files = mdc->files;

	if (!files)
		return;
	for (uint32_t i = 0; i < files->disk_count; i++)
		lun_close(files->disks[i].lun);
	mdc_inodes_free(files);
	mdc->files = NULL;
	free(files->disks);
	free(files->hash);
	free(files);
}
