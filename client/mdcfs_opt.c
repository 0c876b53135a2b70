/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line. Options that mean something to mount(8), fstab or systemd alone are taken and
 * forgotten; one that nobody knows is refused by its name, since a mount that silently lacks what
 * was asked for is worse than none.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/mdcfs.h"
#include "proto/command_line.h"

enum kind { IGNORED, KERNEL, TEXT, NUMBER, FLAG };

enum what {
	NOTHING,
	LUNS,
	TIMEOUT,
	ACCESS_PORT,
	COORD_PORT,
	READONLY,
	NOATIME,
	NODIRATIME,
	BACKGROUND
};

static const struct option_row {
	const char *name;
	enum kind kind; /* KERNEL: handed on to the kernel's mount, by libfuse */
	enum what what;
	unsigned long max;
} rows[] = {
	{"luns", TEXT, LUNS, 0},
	{"timeout", NUMBER, TIMEOUT, 86400},
	{"access_port", NUMBER, ACCESS_PORT, 65535},
	{"coord_port", NUMBER, COORD_PORT, 65535},
	{"bg", FLAG, BACKGROUND, 0},
	{"ro", KERNEL, READONLY, 0},
	{"noatime", KERNEL, NOATIME, 0},
	{"nodiratime", FLAG, NODIRATIME, 0},
	{"allow_other", KERNEL, NOTHING, 0},
	{"allow_root", KERNEL, NOTHING, 0},
	{"default_permissions", KERNEL, NOTHING, 0},
	{"nosuid", KERNEL, NOTHING, 0},
	{"suid", KERNEL, NOTHING, 0},
	{"nodev", KERNEL, NOTHING, 0},
	{"dev", KERNEL, NOTHING, 0},
	{"noexec", KERNEL, NOTHING, 0},
	{"exec", KERNEL, NOTHING, 0},
	{"sync", KERNEL, NOTHING, 0},
	{"dirsync", KERNEL, NOTHING, 0},
	{"async", IGNORED, NOTHING, 0},
	{"rw", IGNORED, NOTHING, 0},
	{"fg", IGNORED, NOTHING, 0},
	{"defaults", IGNORED, NOTHING, 0},
	{"relatime", IGNORED, NOTHING, 0},
	{"auto", IGNORED, NOTHING, 0},
	{"noauto", IGNORED, NOTHING, 0},
	{"user", IGNORED, NOTHING, 0},
	{"nouser", IGNORED, NOTHING, 0},
	{"users", IGNORED, NOTHING, 0},
	{"owner", IGNORED, NOTHING, 0},
	{"group", IGNORED, NOTHING, 0},
	{"nofail", IGNORED, NOTHING, 0},
	{"_netdev", IGNORED, NOTHING, 0},
};

static void usage(FILE *f)
{
	fputs("usage: mdcfs [-f] [-d] [-o OPTION[,OPTION]...] ADDRESS1,ADDRESS2:/VOLUME MOUNTPOINT\n"
	      "\n"
	      "Mounts a volume of a pair of metadata controllers. umount MOUNTPOINT ends it\n"
	      "(fusermount3 -u MOUNTPOINT, if you are not root).\n"
	      "\n"
	      "  -f               stay in the foreground and log to standard error\n"
	      "  -d               say what the kernel asks and is answered; implies -f\n"
	      "  -o luns=P[:P]..  files or devices that may be the volume's LUNs\n"
	      "  -o timeout=S     wait so many seconds for an active controller (30)\n"
	      "  -o bg            go on waiting in the background\n"
	      "  -o ro            read only\n"
	      "  -o noatime       never set the time of the last read (default: relatime)\n"
	      "  -o allow_other   for all users (the default when root mounts)\n"
	      "  -o access_port=N, coord_port=N\n"
	      "  -h, --help       this; -V, --version: the version\n"
	      "\n"
	      "and mount(8)'s rw, suid, dev, exec, sync and what fstab has. See mdcfs(8).\n",
	      f);
}

/*
 * Commas separate mount options, so a list of paths has colons: one before a path or a URL begins
 * another. The library wants commas, and paths as seen from here.
 */
static char *next_lun(char *text)
{
	for (char *p = strchr(text, ':'); p; p = strchr(p + 1, ':'))
		if (strncmp(p + 1, "iscsi://", 8) == 0 || (p[1] == '/' && p[2] != '/'))
			return p;
	return NULL;
}

static char *lun_list(const char *text)
{
	char cwd[PATH_MAX], *copy = strdup(text), *list = strdup(""), *longer, *end;
	int r = copy && list && getcwd(cwd, sizeof(cwd)) ? 0 : -1;

	for (char *path = copy; r >= 0 && path; path = end) {
		bool is_whole = *path == '/' || strncmp(path, "iscsi://", 8) == 0;

		end = next_lun(path);
		if (end)
			*end++ = 0;
		r = asprintf(&longer, "%s%s%s%s%s", list, *list ? "," : "", is_whole ? "" : cwd,
			     is_whole ? "" : "/", path);
		if (r >= 0) {
			free(list);
			list = longer;
		}
	}
	free(copy);
	if (r >= 0)
		return list;
	free(list);
	return NULL;
}

static void fuse_option(struct mf_conf *conf, const char *name)
{
	char *longer;

	if (asprintf(&longer, "%s,%s", conf->fuse_options, name) < 0)
		abort();
	free(conf->fuse_options);
	conf->fuse_options = longer;
}

static int apply(struct mf_conf *conf, enum what what, const char *value, unsigned long number)
{
	switch (what) {
	case LUNS:
		free(conf->luns);
		conf->luns = lun_list(value);
		return conf->luns ? 0
				  : pr_wrong_usage(MF_EXIT_USAGE, "luns=%s names no file", value);
	case TIMEOUT:
		conf->timeout_s = number;
		break;
	case ACCESS_PORT:
		conf->access_port = number;
		break;
	case COORD_PORT:
		conf->coord_port = number;
		break;
	case READONLY:
		conf->readonly = true;
		break;
	case NOATIME:
		conf->noatime = true;
		break;
	case NODIRATIME:
		conf->nodiratime = true;
		break;
	case BACKGROUND:
		conf->background = true;
		break;
	case NOTHING:
		break;
	}
	return 0;
}

static int apply_row(struct mf_conf *conf, const struct option_row *row, const char *value)
{
	unsigned long number = 0;
	char *end;

	if (row->kind == TEXT || row->kind == NUMBER) {
		if (!value || !*value)
			return pr_wrong_usage(MF_EXIT_USAGE, "option %s wants a value", row->name);
	} else if (value) {
		return pr_wrong_usage(MF_EXIT_USAGE, "option %s takes no value", row->name);
	}
	if (row->kind == NUMBER) {
		errno = 0;
		number = strtoul(value, &end, 10);
		if (errno || *end || *value == '-' || number > row->max)
			return pr_wrong_usage(MF_EXIT_USAGE,
					      "option %s is out of range or no number", row->name);
	}
	if (row->kind == KERNEL)
		fuse_option(conf, row->name);
	return apply(conf, row->what, value, number);
}

static int one_option(struct mf_conf *conf, char *text)
{
	char *value = strchr(text, '=');

	if (value)
		*value++ = 0;
	if (!*text || strncmp(text, "x-", 2) == 0 || strncmp(text, "X-", 2) == 0 ||
	    strcmp(text, "comment") == 0)
		return 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(text, rows[i].name) == 0)
			return apply_row(conf, &rows[i], value);
	return pr_wrong_usage(MF_EXIT_USAGE, "unknown option: %s", text);
}

static int option_list(struct mf_conf *conf, const char *list)
{
	char *copy = strdup(list), *save, *text;
	int r = copy ? 0 : MF_EXIT_FAILED;

	for (text = copy ? strtok_r(copy, ",", &save) : NULL; r == 0 && text;
	     text = strtok_r(NULL, ",", &save))
		r = one_option(conf, text);
	free(copy);
	return r;
}

/*
 * What the type column and the source column of the mount table show, and what root's mounts have.
 */
static void default_options(struct mf_conf *conf)
{
	char *name = malloc(2 * strlen(conf->spec) + 8), *p = name;

	if (!name)
		abort();
	p = stpcpy(p, "fsname=");
	for (const char *s = conf->spec; *s; s++) {
		if (*s == ',' || *s == '\\')
			*p++ = '\\';
		*p++ = *s;
	}
	*p = 0;
	fuse_option(conf, name);
	free(name);
	fuse_option(conf, "subtype=mdcfs");
}

int mf_options(int argc, char **argv, struct mf_conf *conf)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int c, r;

	*conf = (struct mf_conf){.timeout_s = 30};
	/*
	 * libfuse would forbid set-id programs; for root they run as on every other file system.
	 * Devices stay forbidden: the kernel asks nobody before it opens one.
	 */
	conf->fuse_options = strdup(geteuid() == 0 ? "rw,allow_other,suid" : "rw");
	if (!conf->fuse_options)
		return MF_EXIT_FAILED;
	while ((c = getopt_long(argc, argv, "fdo:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			conf->foreground = true;
			break;
		case 'd':
			conf->debug = conf->foreground = true;
			break;
		case 'o':
			r = option_list(conf, optarg);
			if (r)
				return r;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			printf("mdcfs %s, libfuse %s\n", mdc_version(), fuse_pkgversion());
			return 0;
		default:
			return pr_wrong_usage(MF_EXIT_USAGE, NULL);
		}
	}
	if (argc - optind > 2)
		return pr_wrong_usage(MF_EXIT_USAGE, "no such word is known: %s", argv[optind + 2]);
	if (argc - optind < 2)
		return pr_wrong_usage(MF_EXIT_USAGE,
				      "ADDRESS1,ADDRESS2:/VOLUME and MOUNTPOINT are wanted");
	conf->spec = argv[optind];
	default_options(conf);
	conf->mountpoint = realpath(argv[optind + 1], NULL);
	if (!conf->mountpoint) {
		fprintf(stderr, "mdcfs: mountpoint %s: %s\n", argv[optind + 1], strerror(errno));
		return MF_EXIT_FAILED;
	}
	return -1;
}
