/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/cursor.h"

#include "proto/text.h"

void pr_cur_note_failure(struct pr_cur *c, const char *where, const char *error)
{
	if (c->error)
		return;
	c->error = error;
	c->depth = 0;
	if (where)
		c->where[c->depth++] = where;
}

void pr_cur_note_path(struct pr_cur *c, const char *where)
{
	if (c->depth < PR_CUR_DEPTH)
		c->where[c->depth++] = where;
}

void pr_cur_why(const struct pr_cur *c, struct pr_text *t)
{
	if (!c->error)
		return;
	for (unsigned int i = c->depth; i > 0; i--) {
		pr_text_str(t, c->where[i - 1]);
		pr_text_str(t, i > 1 ? "." : ": ");
	}
	pr_text_str(t, c->error);
}
