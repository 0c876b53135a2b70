/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data path of the library between a LUN and a controller that do nothing by themselves: what is asked of either waits until the test
 * answers it. Two LUNs; block n of a file lies at block 1000 + n.
 */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>

#include "client/io/mdc_data.h"
#include "lun/aio.h"

struct rig_call {
	unsigned ended;
	long result;
	void (*then)(void); /* called when it ends */
};

void rig_up(void);
struct mdc_inode *rig_file(uint64_t ino);
void rig_write(struct mdc_inode *, struct rig_call *, uint64_t offset, size_t bytes,
	       uint32_t flags);
void rig_read(struct mdc_inode *, struct rig_call *, uint64_t offset, size_t bytes);
void rig_fsync(struct mdc_inode *, struct rig_call *);

/* The oldest that waits. */
void lun_done(enum aio_op, unsigned lun, int error);
unsigned lun_waiting(enum aio_op);

/* The oldest that waits, which must be there. */
unsigned ctl_waiting(uint16_t type);
void ctl_refuse(uint16_t type, int error);
void ctl_grant(uint8_t state, uint16_t lun, uint64_t size); /* all that was asked for */
/* The same, where block n of the file lies at block first + n. */
void ctl_grant_at(uint8_t state, uint16_t lun, uint64_t first, uint64_t size);
/* What it told: its first range, or 0, 0; its size, or 0. */
struct rig_commit {
	uint64_t from, blocks, size;
};
struct rig_commit ctl_commit(void);
uint64_t ctl_return(void); /* the generation that is given back */
