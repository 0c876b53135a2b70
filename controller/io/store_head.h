/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What LMDB believes unseen and dies of, by a division or a fault in its map, is looked at before it opens the file. */
#pragma once

/* dir: of the environment. 0: sound, empty or not there; MDB_INVALID, MDB_CORRUPTED or an errno value. */
int store_head_check(const char *dir);
