/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * First line of every .def file: a word its includer gave no meaning means nothing. No include
 * guard: it is read anew with each pass. words_end.h is the last line and forgets them all.
 */
#ifndef STRUCT
#define STRUCT(name)
#endif
#ifndef MSG
#define MSG(number, name, NAME, CHANNEL)
#endif
#ifndef ROW
#define ROW(table, name, NAME)
#endif
#ifndef END
#define END(name)
#endif
#ifndef F_U8
#define F_U8(name)
#endif
#ifndef F_U16
#define F_U16(name)
#endif
#ifndef F_U32
#define F_U32(name)
#endif
#ifndef F_U64
#define F_U64(name)
#endif
#ifndef F_I64
#define F_I64(name)
#endif
#ifndef F_MODE
#define F_MODE(name) F_U32(name)
#endif
#ifndef F_ENUM8
#define F_ENUM8(name, max)
#endif
#ifndef F_FLAGS32
#define F_FLAGS32(name, mask)
#endif
#ifndef F_UUID
#define F_UUID(name)
#endif
#ifndef F_NAME
#define F_NAME(name, max)
#endif
#ifndef F_XNAME
#define F_XNAME(name, max)
#endif
#ifndef F_STR
#define F_STR(name, max)
#endif
#ifndef F_BYTES
#define F_BYTES(name, max)
#endif
#ifndef F_STRUCT
#define F_STRUCT(type, name)
#endif
#ifndef F_LIST
#define F_LIST(type, name, max)
#endif
#ifndef F_RSV
#define F_RSV(n)
#endif
