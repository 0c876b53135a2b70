/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* All of proto/ in one include. */
#pragma once

#include "proto/assert.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"
#include "proto/frame.h"
#include "proto/hash.h"
#include "proto/key.h"
#include "proto/record.h"
#include "proto/rows.h"
#include "proto/status.h"
#include "proto/text.h"
#include "proto/uuid.h"
#include "proto/wire.h"
