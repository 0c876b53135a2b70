/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens what a controller needs, in an order in which nothing is touched that another process owns. */
#include "controller/io/edge.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "controller/io/locked.h"
#include "controller/io/log.h"
#include "controller/io/lun_tool.h"

enum { RING_SLOTS = 4096, IN_FLIGHT = 2, BATCH_BYTES_MAX = 1 << 20, ARBITER_PATIENCE_MS = 5000 };

static int say(char *why, size_t size, int error, const char *what)
{
	snprintf(why, size, "%s: %s", what, strerror(-error));
	return error;
}

/*
 * The number of this life: greater than that of the last one in this directory, and than any that the peer may remember of a disk
 * that is lost or was newer than this one: what is proven dead up to a number must never be this process.
 */
static uint64_t next_life(uint64_t last)
{
	struct timespec t;
	uint64_t now_ms;

	clock_gettime(CLOCK_REALTIME, &t);
	now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
	return now_ms > last ? now_ms : last + 1;
}

/* DIR/lock: locked by who uses the directory; holds its PID and the number of its life. */
static int take_directory(struct edge *e, char *why, size_t size)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX + 8], text[64] = "";
	int pid = 0;
	ssize_t n;

	if (mkdir(e->conf.dir, 0700) < 0 && errno != EEXIST)
		return say(why, size, -errno, e->conf.dir);
	snprintf(path, sizeof(path), "%s/lock", e->conf.dir);
	e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (e->lock_fd < 0)
		return say(why, size, -errno, path);
	n = pread(e->lock_fd, text, sizeof(text) - 1, 0);
	if (n > 0)
		sscanf(text, "pid %d\nlife %" SCNu64, &pid, &e->incarnation);
	if (fcntl(e->lock_fd, F_OFD_SETLK, &lock) < 0) {
		snprintf(
			why, size,
			"%s is in use by PID %d: only one mdcd may use a directory; stop that one first",
			e->conf.dir, pid);
		return -EBUSY;
	}
	e->incarnation = next_life(e->incarnation);
	n = snprintf(text, sizeof(text), "pid %-10d\nlife %" PRIu64 "\n", (int)getpid(),
		     e->incarnation);
	if (pwrite(e->lock_fd, text, (size_t)n, 0) != n || fdatasync(e->lock_fd) < 0)
		return say(why, size, -errno, path);
	return 0;
}

/* mdcctl looks here for the name of the admin socket. */
static int publish_name(struct edge *e, char *why, size_t size)
{
	char path[PATH_MAX + 8], name[64];
	FILE *f;

	snprintf(name, sizeof(name), "%s", e->conf.admin);
	if (!name[0])
		admin_name(e->conf.dir, name);
	snprintf(path, sizeof(path), "%s/admin", e->conf.dir);
	f = fopen(path, "we");
	if (!f || fprintf(f, "%s\n", name) < 0 || fclose(f) != 0)
		return say(why, size, -errno, path);
	return admin_open(e->loop, name, edge_admin_request, e, &e->admin, why, size);
}

/* Clients may not take the descriptors that journal, store, LUNs and the pair's link need: where the limit is low, fewer connections. */
static void raise_descriptor_limit(struct conf *c)
{
	enum { OWN = 256 };
	rlim_t want = c->connections_max + OWN;
	struct rlimit l;
	uint32_t room;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= want)
		return;
	l.rlim_cur = want < l.rlim_max ? want : l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= want)
		return;
	room = (uint32_t)(l.rlim_cur > 2 * OWN ? l.rlim_cur - OWN : l.rlim_cur / 2);
	log_warning(
		"%" PRIu64
		" open files are the limit: %u connections of clients, not the %u of tuning.connections_max; raise it (ulimit -n, LimitNOFILE= of the unit)",
		(uint64_t)l.rlim_cur, room, c->connections_max);
	c->connections_max = room;
}

static int open_signals(struct edge *e)
{
	static const int nothing[] = {SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM};
	sigset_t set;

	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		signal(nothing[i], SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	e->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return e->signal_fd < 0 ? -errno : 0;
}

static int open_supervisor(struct edge *e, char *why, size_t size)
{
	struct stat st;

	if (e->conf.supervisor_fd < 0)
		return 0;
	if (fstat(e->conf.supervisor_fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		snprintf(
			why, size,
			"descriptor %d is no supervisor: this is the configuration of an embedded pair, start it with \"mdcpair up\"",
			e->conf.supervisor_fd);
		return -ENOTCONN;
	}
	return super_new(e->conf.supervisor_fd, &e->super);
}

static void fill_jr_config(const struct conf *c, struct jr_config *j)
{
	*j = (struct jr_config){
		.segment_bytes = c->segment_mib << 20,
		.segments = c->segments,
		.ring_slots = RING_SLOTS,
		.in_flight = IN_FLIGHT * 2,
	};
	memcpy(j->cluster, c->cluster.b, sizeof(j->cluster));
}

static int make_core(struct edge *e, char *why, size_t size)
{
	const struct conf *c = &e->conf;
	struct ctl_config config = {
		.ha =
			{
				.node = (uint8_t)c->node,
				.beat_ms = c->beat_ms,
				.lease_ms = c->link_lease_ms,
				.drop_ms = c->drop_ms,
				.link_dead_ms = c->link_dead_ms,
				.membership_ms =
					e->cl.cluster ? cluster_membership_ms(e->cl.cluster) : 0,
				.freeze_on_peer_loss = c->freeze_on_peer_loss,
				.in_flight = IN_FLIGHT,
				.cluster_stack = c->supervisor_fd < 0,
				.drift_ppm = 1000,
			},
		.incarnation = e->incarnation,
		.lease_ms = c->lease_ms,
		.sessions_max = c->sessions_max,
		.slots_max = c->slots_max,
		.cache_bytes = (size_t)c->cache_mib << 20,
		.overlay_bytes = (size_t)c->overlay_mib << 20,
		.flush_ms = c->flush_ms,
		.batch_bytes_max = BATCH_BYTES_MAX,
	};
	char text[256] = "";

	memcpy(config.ha.cluster, c->cluster.b, 16);
	fill_jr_config(c, &config.journal);
	for (int i = 0; i < 2; i++)
		snprintf(config.address[i], sizeof(config.address[i]), "%s", c->access[i]);
	e->ctl = ctl_new(&config, text);
	if (e->ctl)
		return 0;
	snprintf(why, size, "%s: %s", c->path, text);
	return -EINVAL;
}

static int open_storage(struct edge *e, char *why, size_t size)
{
	const struct conf *c = &e->conf;
	struct store_config store = {
		.dir = c->dir,
		.cluster = c->cluster,
		.map_bytes = (uint64_t)c->map_mib << 20,
		.readers = c->readers,
		.flush_ms = c->flush_ms,
	};
	const char *paths[CONF_LUNS_MAX];
	struct arbiter_config arbiter = {.cluster = c->cluster.b,
					 .node = (uint8_t)c->node,
					 .paths = paths,
					 .count = c->luns,
					 .patience_ms = ARBITER_PATIENCE_MS};
	struct jr_config journal;
	int error;

	for (uint32_t i = 0; i < c->luns; i++)
		paths[i] = c->lun[i];
	error = lun_check_all(paths, c->luns, &c->cluster, why, size);
	if (!error)
		error = edge_fence_open(e, why, size);
	if (!error)
		error = store_open(&store, &e->store, why, size);
	if (!error) {
		fill_jr_config(c, &journal);
		error = jx_open(c->dir, &journal, &e->jx, why, size);
	}
	if (!error)
		error = worker_new("mdcd-state", &e->state_worker);
	if (!error)
		error = arbiter_new(&arbiter, &e->arbiter);
	if (!error)
		error = client_fence_new(paths, c->luns, &e->client_fence);
	return error;
}

static int sync_directory(const struct edge *e)
{
	int fd = open(e->conf.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* A busy host must not look like a dead one. The threads that are started later inherit it; without the right all goes on. */
static void raise_priority(const struct conf *c)
{
	if (c->priority > 0 && setpriority(PRIO_PROCESS, 0, -(int)c->priority) < 0)
		log_info("priority %u: %s", c->priority, strerror(errno));
}

/* On two hosts, where Pacemaker starts it as root. */
static void lock_memory(const struct conf *c)
{
	char why[256];

	if (c->stack == CONF_COROSYNC && locked_take(why, sizeof(why)) < 0)
		log_warning("%s", why);
}

int edge_open(struct edge *e, const struct conf *conf, char *why, size_t size)
{
	struct ha_state state = {0};
	struct ctl_event boot = {.type = CTL_EV_BOOT, .state = &state};
	int error;

	*e = (struct edge){
		.conf = *conf, .lock_fd = -1, .signal_fd = -1, .started_ms = loop_now_ms()};
	why[0] = '\0';
	raise_descriptor_limit(&e->conf);
	raise_priority(conf);
	lock_memory(conf);
	error = open_supervisor(e, why, size);
	if (!error)
		error = take_directory(e, why, size);
	if (!error)
		error = open_signals(e);
	if (!error)
		error = loop_new(&e->loop);
	if (!error)
		error = edge_cluster_open(e, why, size);
	if (!error)
		error = edge_listen(e, why, size);
	if (!error)
		error = open_storage(e, why, size);
	if (!error)
		error = state_file_open(conf->dir, &e->state_file, &state, &boot.error, why, size);
	if (!error && boot.error == -EUCLEAN) {
		error = boot.error;
		snprintf(
			why, size,
			"%.300s/state: fewer than two of its four copies agree: bring it back, or move state, journal and store "
			"away for a full copy from the peer",
			conf->dir);
	}
	if (!error)
		error = make_core(e, why, size);
	if (!error)
		error = publish_name(e, why, size);
	if (!error)
		error = sync_directory(e);
	if (error) {
		if (!why[0])
			snprintf(why, size, "%s", strerror(-error));
		return error;
	}
	edge_add_sources(e);
	boot.store_lsn = store_lsn(e->store);
	boot.incarnation = e->incarnation;
	log_notice("node %u of \"%s\" starts, life %" PRIu64
		   ": directory %s, rows as of LSN %" PRIu64 ", clients on %s ports %u and %u",
		   conf->node, conf->name, e->incarnation, conf->dir, boot.store_lsn,
		   conf_own_access(conf), conf->access_port, conf->coord_port);
	edge_step(e, &boot);
	return 0;
}

void edge_close(struct edge *e)
{
	ports_free(e->ports);
	hl_free(e->hl);
	admin_free(e->admin);
	edge_fence_close(e);
	client_fence_free(e->client_fence);
	arbiter_free(e->arbiter);
	worker_free(e->state_worker);
	state_file_close(e->state_file);
	store_close(e->store);
	jx_close(e->jx);
	ctl_free(e->ctl);
	super_free(e->super);
	loop_free(e->loop);
	if (e->signal_fd >= 0)
		close(e->signal_fd);
	if (e->lock_fd >= 0)
		close(e->lock_fd);
	edge_cluster_close(e);
}
