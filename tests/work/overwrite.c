/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overwrite SPEC NAME TEXT: a client beside a mount writes TEXT over the start of a file in the volume's root directory. */
#include <stdio.h>
#include <string.h>

#include "client/mdcpair.h"

static int overwrite(struct mdc *mdc, const char *name, const char *text)
{
	static const struct mdc_cred root;
	struct mdc_file *file;
	struct mdc_info info;
	struct mdc_attr a;

	mdc_get_info(mdc, &info);
	if (mdc_lookup(mdc, &root, info.root, name, &a) < 0 ||
	    mdc_file_open(mdc, &root, a.ino, MDC_O_WRITE, &file, NULL) < 0)
		return -1;
	if (mdc_file_write(file, text, strlen(text), 0, 0) < 0)
		return -1;
	return mdc_file_close(file);
}

int main(int argc, char **argv)
{
	struct mdc *mdc;
	int r;

	if (argc != 4) {
		fprintf(stderr, "usage: overwrite ADDRESS1,ADDRESS2:/VOLUME NAME TEXT\n");
		return 2;
	}
	if (mdc_open_volume(argv[1], NULL, &mdc) < 0) {
		fprintf(stderr, "overwrite: %s\n", mdc_error());
		return 1;
	}
	r = overwrite(mdc, argv[2], argv[3]);
	if (r < 0)
		fprintf(stderr, "overwrite: %s: %s\n", argv[2], mdc_error());
	mdc_close_volume(mdc, 10000);
	return r < 0;
}
