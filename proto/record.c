/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include "proto/record.h"

#include "proto/key.h"
#include "proto/rows.h"
#include "proto/wire.h"

#define PR_DEF "proto/journal.def"
#include "proto/gen_code.inc"

static const char *kind_name(uint8_t kind)
{
	static const char *const names[] = {"operation", "EPOCH", "HANDOVER"};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

static void explain_change(struct pr_text *t, const struct pr_change *change)
{
	pr_text_str(t, change->op == PR_CHANGE_PUT ? "\n  put " : "\n  delete ");
	if (change->op == PR_CHANGE_PUT)
		pr_row_dump(change->key.p, change->key.len, change->value.p, change->value.len, t);
	else
		pr_key_dump(t, change->key.p, change->key.len);
}

void pr_record_explain(struct pr_text *t, const struct pr_record *v)
{
	const char *type = pr_type_name(v->type);
	struct pr_list it = v->changes;
	struct pr_change change;

	pr_text_printf(t, "lsn=%llu %s", (unsigned long long)v->lsn, kind_name(v->kind));
	if (type)
		pr_text_printf(t, " %s", type);
	else if (v->type)
		pr_text_printf(t, " type 0x%04x", v->type);
	pr_text_printf(t, " session=%llu slot=%u sequence=%llu time_ns=%lld changes=%u",
		       (unsigned long long)v->session, v->slot, (unsigned long long)v->sequence,
		       (long long)v->time_ns, v->changes.count);
	while (!t->cut && pr_change_next(&it, &change))
		explain_change(t, &change);
}
