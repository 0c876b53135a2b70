/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "client/mdcpair.h"
#include "tests/check/model.h"

/*
 * Asks a real pair what a history may hold, and waits for the answer, however long. What CREATE opened is closed again. The answer is what the
 * controller said, errors among it; -EPROTO: it is one that no history can hold, which mdc_error does not know of.
 */
void names_ask(struct mdc *, const struct model_op *, struct model_answer *ret);
