/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Completions of what a program starts. They may be known before the start returns, and by a thread
 * that does not dispatch: the next round calls back, never the start itself.
 */
#include <stdlib.h>

#include "client/io/mdc_priv.h"

struct mdc_later {
	struct mdc *mdc;
	mdc_io_done done;
	void *user;
	ssize_t result;
	struct mdc_later *next;
};

struct mdc_later *mdc_later_new(struct mdc *mdc, mdc_io_done done, void *user)
{
	struct mdc_later *later = malloc(sizeof(*later));

	if (later)
		*later = (struct mdc_later){.mdc = mdc, .done = done, .user = user};
	return later;
}

void mdc_later_done(void *p, ssize_t result)
{
	struct mdc_later *later = p;
	struct mdc_loop *loop = later->mdc->loop;

	later->result = result;
	later->next = NULL;
	later->mdc->laters++;
	*loop->later_end = later;
	loop->later_end = &later->next;
	if (!loop->in_round)
		mdc_loop_kick(loop);
}

/* What comes up meanwhile is for the round after this one. */
void mdc_later_run(struct mdc_loop *loop)
{
	struct mdc_later *later = loop->later, *next;

	loop->later = NULL;
	loop->later_end = &loop->later;
	for (; later; later = next) {
		next = later->next;
		later->mdc->laters--;
		loop->completed++;
		later->done(later->user, later->result);
		free(later);
	}
}
