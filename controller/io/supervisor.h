/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The embedded supervisor: parent of both controllers of a pair on one host, their membership and
 * their fencing. A child that waitpid returned is proven dead; it says so to the other one at once,
 * orders a promotion, and starts what died again. Facts it knows, it tells; which controller may serve
 * it does not judge: it orders, and a controller that may not refuses.
 */
#pragma once

#include "controller/io/pair_dir.h"

/*
 * Runs until it is told to stop; ready_fd gets a line when it stands ("ok") or why not. Returns the
 * exit status.
 */
int supervise(const struct pair_dir *, const char *mdcd, int ready_fd);
