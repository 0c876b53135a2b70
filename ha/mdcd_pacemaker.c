/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mdcd-pacemaker OWN PEER RESOURCE: the child of mdcd that speaks to Pacemaker's daemons. Descriptor 3 is mdcd; the lines are
 * those of ha/io/cluster_helper.h. It writes promotion scores (pacemaker-attrd), has the peer's node fenced and listens for
 * every request and result (pacemaker-fenced), reports the peer's failed controller to pacemaker-controld, and wakes that from a sleep that
 * nobody can afford. It decides nothing.
 *
 * Every write makes the scheduler run anew and aborts the transition under way, so it writes as little and as seldom as it can.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <crm/crm.h>
#include <crm/common/ipc.h>
#ifdef HAVE_CRM_COMMON_IPC_ATTRD_INTERNAL_H
#include <crm/common/ipc_attrd_internal.h>
#endif
#include <crm/common/ipc_controld.h>
#include <crm/common/mainloop.h>
#include <crm/common/util.h>
#include <crm/stonith-ng.h>
#include <glib-unix.h>

#include "ha/io/sleeper.h"

enum { MDCD = 3, LINE_BYTES = 512, AGAIN_MS = 500, REPORT_MS = 1000, FENCE_S = 60, HISTORY_S = 2 };

/* Who lost its peer's node keeps pacemaker-controld awake for ten seconds, and for ten more when the peer's node is cut off. */
enum { WAKE_MS = 25, WAKES = 400 };

enum { SCORE_MOVE = 1, SCORE_ACTIVE = 1000 };

static const char *own, *peer, *resource;
static GMainLoop *loop;
static stonith_t *fencer;
static bool connected;
static int score_wanted = -1, score_written = -1;
static guint score_timer, report_timer, wake_timer;
static unsigned wakes;
static pid_t controld_pid;

static void __attribute__((format(printf, 1, 2))) tell(const char *format, ...)
{
	char line[LINE_BYTES];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (send(MDCD, line, (size_t)n, MSG_NOSIGNAL) < 0)
		exit(0);
}

/* ---- scores ---- */

#ifdef HAVE_CRM_COMMON_IPC_ATTRD_INTERNAL_H
/* pcmk__node_attr_value of Pacemaker's attrd_internal.h: without it pacemaker-attrd gets no order and stops at an assertion. */
enum { NODE_ATTR_VALUE = 1 << 3 };

static int set_attribute(const char *node, const char *name, const char *value)
{
	pcmk_ipc_api_t *attrd = NULL;
	int rc = pcmk_new_ipc_api(&attrd, pcmk_ipc_attrd);

	if (rc == pcmk_rc_ok)
		rc = pcmk_connect_ipc(attrd, pcmk_ipc_dispatch_sync);
	if (rc == pcmk_rc_ok)
		rc = pcmk__attrd_api_update(attrd, node, name, value, NULL, NULL, NULL,
					    NODE_ATTR_VALUE);
	pcmk_free_ipc_api(attrd);
	return rc;
}
#else
/* Pacemaker's own tool: some 60 ms instead of one. */
static int set_attribute(const char *node, const char *name, const char *value)
{
	const char *const command[] = {"attrd_updater", "-n", name, "-U", value, "-N", node, NULL};
	gint status;

	return g_spawn_sync(NULL, (gchar **)(size_t)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
			    NULL, NULL, &status, NULL) &&
			       status == 0
		       ? pcmk_rc_ok
		       : pcmk_rc_error;
}
#endif

static int write_score(const char *node, int score)
{
	char *name = pcmk_promotion_score_name(resource), value[16] = "-INFINITY";
	int rc;

	if (score > 0)
		snprintf(value, sizeof(value), "%d", score);
	rc = set_attribute(node, name, value);
	free(name);
	tell("log promotion score of %s: %s%s%s", node, value,
	     rc == pcmk_rc_ok ? "" : ", not written: ", rc == pcmk_rc_ok ? "" : pcmk_rc_str(rc));
	return rc;
}

static gboolean score_due(gpointer unused)
{
	score_timer = 0;
	if (score_wanted == score_written)
		return G_SOURCE_REMOVE;
	if (write_score(own, score_wanted) == pcmk_rc_ok)
		score_written = score_wanted;
	else
		score_timer = g_timeout_add(AGAIN_MS, score_due, NULL);
	return G_SOURCE_REMOVE;
}

/*
 * Never to be promoted is said at once. The active's own score follows soon behind its promotion, and
 * before that of a peer which comes back, or the role would wander. The rest is a hint among hints, and
 * must not meet a failure that is being dealt with: a CIB reply that arrives while others are under way
 * costs pacemaker-controld a whole second.
 */
static guint calm_ms(int score)
{
	if (score <= 0)
		return 0;
	if (score >= SCORE_ACTIVE)
		return 300;
	return score == SCORE_MOVE ? 0 : score_written > 0 ? 3000 : 1000;
}

static void want_score(int score)
{
	score_wanted = score;
	if (!resource)
		return;
	if (score_timer)
		g_source_remove(score_timer);
	score_timer = 0;
	if (calm_ms(score) == 0)
		score_due(NULL);
	else
		score_timer = g_timeout_add(calm_ms(score), score_due, NULL);
}

/* ---- the peer's controller failed ---- */

static bool answered;

static void controld_said(pcmk_ipc_api_t *api, enum pcmk_ipc_event event, crm_exit_t status,
			  void *data, void *unused)
{
	answered |= event == pcmk_ipc_event_reply || event == pcmk_ipc_event_disconnect;
}

static gboolean report_failure(gpointer unused)
{
	pcmk_ipc_api_t *controld = NULL;
	int rc = pcmk_new_ipc_api(&controld, pcmk_ipc_controld);

	report_timer = 0;
	answered = false;
	if (rc == pcmk_rc_ok) {
		pcmk_register_ipc_callback(controld, controld_said, NULL);
		rc = pcmk_connect_ipc(controld, pcmk_ipc_dispatch_poll);
	}
	if (rc == pcmk_rc_ok)
		rc = pcmk_controld_api_fail(controld, peer, peer, resource, NULL, "ocf", "mdcpair",
					    "controller");
	while (rc == pcmk_rc_ok && !answered && pcmk_poll_ipc(controld, 2000) == pcmk_rc_ok)
		pcmk_dispatch_ipc(controld);
	pcmk_free_ipc_api(controld);
	tell("log the failure of %s on %s was reported: %s", resource, peer, pcmk_rc_str(rc));
	return G_SOURCE_REMOVE;
}

static void peer_back(void)
{
	if (report_timer)
		g_source_remove(report_timer);
	report_timer = 0;
}

/*
 * The dead one's score alone makes the scheduler move the active role, in one run. To have it started
 * again is reported when that is done.
 */
static void peer_failed(void)
{
	if (!resource)
		return;
	if (score_timer && score_wanted > 0) { /* the only one left: no hint any more */
		g_source_remove(score_timer);
		score_due(NULL);
	}
	write_score(peer, 0);
	peer_back();
	report_timer = g_timeout_add(REPORT_MS, report_failure, NULL);
}

/* ---- fencing ---- */

static gboolean connect_fencer(gpointer unused);

static bool cuts_peer(const char *target, const char *action)
{
	return target && action && strcmp(target, peer) == 0 &&
	       (strcmp(action, "off") == 0 || strcmp(action, "reboot") == 0);
}

static void wake_no_more(void)
{
	if (wake_timer)
		g_source_remove(wake_timer);
	wake_timer = 0;
}

/*
 * A pacemaker-controld that has become the DC, as it does where the lost node was, asks for the CIB while updates of its own are under
 * way, more often than not gets the answer before theirs, and then sleeps for a second, deaf (do_pe_invoke_callback): all clients wait
 * for that. A signal that it handles ends the sleep: SIGCHLD has it look for children that ended. Only while it does sleep: elsewhere,
 * as where it connects to the scheduler, a signal does harm.
 */
static gboolean wake_due(gpointer unused)
{
	sleeper_wake("pacemaker-controld", &controld_pid);
	if (++wakes < WAKES)
		return G_SOURCE_CONTINUE;
	wake_timer = 0;
	return G_SOURCE_REMOVE;
}

static void keep_awake(void)
{
	wake_no_more();
	wakes = 0;
	wake_timer = g_timeout_add(WAKE_MS, wake_due, NULL);
}

/* The fencer says that there is something new, not what. It answers from its memory, so nothing waits here for long. */
static gboolean look_for_request(gpointer unused)
{
	stonith_history_t *all = NULL;

	if (connected &&
	    fencer->cmds->history(fencer, st_opt_none, peer, &all, HISTORY_S) == pcmk_ok)
		for (const stonith_history_t *h = all; h; h = h->next)
			if ((h->state == st_query || h->state == st_exec) &&
			    cuts_peer(h->target, h->action))
				tell("asked %s by %s on %s", h->action,
				     h->client ? h->client : "nobody known",
				     h->origin ? h->origin : "a node not known");
	stonith_history_free(all);
	return G_SOURCE_REMOVE;
}

static void history_changed(stonith_t *st, stonith_event_t *e)
{
	g_idle_add(look_for_request, NULL);
}

static void fenced(stonith_t *st, stonith_event_t *e)
{
	if (!cuts_peer(e->target, e->action))
		return;
	if (e->result == pcmk_ok) {
		tell("fenced %s (%s) by %s for %s", e->target, e->action,
		     e->executioner ? e->executioner : "nobody known",
		     e->client_origin ? e->client_origin : "nobody known");
		keep_awake();
	} else {
		tell("failed %s by %s: %s", e->action, e->executioner ? e->executioner : "nobody",
		     pcmk_strerror(e->result));
	}
}

static void fencer_lost(stonith_t *st, stonith_event_t *e)
{
	tell("log pacemaker-fenced is gone");
	connected = false;
	g_timeout_add(AGAIN_MS, connect_fencer, NULL);
}

static gboolean connect_fencer(gpointer unused)
{
	if (connected)
		return G_SOURCE_REMOVE;
	if (fencer)
		stonith_api_delete(fencer);
	fencer = stonith_api_new();
	if (!fencer || fencer->cmds->connect(fencer, "mdcd", NULL) != pcmk_ok)
		return G_SOURCE_CONTINUE;
	fencer->cmds->register_notification(fencer, T_STONITH_NOTIFY_FENCE, fenced);
	fencer->cmds->register_notification(fencer, T_STONITH_NOTIFY_HISTORY, history_changed);
	fencer->cmds->register_notification(fencer, T_STONITH_NOTIFY_DISCONNECT, fencer_lost);
	connected = true;
	tell("log connected to pacemaker-fenced");
	return G_SOURCE_REMOVE;
}

/* Success is told by fenced() too, whoever asked for it. */
static void fence_done(stonith_t *st, stonith_callback_data_t *d)
{
	if (d->rc == pcmk_ok)
		tell("done");
	else
		tell("unfenced %s", pcmk_strerror(d->rc));
}

/*
 * A cluster that says it has no fencing gets none by the back door: its administrator would believe
 * that it works. What cannot be asked is left to the fencer, who then says no.
 */
static bool is_fencing_off(void)
{
	static const char *const command[] = {
		"crm_attribute", "--type",  "crm_config", "--name", "stonith-enabled",
		"--query",	 "--quiet", "--default",  "true",   NULL};
	gchar *out = NULL;
	gint status = 0;
	bool off = false;

	if (!g_spawn_sync(NULL, (gchar **)(size_t)command, NULL,
			  G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL,
			  &status, NULL))
		return false;
	if (status == 0 && out)
		off = !crm_is_true(g_strstrip(out));
	g_free(out);
	return off;
}

static void fence(void)
{
	int call;

	if (is_fencing_off()) {
		tell("unfenced stonith-enabled is false, see mdcctl check");
		return;
	}
	if (!connected) {
		tell("unfenced pacemaker-fenced does not answer");
		return;
	}
	call = fencer->cmds->fence(fencer, st_opt_none, peer, "reboot", FENCE_S, 0);
	if (call <= 0)
		tell("unfenced %s", pcmk_strerror(call));
	else
		fencer->cmds->register_callback(fencer, call, FENCE_S + 5, st_opt_timeout_updates,
						NULL, "fence_done", fence_done);
}

/* ---- mdcd ---- */

static gboolean mdcd_said(gint fd, GIOCondition condition, gpointer unused)
{
	char line[LINE_BYTES];
	ssize_t n = recv(fd, line, sizeof(line) - 1, 0);

	if (n <= 0) {
		g_main_loop_quit(loop);
		return G_SOURCE_REMOVE;
	}
	line[n] = '\0';
	if (strncmp(line, "score ", 6) == 0)
		want_score(atoi(line + 6));
	else if (strcmp(line, "fence") == 0)
		fence();
	else if (strcmp(line, "failed") == 0)
		peer_failed();
	else if (strcmp(line, "lost") == 0)
		keep_awake();
	else if (strcmp(line, "back") == 0) {
		peer_back();
		wake_no_more();
	}
	return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
		printf("mdcd-pacemaker speaks to Pacemaker for mdcd, which starts it: see mdcd(8)\n");
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("mdcd-pacemaker %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (argc != 4 || send(MDCD, "log mdcd-pacemaker started", 26, MSG_NOSIGNAL) < 0) {
		fprintf(stderr, "mdcd-pacemaker is started by mdcd\n");
		return 2;
	}
	own = argv[1];
	peer = argv[2];
	resource = argv[3][0] ? argv[3] : NULL;
	loop = g_main_loop_new(NULL, FALSE);
	g_unix_fd_add(MDCD, G_IO_IN | G_IO_HUP | G_IO_ERR, mdcd_said, NULL);
	if (connect_fencer(NULL) == G_SOURCE_CONTINUE)
		g_timeout_add(AGAIN_MS, connect_fencer, NULL);
	g_main_loop_run(loop);
	return 0;
}
