/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One client with several workers, each alone in a directory of its own with one request under way: so each knows exactly what every
 * answer must be, whatever happened to the controllers in between. An operation that ran twice, was lost after its reply, or was
 * answered from an older state contradicts the worker's own book.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_MKDIR = 1000 };

static struct pr_cred root_cred(void)
{
	return (struct pr_cred){.uid = 0, .gid = 0};
}

static struct pr_bytes name_of(int name)
{
	static char text[SIM_NAMES][16];

	snprintf(text[name], sizeof(text[name]), "entry-%d", name);
	return pr_bytes_str(text[name]);
}

static void submit(struct sim *s, uint16_t type, uint64_t tag, int encoded)
{
	if (encoded < 0)
		sim_fail(s, "client", "cannot encode %s: %d", pr_type_name(type), encoded);
	else
		cl_submit(s->cl, type, tag);
}

static void pick(struct sim *s, int w)
{
	static const uint16_t types[] = {PR_T_CREATE,  PR_T_CREATE, PR_T_CREATE, PR_T_MKDIR,
					 PR_T_UNLINK,  PR_T_UNLINK, PR_T_RMDIR,	 PR_T_RENAME,
					 PR_T_RENAME,  PR_T_LOOKUP, PR_T_LOOKUP, PR_T_SETATTR,
					 PR_T_READDIR, PR_T_NOOP};
	struct sim_worker *k = &s->worker[w];
	struct pr_buf *b = cl_prepare(s->cl, 1024);
	int r = -EINVAL;

	k->busy = true;
	k->started_us = s->now_us;
	k->type = types[sim_below(s, sizeof(types) / sizeof(types[0]))];
	k->name = (int)sim_below(s, SIM_NAMES);
	k->name2 = (int)sim_below(s, SIM_NAMES);
	k->mode = (uint32_t)sim_below(s, 0777);
	if (k->type == PR_T_SETATTR && !k->ino[k->name])
		k->type = PR_T_LOOKUP;
	switch (k->type) {
	case PR_T_CREATE:
		r = pr_create_encode(
			b, &(struct pr_create){.cred = root_cred(),
					       .parent = k->dir,
					       .mode = 0100000 | k->mode,
					       .flags = PR_O_CREAT | PR_O_EXCL | PR_O_WRITE,
					       .name = name_of(k->name)});
		break;
	case PR_T_MKDIR:
		r = pr_mkdir_encode(b, &(struct pr_mkdir){.cred = root_cred(),
							  .parent = k->dir,
							  .mode = 040000 | k->mode,
							  .name = name_of(k->name)});
		break;
	case PR_T_UNLINK:
		r = pr_unlink_encode(b, &(struct pr_unlink){.cred = root_cred(),
							    .parent = k->dir,
							    .name = name_of(k->name)});
		break;
	case PR_T_RMDIR:
		r = pr_rmdir_encode(b, &(struct pr_rmdir){.cred = root_cred(),
							  .parent = k->dir,
							  .name = name_of(k->name)});
		break;
	case PR_T_RENAME:
		k->mode = sim_chance(s, 300) ? PR_RENAME_NOREPLACE : 0;
		r = pr_rename_encode(b, &(struct pr_rename){.cred = root_cred(),
							    .old_parent = k->dir,
							    .new_parent = k->dir,
							    .flags = k->mode,
							    .old_name = name_of(k->name),
							    .new_name = name_of(k->name2)});
		break;
	case PR_T_LOOKUP:
		r = pr_lookup_encode(b, &(struct pr_lookup){.cred = root_cred(),
							    .parent = k->dir,
							    .name = name_of(k->name)});
		break;
	case PR_T_SETATTR:
		r = pr_setattr_encode(b, &(struct pr_setattr){.cred = root_cred(),
							      .ino = k->ino[k->name],
							      .valid = PR_SET_MODE,
							      .mode = k->mode});
		break;
	case PR_T_READDIR:
		r = pr_readdir_encode(b, &(struct pr_readdir){.cred = root_cred(),
							      .ino = k->dir,
							      .cookie = 0,
							      .max_bytes = 65536});
		break;
	case PR_T_NOOP:
		r = pr_noop_encode(b, &(struct pr_noop){});
		break;
	}
	submit(s, k->type, (uint64_t)w, r);
}

static void make_dir(struct sim *s, int w)
{
	char name[16];
	struct pr_buf *b = cl_prepare(s->cl, 1024);

	snprintf(name, sizeof(name), "worker-%d", w);
	s->worker[w].busy = true;
	submit(s, PR_T_MKDIR, (uint64_t)(TAG_MKDIR + w),
	       pr_mkdir_encode(b, &(struct pr_mkdir){.cred = root_cred(),
						     .parent = s->root,
						     .mode = 040755,
						     .name = pr_bytes_str(name)}));
}

static void expect(struct sim *s, int w, int got, int want)
{
	struct sim_worker *k = &s->worker[w];

	if (got != want)
		sim_fail(s, "I9 or durability",
			 "worker %d: %s of entry-%d (to entry-%d) answered %d, its book says %d", w,
			 pr_type_name(k->type), k->name, k->name2, got, want);
}

static void check_listing(struct sim *s, int w, const uint8_t *p, uint32_t len)
{
	struct sim_worker *k = &s->worker[w];
	struct pr_readdir_r r;
	struct pr_dirent d;
	uint64_t seen[SIM_NAMES] = {0};

	if (pr_readdir_r_decode(&r, p, len) < 0) {
		sim_fail(s, "client", "readdir's reply does not decode");
		return;
	}
	while (pr_dirent_next(&r.entries, &d)) {
		int n = -1;

		for (int i = 0; i < SIM_NAMES; i++)
			if (pr_bytes_equal(d.name, name_of(i)))
				n = i;
		if (n < 0 || seen[n])
			sim_fail(s, "readdir", "worker %d: a name it never made, or twice: %.*s", w,
				 (int)d.name.len, (const char *)d.name.p);
		else
			seen[n] = d.attr.ino;
	}
	for (int i = 0; i < SIM_NAMES; i++)
		if (seen[i] != k->ino[i])
			sim_fail(s, "readdir",
				 "worker %d: entry-%d is inode %llu, its book says %llu", w, i,
				 (unsigned long long)seen[i], (unsigned long long)k->ino[i]);
}

static int rename_want(struct sim_worker *k, bool noreplace)
{
	int a = k->name, b = k->name2;

	if (!k->ino[a])
		return -ENOENT;
	if (noreplace && k->ino[b])
		return -EEXIST;
	if (a == b || !k->ino[b])
		return 0;
	if (k->kind[a] == 2 && k->kind[b] != 2)
		return -ENOTDIR;
	if (k->kind[a] != 2 && k->kind[b] == 2)
		return -EISDIR;
	return 0;
}

static void take(struct sim_worker *k, int name, uint64_t ino, uint8_t kind, uint32_t perm)
{
	k->ino[name] = ino;
	k->kind[name] = kind;
	k->perm[name] = perm;
}

static void pump(struct sim *s, struct sim_event *e);

static void done(struct sim *s, const struct cl_effect *fx)
{
	bool is_mkdir = fx->tag >= TAG_MKDIR;
	int w = (int)(is_mkdir ? fx->tag - TAG_MKDIR : fx->tag);
	struct sim_worker *k = &s->worker[w];
	uint64_t *ino = &k->ino[k->name];
	int error = fx->error;

	k->busy = false;
	k->next_us = s->now_us + sim_below(s, 2ull * s->swarm.think_us + 1);
	sim_after(s, k->next_us - s->now_us, 0, pump);
	s->done_ops++;
	k->ops++;
	if (is_mkdir) {
		struct pr_mkdir_r r;

		if (error || pr_mkdir_r_decode(&r, fx->p, fx->len) < 0) {
			sim_fail(s, "I9 or durability", "worker %d: its directory: %d", w, error);
			return;
		}
		k->dir = r.attr.ino;
		k->ready = true;
		return;
	}
	sim_note(s, "client: worker %d %s entry-%d entry-%d: %d", w, pr_type_name(k->type), k->name,
		 k->name2, error);
	switch (k->type) {
	case PR_T_CREATE: {
		struct pr_create_r r;

		expect(s, w, error, *ino ? -EEXIST : 0);
		if (!error && pr_create_r_decode(&r, fx->p, fx->len) == 0)
			take(k, k->name, r.attr.ino, 1, k->mode);
		break;
	}
	case PR_T_MKDIR: {
		struct pr_mkdir_r r;

		expect(s, w, error, *ino ? -EEXIST : 0);
		if (!error && pr_mkdir_r_decode(&r, fx->p, fx->len) == 0)
			take(k, k->name, r.attr.ino, 2, k->mode);
		break;
	}
	case PR_T_UNLINK:
		expect(s, w, error, !*ino ? -ENOENT : k->kind[k->name] == 2 ? -EISDIR : 0);
		if (!error)
			*ino = 0;
		break;
	case PR_T_RMDIR:
		expect(s, w, error, !*ino ? -ENOENT : k->kind[k->name] != 2 ? -ENOTDIR : 0);
		if (!error)
			*ino = 0;
		break;
	case PR_T_RENAME:
		expect(s, w, error, rename_want(k, k->mode));
		if (!error && k->name != k->name2) {
			take(k, k->name2, *ino, k->kind[k->name], k->perm[k->name]);
			*ino = 0;
		}
		break;
	case PR_T_LOOKUP: {
		struct pr_lookup_r r;

		expect(s, w, error, *ino ? 0 : -ENOENT);
		if (!error && pr_lookup_r_decode(&r, fx->p, fx->len) == 0 &&
		    (r.attr.ino != *ino || (r.attr.mode & 0777) != k->perm[k->name]))
			sim_fail(s, "durability",
				 "worker %d: entry-%d is inode %llu mode %o, its book says %llu %o",
				 w, k->name, (unsigned long long)r.attr.ino, r.attr.mode & 0777,
				 (unsigned long long)*ino, k->perm[k->name]);
		break;
	}
	case PR_T_SETATTR:
		expect(s, w, error, 0);
		k->perm[k->name] = k->mode;
		break;
	case PR_T_READDIR:
		expect(s, w, error, 0);
		if (!error)
			check_listing(s, w, fx->p, fx->len);
		break;
	default:
		expect(s, w, error, 0);
	}
}

static void work(struct sim *s)
{
	for (int w = 0; w < SIM_WORKERS && s->session && !s->violation; w++) {
		struct sim_worker *k = &s->worker[w];

		if (k->busy || k->next_us > s->now_us)
			continue;
		if (!k->ready)
			make_dir(s, w);
		else if (s->done_ops < s->swarm.ops)
			pick(s, w);
	}
}

bool sim_client_idle(const struct sim *s)
{
	for (int w = 0; w < SIM_WORKERS; w++)
		if (s->worker[w].busy || !s->worker[w].ready)
			return false;
	return s->done_ops >= s->swarm.ops;
}

static void wake(struct sim *s, struct sim_event *e)
{
	(void)e;
	if (s->wake_us <= s->now_us) {
		s->wake_us = UINT64_MAX;
		sim_client_step(s, &(struct cl_event){.type = CL_EV_TIMER});
	}
}

static void pump(struct sim *s, struct sim_event *e)
{
	(void)e;
	work(s);
	sim_client_step(s, &(struct cl_event){.type = CL_EV_PUMP});
}

static void effects(struct sim *s)
{
	struct cl_effect fx;

	while (cl_next(s->cl, &fx)) {
		switch (fx.type) {
		case CL_FX_CONNECT:
			sim_connect(s, 0, fx.peer + 1, fx.port, fx.conn);
			break;
		case CL_FX_DROP:
			sim_hang_up(s, 0, fx.conn);
			break;
		case CL_FX_SEND:
			sim_send(s, 0, fx.conn, fx.p, fx.len, NULL, 0);
			break;
		case CL_FX_DONE:
			done(s, &fx);
			break;
		case CL_FX_READY:
			s->session = true;
			s->root = fx.open->root;
			sim_note(s, "client: the session stands");
			break;
		case CL_FX_FAILED:
		case CL_FX_EVICTED:
			sim_fail(s, "eviction", "the client lost its session: %s",
				 fx.text ? fx.text : "");
			break;
		case CL_FX_SERVING:
			sim_note(s, "client: %s (gap %u ms)", fx.on ? "served" : "not served",
				 fx.gap_ms);
			break;
		case CL_FX_WARNING:
			sim_note(s, "client: %s", fx.text);
			break;
		default:
			break;
		}
	}
}

void sim_client_step(struct sim *s, struct cl_event *ev)
{
	uint64_t at;

	ev->now_ms = s->now_us / SIM_US_MS + 1000;
	cl_step(s->cl, ev);
	effects(s);
	if (ev->type != CL_EV_PUMP)
		sim_after(s, 50, 0, pump);
	at = cl_wake_ms(s->cl);
	if (at != UINT64_MAX) {
		uint64_t us = at <= ev->now_ms ? s->now_us + 200 : (at - 1000) * SIM_US_MS;

		if (us < s->wake_us) {
			s->wake_us = us;
			sim_after(s, us > s->now_us ? us - s->now_us : 0, 0, wake);
		}
	}
}

void sim_client_start(struct sim *s)
{
	struct cl_config config = {.slots = SIM_WORKERS, .retry_min_ms = 5, .retry_max_ms = 200};

	for (unsigned i = 0; i < sizeof(config.client); i++)
		((uint8_t *)&config.client)[i] = (uint8_t)sim_random(s);
	snprintf(config.volume, sizeof(config.volume), "vol1");
	snprintf(config.host, sizeof(config.host), "client1");
	s->wake_us = UINT64_MAX;
	s->cl = cl_new(&config);
	sim_client_step(s, &(struct cl_event){.type = CL_EV_START});
}

void sim_client_free(struct sim *s)
{
	if (s->cl)
		cl_free(s->cl);
}
