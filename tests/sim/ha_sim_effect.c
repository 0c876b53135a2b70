/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core orders is done, or begun: its end is an event. */
#include "tests/sim/ha_sim.h"

void hs_effect(struct hs_node *n, struct ha_effect *fx)
{
	struct hs_event *e;
	uint64_t at_us;

	switch (fx->type) {
	case HA_FX_SEND:
		hs_link_send(n, fx);
		break;
	case HA_FX_CLOSE_LINK:
		if (n->linked == fx->conn)
			n->linked = 0;
		if (fx->conn == world.conn)
			hs_link_reset();
		break;
	case HA_FX_APPEND:
		hs_append(n, fx->batch);
		if (ha_role(n->ha) == PR_ROLE_ACTIVE)
			hs_own(n, fx->batch);
		break;
	case HA_FX_COMMITTED:
		hs_committed(n, fx->lsn);
		break;
	case HA_FX_APPLY:
		hs_apply(n, fx->batch);
		break;
	case HA_FX_FETCH:
		e = hs_for_node(100 + hs_upto(1000), HS_FETCHED, n);
		e->a = fx->cookie;
		e->b = fx->lsn;
		break;
	case HA_FX_CUT:
		hs_cut(n, fx->lsn);
		break;
	case HA_FX_REPAIR:
		e = hs_for_node(500 + hs_upto(3000), HS_REPAIRED, n);
		e->batch = jr_batch_ref(fx->batch);
		break;
	case HA_FX_RESET:
		hs_reset(n, fx);
		break;
	case HA_FX_SAVE_STATE:
		hs_save(n, fx->state);
		break;
	case HA_FX_ARB_READ:
		hs_for_node(100 + hs_upto(1500), HS_ARB_READ, n);
		break;
	case HA_FX_ARB_CAS:
		hs_say("node %u: CAS to epoch %llu members %u active %u", n->id,
		       (ull)fx->next.epoch, fx->next.members, fx->next.active);
		hs_cas(n, fx);
		break;
	case HA_FX_ARB_FLOOR:
		e = hs_for_node(100 + hs_upto(1000), HS_ARB_FLOOR, n);
		e->a = fx->lsn;
		e->b = fx->epoch;
		break;
	case HA_FX_ASK_FENCE:
		e = hs_later(5000 + hs_upto(100000), HS_FENCE, hs_index(n));
		e->incarnation = n->incarnation;
		e->flag = true;
		e->a = fx->incarnation;
		break;
	case HA_FX_PREEMPT:
		hs_preempt(n);
		break;
	case HA_FX_SCORE:
		n->score = fx->score;
		break;
	case HA_FX_ORDER_RESULT:
		hs_order_result(n, fx);
		break;
	case HA_FX_SERVE:
		hs_serve(n, fx->lsn);
		break;
	case HA_FX_HOLD:
		n->hold = true;
		hs_say("node %u: HOLD", n->id);
		break;
	case HA_FX_RESUME:
		n->hold = false;
		hs_say("node %u: RESUME mode %u epoch %llu", n->id, ha_mode(n->ha),
		       (ull)ha_epoch(n->ha));
		break;
	case HA_FX_DRAIN:
		n->draining = true;
		hs_for_node(hs_upto(3000), HS_DRAIN, n);
		break;
	case HA_FX_UNDRAIN:
		n->draining = n->drained = false;
		break;
	case HA_FX_STANDBY:
		hs_stand_by(n);
		break;
	case HA_FX_ROWS_READ:
		if (!fx->cookie)
			n->read_slot = 0;
		hs_for_node(300 + hs_upto(20000), HS_ROWS, n);
		break;
	case HA_FX_ROWS_BEGIN:
		hs_rows_begin(n, fx->lsn);
		break;
	case HA_FX_ROWS_PUT:
		hs_rows_put(n, fx);
		break;
	case HA_FX_ROWS_END:
		hs_rows_end(n, fx->lsn);
		break;
	case HA_FX_ROWS_KEEP:
		break;
	case HA_FX_TIMER:
		at_us = fx->at_ms * 1000;
		hs_for_node(at_us > world.now_us ? at_us - world.now_us : 0, HS_TIMER, n);
		break;
	case HA_FX_ALARM:
		hs_say("node %u: alarm %s %s", n->id, ha_alarm_name((unsigned)fx->alarm),
		       fx->on ? "on" : "off");
		break;
	case HA_FX_DIE:
		hs_say("node %u: DIE: %s", n->id, fx->text);
		break;
	}
}
