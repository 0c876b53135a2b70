/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* Last line of every .def file: the next pass starts without meanings. No include guard. */
#undef STRUCT
#undef MSG
#undef ROW
#undef END
#undef F_U8
#undef F_U16
#undef F_U32
#undef F_U64
#undef F_I64
#undef F_MODE
#undef F_ENUM8
#undef F_FLAGS32
#undef F_UUID
#undef F_NAME
#undef F_XNAME
#undef F_STR
#undef F_BYTES
#undef F_STRUCT
#undef F_LIST
#undef F_RSV
