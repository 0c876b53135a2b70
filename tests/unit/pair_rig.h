/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A real pair for each test, in a directory of its own, made by the mdcpair and mdcd of this build. */
#pragma once
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/mdcpair.h"

static char dir[] = "/tmp/mdc-files-XXXXXX";
static char spec[600];

static inline int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline int run(const char *format, ...)
{
	char command[800];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

/* "mount it:   mdcfs ADDRESSES:/vol1 MOUNTPOINT" */
static inline bool read_spec(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[700];
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "mount it: mdcfs %599s", spec) == 1)
			found = true;
	if (f)
		fclose(f);
	return found;
}

static inline void pair_up(void)
{
	char out[64];

	if (access("./mdcpair", X_OK) || access("./mdcd", X_OK))
		cr_skip("mdcpair and mdcd are not in the current directory");
	cr_assert(mkdtemp(dir) != NULL);
	snprintf(out, sizeof(out), "%s.out", dir);
	if (run("PATH=.:$PATH ./mdcpair up --lun-size 256M %s >%s 2>&1", dir, out) ||
	    !read_spec(out)) {
		run("cat %s >&2", out);
		cr_assert_fail("no pair");
	}
}

static inline void pair_down(void)
{
	run("./mdcpair down %s >/dev/null 2>&1; rm -rf %s %s.out", dir, dir, dir);
}

static inline struct mdc *mounted(struct mdc_info *ret)
{
	struct mdc_options options = {.flags = MDC_OPEN_NO_WAIT};
	struct mdc *mdc;
	int r = mdc_open_volume(spec, &options, &mdc);

	cr_assert_eq(r, 0, "%s", mdc_error());
	mdc_get_info(mdc, ret);
	return mdc;
}

static inline struct mdc_file *made(struct mdc *mdc, uint64_t root, const char *name)
{
	struct mdc_file *file;

	cr_assert_eq(mdc_file_create(mdc, NULL, root, name, 0100644, MDC_O_READ | MDC_O_WRITE,
				     &file, NULL, NULL),
		     0, "%s", mdc_error());
	return file;
}
