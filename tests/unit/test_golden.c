/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes that were once written stay readable: golden/NAME.hex holds an encoding in hexadecimal, and
 * what a version writes for the same values must be the same to the byte.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pr.h"

enum { SPACE = 8192 };

static const struct pr_uuid uuid_a = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc,
				       0xba, 0x98, 0x76, 0x54, 0x32, 0x10}};
static const struct pr_uuid uuid_b = {{0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0x46, 0xb7, 0x88, 0xb9,
				       0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf}};

/* The file's bytes in hexadecimal, without its blanks and newlines. */
static void read_golden(const char *name, char out[2 * SPACE + 1])
{
	const char *top = getenv("top_srcdir");
	char path[512];
	size_t n = 0;
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "%s/tests/unit/golden/%s.hex", top ? top : ".", name);
	f = fopen(path, "r");
	cr_assert_not_null(f, "%s is missing", path);
	while ((c = fgetc(f)) != EOF && n < 2 * SPACE)
		if (c > ' ')
			out[n++] = (char)c;
	out[n] = '\0';
	fclose(f);
}

static void expect_golden(const char *name, const struct pr_buf *b)
{
	static char want[2 * SPACE + 1], have[2 * SPACE + 1];

	have[0] = '\0';
	for (size_t i = 0; i < b->len; i++)
		snprintf(have + 2 * i, 3, "%02x", b->p[i]);
	read_golden(name, want);
	cr_assert_str_eq(have, want, "%s is now\n%s", name, have);
}

static void expect_dump(uint16_t type, const struct pr_buf *b, const char *want)
{
	char text[1024];
	struct pr_text t = pr_text_on(text, sizeof(text));

	cr_assert_eq(pr_message_dump(type, b->p, b->len, &t), 0, "%s", text);
	cr_assert_str_eq(text, want);
}

static const struct pr_attr attr = {.ino = 0x1122334455667788,
				    .mode = 0100644,
				    .nlink = 2,
				    .uid = 1000,
				    .gid = 100,
				    .rdev = 0x0801,
				    .size = 123456789,
				    .blocks = 241128,
				    .atime_ns = -1,
				    .mtime_ns = 1700000000123456789,
				    .ctime_ns = 1700000000223456789,
				    .btime_ns = 1600000000000000001,
				    .change = 77};

Test(golden, hello_in_its_frame)
{
	uint8_t space[SPACE];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_hello v = {.version_min = 1,
			     .version_max = 3,
			     .features = 0x80000001,
			     .cluster = uuid_a,
			     .client = uuid_b,
			     .volume = pr_bytes_str("vol1"),
			     .host = pr_bytes_str("node7.example"),
			     .program = pr_bytes_str("mdcfs"),
			     .channel = 2};
	struct pr_frame f = {.type = PR_T_HELLO, .sequence = 1};
	size_t at = pr_frame_begin(&b);

	cr_assert_eq(pr_hello_encode(&b, &v), 0);
	cr_assert_eq(pr_frame_end(&b, at, &f), 0);
	expect_golden("frame_hello", &b);
	b.p += PR_FRAME_BYTES;
	b.len -= PR_FRAME_BYTES;
	expect_dump(PR_T_HELLO, &b,
		    "hello version_min=1 version_max=3 features=2147483649"
		    " cluster=01234567-89ab-cdef-fedc-ba9876543210"
		    " client=b0b1b2b3-b4b5-46b7-88b9-babbbcbdbebf volume=\"vol1\""
		    " host=\"node7.example\" program=\"mdcfs\" channel=2");
}

static struct pr_list two_groups(struct pr_buf *b)
{
	struct pr_list list = {.count = 2, .p = b->p};

	cr_assert_eq(pr_gid_put(b, &(struct pr_gid){.gid = 4}), 0);
	cr_assert_eq(pr_gid_put(b, &(struct pr_gid){.gid = 4294967295}), 0);
	list.len = (uint32_t)b->len;
	return list;
}

Test(golden, create_and_its_reply)
{
	uint8_t space[SPACE], groups[64];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_buf g = pr_buf_on(groups, sizeof(groups));
	struct pr_create v = {.cred = {.uid = 1000, .gid = 100, .groups = two_groups(&g)},
			      .parent = 1,
			      .mode = 0100600,
			      .flags = PR_O_READ | PR_O_WRITE | PR_O_CREAT,
			      .name = pr_bytes_str("\xc3\xa9t\xc3\xa9")};
	struct pr_create_r reply = {.attr = attr, .created = 1};

	cr_assert_eq(pr_create_encode(&b, &v), 0);
	expect_golden("create", &b);
	expect_dump(PR_T_CREATE, &b,
		    "create cred={uid=1000 gid=100 groups=[{gid=4}{gid=4294967295}]} parent=1"
		    " mode=0100600 flags=19 name=\"\\xc3\\xa9t\\xc3\\xa9\"");
	b.len = 0;
	cr_assert_eq(pr_create_r_encode(&b, &reply), 0);
	expect_golden("create_r", &b);
	expect_dump(PR_T_CREATE_R, &b,
		    "create_r attr={ino=1234605616436508552 mode=0100644 nlink=2 uid=1000 gid=100"
		    " rdev=2049 size=123456789 blocks=241128 atime_ns=-1"
		    " mtime_ns=1700000000123456789 ctime_ns=1700000000223456789"
		    " btime_ns=1600000000000000001 change=77} created=1");
}

Test(golden, layout_get_r)
{
	static const struct pr_extent written = {.file_block = 0,
						 .blocks = 256,
						 .lun = 1,
						 .state = PR_EXTENT_WRITTEN,
						 .lun_block = 0x0102030405},
				      hole = {.file_block = 256, .blocks = 4096};
	uint8_t space[SPACE];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_layout_get_r v = {.generation = 5, .size = 17825792, .change = 78};
	size_t at;

	cr_assert_eq(pr_layout_get_r_encode(&b, &v), 0);
	at = pr_tail_open(&b);
	cr_assert_eq(pr_extent_put(&b, &written), 0);
	cr_assert_eq(pr_extent_put(&b, &hole), 0);
	pr_tail_close(&b, at, 2);
	expect_golden("layout_get_r", &b);
	expect_dump(PR_T_LAYOUT_GET_R, &b,
		    "layout_get_r generation=5 size=17825792 change=78 extents="
		    "[{file_block=0 blocks=256 lun=1 state=2 lun_block=4328719365}"
		    "{file_block=256 blocks=4096 lun=0 state=0 lun_block=0}]");
}

Test(golden, link_hello)
{
	uint8_t space[SPACE], past[64];
	struct pr_hash hash = pr_hash_of("tail", 4);
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_buf h = pr_buf_on(past, sizeof(past));
	struct pr_history era = {.epoch = 2,
				 .first_lsn = 1000,
				 .hash = pr_hash_bytes(&hash),
				 .members = 3,
				 .reason = 1};
	struct pr_link_hello v = {.version_min = 1,
				  .version_max = 1,
				  .cluster = uuid_a,
				  .node = 2,
				  .role = PR_ROLE_STANDBY,
				  .mode = 1,
				  .dstate = 4,
				  .incarnation = 99,
				  .epoch = 3,
				  .log_epoch = 2,
				  .nonce = 0xabcdef,
				  .first_lsn = 10,
				  .tail_lsn = 2000,
				  .commit_lsn = 1990,
				  .store_lsn = 1500,
				  .tail_hash = pr_hash_bytes(&hash)};

	cr_assert_eq(pr_history_put(&h, &era), 0);
	v.history = (struct pr_list){1, h.p, (uint32_t)h.len};
	cr_assert_eq(pr_link_hello_encode(&b, &v), 0);
	expect_golden("link_hello", &b);
}

static const struct pr_row_inode inode = {.mode = 040755,
					  .nlink = 3,
					  .uid = 1,
					  .gid = 2,
					  .rdev = 3,
					  .size = 4,
					  .blocks = 5,
					  .atime_ns = 6,
					  .mtime_ns = 7,
					  .ctime_ns = 8,
					  .btime_ns = 9,
					  .change = 10,
					  .parent = 11,
					  .next_cookie = 12,
					  .entries = 13,
					  .xattrs = 14,
					  .flags = 15};

Test(golden, rows)
{
	uint8_t space[SPACE];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_row_session session = {.client = uuid_b,
					 .volume = 1,
					 .slots = 64,
					 .key = 9,
					 .flags = PR_OPEN_EXCLUSIVE,
					 .host = pr_bytes_str("node7"),
					 .what = pr_bytes_str("/mnt/vol1"),
					 .pid = 4711,
					 .opened_ns = 1700000000123456789,
					 .fence = PR_FENCE_INTENDED};
	struct pr_row_slot slot = {
		.sequence = 12, .type = PR_T_CREATE, .status = 17, .reply = pr_bytes_str("reply")};

	cr_assert_eq(pr_row_inode_encode(&b, &inode), 0);
	expect_golden("row_inode", &b);
	b.len = 0;
	cr_assert_eq(pr_row_session_encode(&b, &session), 0);
	expect_golden("row_session", &b);
	b.len = 0;
	cr_assert_eq(pr_row_slot_encode(&b, &slot), 0);
	expect_golden("row_slot", &b);
}

/* A record that puts an inode and deletes a name. */
static struct pr_record example_record(uint8_t space[SPACE])
{
	struct pr_buf b = pr_buf_on(space, SPACE), row = pr_buf_on(space + SPACE / 2, SPACE / 2);
	struct pr_record v = {.lsn = 1001,
			      .kind = PR_RECORD_OPERATION,
			      .type = PR_T_UNLINK,
			      .time_ns = 1700000000123456789,
			      .session = 7,
			      .slot = 3,
			      .sequence = 12};
	struct pr_key k;

	b.cap = SPACE / 2;
	cr_assert_eq(pr_row_inode_encode(&row, &inode), 0);
	pr_key_inode(&k, 1, 11);
	cr_assert_eq(pr_change_put(&b, &(struct pr_change){.op = PR_CHANGE_PUT,
							   .key = pr_key_bytes(&k),
							   .value = pr_bytes_of(row.p, row.len)}),
		     0);
	pr_key_name(&k, 1, 11, "old", 3);
	cr_assert_eq(pr_change_put(&b, &(struct pr_change){.op = PR_CHANGE_DELETE,
							   .key = pr_key_bytes(&k)}),
		     0);
	v.changes = (struct pr_list){2, b.p, (uint32_t)b.len};
	return v;
}

Test(golden, record)
{
	uint8_t space[SPACE], changes[SPACE];
	struct pr_buf b = pr_buf_on(space, sizeof(space));
	struct pr_record v = example_record(changes), back;

	cr_assert_eq(pr_record_encode(&b, &v), 0);
	expect_golden("record", &b);
	cr_assert_eq(pr_record_decode(&back, b.p, b.len), 0);
	cr_assert_eq(back.changes.count, 2);
}

Test(record, is_explained_row_by_row)
{
	uint8_t changes[SPACE];
	struct pr_record v = example_record(changes);
	char text[1024];
	struct pr_text t = pr_text_on(text, sizeof(text));

	pr_record_explain(&t, &v);
	cr_assert_str_eq(text, "lsn=1001 operation unlink session=7 slot=3 sequence=12"
			       " time_ns=1700000000123456789 changes=2\n"
			       "  put inode 1/11 mode=040755 nlink=3 uid=1 gid=2 rdev=3 size=4"
			       " blocks=5 atime_ns=6 mtime_ns=7 ctime_ns=8 btime_ns=9 change=10"
			       " parent=11 next_cookie=12 entries=13 xattrs=14 flags=15\n"
			       "  delete name 1/11/\"old\"");
}
