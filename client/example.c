/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An example for libmdcpair(3): makes a directory, writes a file in it straight to the LUN, reads
 * it back, lists, and removes both; then makes many files from one thread with many requests in
 * flight. Kill the active controller while it runs: nothing here notices.
 *
 *	cc -o example example.c $(pkg-config --cflags --libs mdcpair)
 *	./example ADDRESS1,ADDRESS2:/VOLUME
 */
#include <errno.h>
#include <mdcpair.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(const char *what)
{
	fprintf(stderr, "example: %s: %s\n", what, mdc_error());
	return 1;
}

static void event(void *user, const struct mdc_event *ev)
{
	(void)user;
	if (ev->text)
		fprintf(stderr, "example: %s\n", ev->text);
}

static bool print_entry(void *user, const struct mdc_dirent *e)
{
	(void)user;
	printf("%8llu bytes  %s\n", (unsigned long long)e->attr.size, e->name);
	return true;
}

/* The waiting calls: what a program with threads uses. */
static int one_file(struct mdc *mdc, uint64_t directory)
{
	static const char text[] = "written past the controllers, straight to the LUN\n";
	char back[sizeof(text)] = "";
	struct mdc_file *file;

	if (mdc_file_create(mdc, NULL, directory, "hello", 0100644, MDC_O_READ | MDC_O_WRITE, &file,
			    NULL, NULL) < 0)
		return complain("create");
	if (mdc_file_write(file, text, sizeof(text) - 1, 0, 0) < 0)
		return complain("write");
	if (mdc_file_fsync(file) < 0)
		return complain("fsync");
	if (mdc_file_read(file, back, sizeof(text) - 1, 0) < 0)
		return complain("read");
	printf("%s", back);
	if (mdc_file_close(file) < 0)
		return complain("close");
	return mdc_readdir(mdc, NULL, directory, 0, 65536, print_entry, NULL, NULL, NULL) < 0
		       ? complain("readdir")
		       : 0;
}

/* The other form: a thread that submits, and is called back. */
struct many {
	int left, failed;
};

static void made(void *user, struct mdc_reply *reply)
{
	struct many *many = user;

	many->left--;
	many->failed += reply->error != 0;
}

static int many_files(const char *spec)
{
	struct mdc_options options = {.flags = MDC_OPEN_NO_DATA};
	struct many many = {.left = 1000};
	struct mdc_cred root = {0};
	struct mdc_info info;
	struct mdc *mdc;
	char name[32];

	if (mdc_loop_new(&options.loop) < 0 || mdc_open_volume(spec, &options, &mdc) < 0)
		return complain(spec);
	mdc_get_info(mdc, &info);
	for (int pass = 0; pass < 2; pass++) {
		many.left = 1000;
		for (int i = 0; i < 1000; i++) {
			struct mdc_request request = {.op = pass ? MDC_UNLINK : MDC_MKNOD,
						      .cred = &root,
						      .ino = info.root,
						      .name = name,
						      .mode = 0100644,
						      .done = made,
						      .user = &many};

			snprintf(name, sizeof(name), "many-%d", i);
			if (mdc_submit(mdc, &request, NULL) < 0)
				return complain("submit");
		}
		while (many.left)
			if (mdc_dispatch(options.loop, -1) < 0)
				return complain("dispatch");
	}
	printf("1000 files made and removed, %d errors\n", many.failed);
	mdc_close_volume(mdc, 1000);
	mdc_loop_free(options.loop);
	return many.failed != 0;
}

int main(int argc, char **argv)
{
	struct mdc_options options = {.event = event};
	struct mdc_attr directory;
	struct mdc_info info;
	struct mdc *mdc;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: example ADDRESS1,ADDRESS2:/VOLUME\n");
		return 2;
	}
	if (mdc_open_volume(argv[1], &options, &mdc) < 0)
		return complain(argv[1]);
	mdc_get_info(mdc, &info);
	printf("volume %s, served by %s in epoch %llu\n", info.volume_name, info.active,
	       (unsigned long long)info.epoch);
	if (mdc_mkdir(mdc, NULL, info.root, "example", 0755, &directory) < 0)
		return complain("mkdir");
	r = one_file(mdc, directory.ino);
	if (mdc_unlink(mdc, NULL, directory.ino, "hello") < 0 ||
	    mdc_rmdir(mdc, NULL, info.root, "example") < 0)
		r = complain("clean up");
	if (mdc_close_volume(mdc, 10000) < 0)
		r = complain("close");
	return r ? r : many_files(argv[1]);
}
