/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/fuzz_ctl_ask.h"

#include <string.h>

static const char *const names[] = {"a", "b", "dir", "..", "a longer name than the others"};

static struct pr_bytes any_name(struct fuzz_in *in)
{
	return pr_bytes_str(names[fuzz_below(in, sizeof(names) / sizeof(names[0]))]);
}

static uint64_t any_ino(struct fuzz_in *in, const struct ask_known *k)
{
	uint8_t how = fuzz_u8(in);

	if (how % 16 == 15)
		return fuzz_take(in, 8);
	if (how % 4 == 0 || k->inos == 0)
		return k->root;
	return k->ino[how / 4 % k->inos];
}

static uint64_t any_amount(struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);

	switch (how % 8) {
	case 6:
		return (uint64_t)how << 12;
	case 7:
		return UINT64_MAX >> (how / 8);
	default:
		return how / 8;
	}
}

static struct pr_cred any_cred(struct fuzz_in *in)
{
	uint32_t id = fuzz_u8(in) % 4 == 3 ? 1000 : 0;

	return (struct pr_cred){.uid = id, .gid = id};
}

static uint32_t any_mode(struct fuzz_in *in, uint32_t type)
{
	uint8_t how = fuzz_u8(in);

	return type | (how < 128 ? 0777u : how < 192 ? 01644u : how * 8u);
}

#define ASK(NAME, name, ...)                                                \
	do {                                                                \
		struct pr_##name m_ = {__VA_ARGS__};                        \
		return pr_##name##_encode(out, &m_) == 0 ? PR_T_##NAME : 0; \
	} while (0)

static uint16_t ask_session(struct fuzz_in *in, const struct ask_known *k, uint8_t kind,
			    struct pr_buf *out)
{
	struct pr_uuid client = {{k->client}};
	uint8_t list[64], flags = fuzz_u8(in);
	struct pr_buf b = pr_buf_on(list, sizeof(list));
	struct pr_held held = {.ino = any_ino(in, k),
			       .opens = flags % 4,
			       .layout = flags / 4 % 3,
			       .generation = k->generation};

	switch (kind) {
	case 0:
		ASK(HELLO, hello, .version_min = PR_VERSION, .version_max = PR_VERSION,
		    .client = client, .volume = pr_bytes_str(flags == 255 ? "none" : "vol1"),
		    .host = pr_bytes_str("host"), .channel = flags % 3);
	case 1:
		ASK(SESSION_OPEN, session_open, .client = client, .slots = flags % 8,
		    .flags = flags / 8 % 4, .host = pr_bytes_str("host"),
		    .what = pr_bytes_str("f"));
	case 2:
		if (pr_held_put(&b, &held) != 0)
			return 0;
		ASK(SESSION_BIND, session_bind, .session = flags & 64 ? flags : k->session,
		    .client = client, .flags = flags >> 7,
		    .held = {.count = flags & 32 ? 1 : 0,
			     .p = list,
			     .len = flags & 32 ? (uint32_t)b.len : 0});
	case 3:
		ASK(PING, ping, .nonce = flags);
	default:
		ASK(SESSION_CLOSE, session_close, );
	}
}

static uint16_t ask_make(struct fuzz_in *in, const struct ask_known *k, uint8_t kind,
			 struct pr_buf *out)
{
	struct pr_cred cred = any_cred(in);
	uint64_t parent = any_ino(in, k);
	struct pr_bytes name = any_name(in);

	switch (kind) {
	case 0:
	case 1:
		ASK(CREATE, create, .cred = cred, .parent = parent, .name = name,
		    .mode = any_mode(in, 0100000), .flags = fuzz_u8(in));
	case 2:
		ASK(MKDIR, mkdir, .cred = cred, .parent = parent, .name = name,
		    .mode = any_mode(in, 040000));
	case 3:
		ASK(SYMLINK, symlink, .cred = cred, .parent = parent, .name = name,
		    .target = any_name(in));
	case 4:
		ASK(MKNOD, mknod, .cred = cred, .parent = parent, .name = name,
		    .mode = any_mode(in, (uint32_t)fuzz_u8(in) << 12), .rdev = fuzz_u8(in));
	case 5:
		ASK(LINK, link, .cred = cred, .parent = parent, .name = name,
		    .ino = any_ino(in, k));
	case 6:
	case 7:
		ASK(UNLINK, unlink, .cred = cred, .parent = parent, .name = name);
	case 8:
		ASK(RMDIR, rmdir, .cred = cred, .parent = parent, .name = name);
	default:
		ASK(RENAME, rename, .cred = cred, .old_parent = parent, .old_name = name,
		    .new_parent = any_ino(in, k), .new_name = any_name(in),
		    .flags = fuzz_u8(in) % 4);
	}
}

static uint16_t ask_look(struct fuzz_in *in, const struct ask_known *k, uint8_t kind,
			 struct pr_buf *out)
{
	struct pr_cred cred = any_cred(in);
	uint64_t ino = any_ino(in, k);

	switch (kind) {
	case 0:
		ASK(LOOKUP, lookup, .cred = cred, .parent = ino, .name = any_name(in));
	case 1:
		ASK(GETATTR, getattr, .ino = ino);
	case 2:
		ASK(READLINK, readlink, .cred = cred, .ino = ino);
	case 3:
	case 4:
		ASK(READDIR, readdir, .cred = cred, .ino = ino,
		    .cookie = fuzz_u8(in) % 2 ? k->cookie : 0,
		    .max_bytes = (uint32_t)any_amount(in));
	case 5:
		ASK(STATFS, statfs, );
	case 6:
		ASK(ACCESS, access, .cred = cred, .ino = ino, .mask = fuzz_u8(in) % 8);
	case 7:
		ASK(FSYNC, fsync, .ino = ino);
	case 8:
		ASK(OPEN, open, .cred = cred, .ino = ino, .flags = fuzz_u8(in));
	case 9:
		ASK(CLOSE, close, .ino = ino, .opens = fuzz_u8(in) % 4);
	default:
		ASK(NOOP, noop, .bytes = (uint32_t)any_amount(in));
	}
}

static uint16_t ask_change(struct fuzz_in *in, const struct ask_known *k, uint8_t kind,
			   struct pr_buf *out)
{
	struct pr_cred cred = any_cred(in);
	uint64_t ino = any_ino(in, k);
	uint8_t list[64];
	struct pr_buf b = pr_buf_on(list, sizeof(list));
	struct pr_range range;
	size_t len;
	const uint8_t *p;

	switch (kind) {
	case 0:
	case 1:
		ASK(SETATTR, setattr, .cred = cred, .ino = ino,
		    .valid = (uint32_t)fuzz_take(in, 2) & 0x3ff, .mode = any_mode(in, 0),
		    .uid = fuzz_u8(in), .gid = fuzz_u8(in), .size = any_amount(in),
		    .atime_ns = (int64_t)any_amount(in), .mtime_ns = (int64_t)any_amount(in));
	case 2:
		p = fuzz_bytes(in, fuzz_u8(in), &len);
		ASK(XATTR_SET, xattr_set, .cred = cred, .ino = ino, .name = pr_bytes_str("user.a"),
		    .flags = fuzz_u8(in) % 4, .value = pr_bytes_of(p, len));
	case 3:
		ASK(XATTR_GET, xattr_get, .cred = cred, .ino = ino, .name = pr_bytes_str("user.a"));
	case 4:
		ASK(XATTR_LIST, xattr_list, .cred = cred, .ino = ino);
	case 5:
		ASK(XATTR_REMOVE, xattr_remove, .cred = cred, .ino = ino,
		    .name = pr_bytes_str("user.a"));
	case 6:
	case 7:
		ASK(LAYOUT_GET, layout_get, .ino = ino, .file_block = any_amount(in),
		    .blocks = any_amount(in), .mode = fuzz_u8(in) % 3);
	case 8:
		range = (struct pr_range){any_amount(in), any_amount(in)};
		if (pr_range_put(&b, &range) != 0)
			return 0;
		ASK(LAYOUT_COMMIT, layout_commit, .cred = cred, .ino = ino,
		    .generation = k->generation, .size = any_amount(in), .flags = fuzz_u8(in) % 8,
		    .ranges = {.count = 1, .p = list, .len = (uint32_t)b.len});
	case 9:
		ASK(LAYOUT_RETURN, layout_return, .ino = ino,
		    .generation = k->generation - fuzz_u8(in) % 2);
	default:
		ASK(ALLOCATE, allocate, .cred = cred, .ino = ino, .offset = any_amount(in),
		    .length = any_amount(in), .mode = fuzz_u8(in));
	}
}

uint16_t fuzz_ctl_ask(struct fuzz_in *in, const struct ask_known *k, struct pr_buf *out)
{
	uint8_t kind = fuzz_u8(in);

	switch (kind % 4) {
	case 0:
		return kind / 4 % 4 == 0 ? ask_session(in, k, kind / 16 % 5, out)
					 : ask_change(in, k, kind / 4 % 11, out);
	case 1:
		return ask_make(in, k, kind / 4 % 10, out);
	case 2:
		return ask_look(in, k, kind / 4 % 11, out);
	default:
		return ask_change(in, k, kind / 4 % 11, out);
	}
}
