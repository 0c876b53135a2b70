/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Typed rows over tx.h: get decodes (0, -ENOENT, TX_MISS), put encodes, del deletes. Texts and
 * bytes of a row that was read point into the rows and are valid until the tx ends. A row that does
 * not decode is corruption: the process stops.
 */
#pragma once
#include <errno.h>
#include "controller/core/tx.h"

#define TX_ROW(name, make, ...)                                                    \
	static inline int tx_get_##name(struct tx *tx __VA_OPT__(, ) __VA_ARGS__,  \
					struct pr_row_##name *ret)                 \
	{                                                                          \
		struct pr_key k;                                                   \
		struct pr_bytes v;                                                 \
		int r;                                                             \
                                                                                   \
		make;                                                              \
		r = tx_get(tx, &k, &v);                                            \
		if (r)                                                             \
			return r;                                                  \
		r = pr_row_##name##_decode(ret, v.p, v.len);                       \
		ASSERT(r == 0);                                                    \
		return 0;                                                          \
	}                                                                          \
	static inline void tx_put_##name(struct tx *tx __VA_OPT__(, ) __VA_ARGS__, \
					 const struct pr_row_##name *row)          \
	{                                                                          \
		struct pr_key k;                                                   \
		size_t n = pr_row_##name##_size(row);                              \
		struct pr_buf b = pr_buf_on(tx_room(tx, n), n);                    \
		int r = pr_row_##name##_put(&b, row);                              \
                                                                                   \
		ASSERT(r == 0);                                                    \
		make;                                                              \
		tx_put_room(tx, &k, b.p, b.len);                                   \
	}                                                                          \
	static inline void tx_del_##name(struct tx *tx __VA_OPT__(, ) __VA_ARGS__) \
	{                                                                          \
		struct pr_key k;                                                   \
                                                                                   \
		make;                                                              \
		tx_del(tx, &k);                                                    \
	}

TX_ROW(meta, pr_key_meta(&k))
TX_ROW(volume, pr_key_volume(&k, tx->volume))
TX_ROW(vlun, pr_key_vlun(&k, tx->volume, lun), uint16_t lun)
TX_ROW(vstat, pr_key_vstat(&k, tx->volume))
TX_ROW(inode, pr_key_inode(&k, tx->volume, ino), uint64_t ino)
TX_ROW(name, pr_key_name(&k, tx->volume, dir, name.p, name.len), uint64_t dir, struct pr_bytes name)
TX_ROW(entry, pr_key_entry(&k, tx->volume, dir, cookie), uint64_t dir, uint64_t cookie)
TX_ROW(target, pr_key_target(&k, tx->volume, ino), uint64_t ino)
TX_ROW(xattr, pr_key_xattr(&k, tx->volume, ino, name.p, name.len), uint64_t ino,
       struct pr_bytes name)
TX_ROW(map, pr_key_map(&k, tx->volume, ino, file_block), uint64_t ino, uint64_t file_block)
TX_ROW(orphan, pr_key_orphan(&k, tx->volume, ino), uint64_t ino)
TX_ROW(space, pr_key_space(&k, tx->volume, lun, block), uint16_t lun, uint64_t block)
TX_ROW(rest, pr_key_rest(&k, tx->volume, sequence), uint64_t sequence)
TX_ROW(session, pr_key_session(&k, session), uint64_t session)
TX_ROW(slot, pr_key_slot(&k, session, slot), uint64_t session, uint32_t slot)
#undef TX_ROW
