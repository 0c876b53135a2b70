/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a mount: a session on the volume, then the kernel's mount, then the background.
 * Whatever can go wrong before that is told on standard error, with an exit code; a parent waits
 * for it. Going the other way, the kernel's mount ends first, and then what is dirty is written
 * back and the session given up, so that nobody else has to wait for it to expire.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "client/mdcfs.h"
#include "proto/command_line.h"

enum {
	TELL_AFTER_MS = 2000,  /* of waiting for an active controller */
	BUSY_FOR_MS = 2000,    /* a mount of a moment ago may still be giving up its session */
	CLOSE_WAIT_MS = 30000, /* for an active controller, at the end */
	READAHEAD_KB = 8192,
	BACKGROUND_MAX = 64, /* reads ahead and late writes in flight */
};

struct mf mf;

/* ---- libfuse ---- */

static void start(void *user, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC |
				FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO |
				FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ |
				FUSE_CAP_EXPLICIT_INVAL_DATA;

	/*
	 * Pages are dropped at an open or when a controller says so, never by guessing from a time
	 * of modification that this mount's own writes move. Attributes that come with a listing
	 * would have expired before anybody looks, so listings go without. The kernel's write-back
	 * cache would make this host's clock and its idea of the size the truth, and tell a full
	 * LUN too late: writes go through.
	 */
	conn->want = conn->capable & wanted;
	conn->max_write = MF_MAX_WRITE;
	conn->max_readahead = READAHEAD_KB * 1024;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	conn->time_gran = 1;
}

static void no_ioctl(fuse_req_t req, fuse_ino_t node, unsigned cmd, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_bytes,
		     size_t out_bytes)
{
	fuse_reply_err(req, ENOTTY);
}

/*
 * Left out: what the kernel does well by itself once it hears ENOSYS (poll, copy_file_range), and
 * locks, which are one host's.
 */
const struct fuse_lowlevel_ops mf_ops = {
	.init = start,
	.lookup = mf_lookup,
	.forget = mf_forget,
	.forget_multi = mf_forget_multi,
	.getattr = mf_getattr,
	.setattr = mf_setattr,
	.readlink = mf_readlink,
	.mknod = mf_mknod,
	.mkdir = mf_mkdir,
	.unlink = mf_unlink,
	.rmdir = mf_rmdir,
	.symlink = mf_symlink,
	.rename = mf_rename,
	.link = mf_link,
	.open = mf_open,
	.create = mf_create,
	.read = mf_read,
	.write_buf = mf_write_buf,
	.flush = mf_flush,
	.release = mf_release,
	.fsync = mf_fsync,
	.opendir = mf_opendir,
	.readdir = mf_readdir,
	.releasedir = mf_releasedir,
	.fsyncdir = mf_fsyncdir,
	.statfs = mf_statfs,
	.setxattr = mf_setxattr,
	.getxattr = mf_getxattr,
	.listxattr = mf_listxattr,
	.removexattr = mf_removexattr,
	.access = mf_access,
	.ioctl = no_ioctl,
	.fallocate = mf_fallocate,
	.lseek = mf_lseek,
};

static void fuse_log_line(enum fuse_log_level level, const char *format, va_list ap)
{
	char text[1024];
	size_t n;

	vsnprintf(text, sizeof(text), format, ap);
	n = strlen(text);
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = 0;
	if (n > 0)
		mf_log((int)level, "%s", text);
}

/* ---- what the library tells ---- */

struct invalidation {
	struct mf_job job;
	uint64_t ino;
};

static void invalidate(void *arg)
{
	struct invalidation *i = arg;

	fuse_lowlevel_notify_inval_inode(mf.session, mf_node(i->ino), 0, 0);
	free(i);
}

/*
 * The kernel may first have to wait for pages that this very process must bring: apart. What could
 * not be dropped so for want of memory is not kept by the next open.
 */
static void start_invalidate(uint64_t ino)
{
	struct invalidation *i = mf.session ? calloc(1, sizeof(*i)) : NULL;

	mf_inode_forget(ino);
	if (!i)
		return;
	i->ino = ino;
	if (!mf_apart(&i->job, invalidate, i))
		free(i);
}

static void told(void *user, const struct mdc_event *e)
{
	const char *text = e->text ? e->text : "";
	char room[4 * PATH_MAX];

	switch (e->type) {
	case MDC_EVENT_ACTIVE:
		if (mf.session && e->gap_ms)
			mf_log(LOG_NOTICE, "served again by %s, epoch %llu, after %u ms", text,
			       (unsigned long long)e->epoch, e->gap_ms);
		break;
	case MDC_EVENT_OUTAGE:
		mf_log(LOG_WARNING, "%s", *text ? text : "no active controller; requests wait");
		break;
	case MDC_EVENT_EVICTED:
		mf.evicted = true;
		mf_log(LOG_ERR,
		       "stale mount: the controllers ended its session (%s); umount %s and mount it again",
		       text, pr_shell_word(mf.conf.mountpoint, room, sizeof(room)));
		break;
	case MDC_EVENT_INVALIDATE:
		start_invalidate(e->ino);
		break;
	case MDC_EVENT_WARNING:
		mf_log(LOG_WARNING, "%s", text);
		break;
	}
}

/* ---- mounting ---- */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A mount is dead in the mount point: says how to end it. */
static void say_dead(const char *what)
{
	char room[4 * PATH_MAX];

	mf_log(LOG_ERR, "mountpoint %s: %s; first: umount %s", mf.conf.mountpoint, what,
	       pr_shell_word(mf.conf.mountpoint, room, sizeof(room)));
}

static bool mountpoint_ok(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOTCONN)
			say_dead("a mount there has lost its process");
		else if (errno == ESTALE)
			say_dead("a stale mount is there");
		else
			mf_log(LOG_ERR, "mountpoint %s: %s", path, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		mf_log(LOG_ERR, "mountpoint %s: is no directory", path);
		return false;
	}
	if (access("/dev/fuse", F_OK) < 0) {
		mf_log(LOG_ERR, "there is no /dev/fuse; load the module: modprobe fuse");
		return false;
	}
	return true;
}

static int open_once(uint64_t wait_ms)
{
	struct mdc_options o = {
		.flags = MDC_OPEN_EXCLUSIVE | MDC_OPEN_NO_WAIT,
		.access_port = (uint16_t)mf.conf.access_port,
		.coord_port = (uint16_t)mf.conf.coord_port,
		.open_ms = (uint32_t)wait_ms,
		.luns = mf.conf.luns,
		.program = "mdcfs",
		.what = mf.conf.mountpoint,
		.event = told,
	};

	return mdc_open_volume(mf.conf.spec, &o, &mf.mdc);
}

static void explain(int error)
{
	const char *hint = "";

	if (error == -ETIMEDOUT)
		hint = "; -o timeout=SECONDS waits longer, -o bg goes on in the background";
	mf_log(LOG_ERR, "%s%s", mdc_error(), hint);
}

/* on_wait is called once when it takes long. */
static int open_volume(void (*on_wait)(void))
{
	uint64_t start_ms = now_ms(), end_ms = start_ms + mf.conf.timeout_s * 1000, now = start_ms;
	bool waits = false;
	int r;

	for (;; now = now_ms()) {
		uint64_t left_ms = end_ms > now ? end_ms - now : 1;

		r = open_once(!waits && left_ms > TELL_AFTER_MS ? TELL_AFTER_MS : left_ms);
		if (r == -EBUSY && now_ms() < start_ms + BUSY_FOR_MS) {
			usleep(50 * 1000);
			continue;
		}
		if (r == -EBUSY && mf.conf.background) {
			if (!waits)
				on_wait();
			waits = true;
			sleep(1);
			continue;
		}
		if (r != -ETIMEDOUT || (now_ms() >= end_ms && !mf.conf.background))
			break;
		if (!waits)
			on_wait();
		waits = true;
		if (now_ms() >= end_ms)
			end_ms = now_ms() + 10000;
	}
	if (r < 0)
		explain(r);
	return r;
}

/*
 * What is dirty is still to be written back then, and the session to be ended: a SIGTERM that follows
 * the kernel's unmount must not cut that short.
 */
static void end_signals(void)
{
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	fuse_remove_signal_handlers(mf.session);
}

static int mount_session(void)
{
	char *argv[] = {"mdcfs", "-o", mf.conf.fuse_options, "-d", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(mf.conf.debug ? 4 : 3, argv);

	mf.session = fuse_session_new(&args, &mf_ops, sizeof(mf_ops), NULL);
	fuse_opt_free_args(&args);
	if (!mf.session)
		return -EINVAL;
	if (fuse_set_signal_handlers(mf.session) < 0 || mf_init_hook(mf.session) < 0 ||
	    fuse_session_mount(mf.session, mf.conf.mountpoint) < 0) {
		mf_log(LOG_ERR, "mountpoint %s: could not be mounted", mf.conf.mountpoint);
		end_signals();
		fuse_session_destroy(mf.session);
		mf.session = NULL;
		return -EIO;
	}
	return 0;
}

/* /proc writes a blank in a path as \040. */
static void unescape(char *path)
{
	char *to = path;
	unsigned code;

	for (; *path; path++) {
		if (*path == '\\' && sscanf(path + 1, "%3o", &code) == 1) {
			*to++ = (char)code;
			path += 3;
		} else {
			*to++ = *path;
		}
	}
	*to = '\0';
}

void mf_tune(void)
{
	unsigned major_number, minor_number;
	char line[4096], path[4096], name[128];
	FILE *f = fopen("/proc/self/mountinfo", "re"), *out;

	*name = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major_number, &minor_number, path) !=
		    3)
			continue;
		unescape(path);
		if (strcmp(path, mf.conf.mountpoint) == 0)
			snprintf(name, sizeof(name), "/sys/class/bdi/%u:%u/read_ahead_kb",
				 major_number, minor_number);
	}
	if (f)
		fclose(f);
	out = *name ? fopen(name, "we") : NULL;
	if (out) {
		fprintf(out, "%d\n", READAHEAD_KB);
		fclose(out);
	}
}

/* ---- the background ---- */

static int ready_fd = -1;

/* The parent, and with it mount(8), may go. */
static void tell_ready(void)
{
	int null;

	if (ready_fd < 0)
		return;
	mf_log_to_syslog();
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (write(ready_fd, "", 1) < 0)
		mf_log(LOG_WARNING, "the process that started this one is gone");
	close(ready_fd);
	ready_fd = -1;
}

static void on_wait(void)
{
	if (mf.conf.background) {
		mf_log(LOG_WARNING, "%s; goes on waiting in the background", mdc_error());
		tell_ready();
	} else {
		mf_log(LOG_WARNING, "%s; waiting up to %lu s (-o timeout=SECONDS)", mdc_error(),
		       mf.conf.timeout_s);
	}
}

/* In the child, returns; the parent waits until the mount stands or has failed, and exits. */
static void go_background(void)
{
	int fds[2];
	ssize_t n;
	char c;

	if (pipe2(fds, O_CLOEXEC) < 0)
		goto fail;
	switch (fork()) {
	case -1:
		goto fail;
	case 0:
		close(fds[0]);
		ready_fd = fds[1];
		setsid();
		return;
	}
	close(fds[1]);
	do
		n = read(fds[0], &c, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? 0 : MF_EXIT_FAILED);
fail:
	mf_log(LOG_ERR, "cannot start a process: %s", strerror(errno));
	_exit(MF_EXIT_FAILED);
}

/* ---- the whole ---- */

static void *wait_for_end(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/*
 * The loop of libfuse ends by cancelling its threads, for which the C library loads another library
 * at the first time, and aborts if it cannot: for want of descriptors or memory, and before what is
 * dirty is written. So the first time is now.
 */
static void prepare_end(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_for_end, NULL))
		return;
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

/* Connections, LUNs and what looks at waiting processes need them. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void serve(void)
{
	struct fuse_loop_config config = {.clone_fd = 1, .max_idle_threads = 10};
	int r = fuse_session_loop_mt(mf.session, &config);

	if (r > 0)
		mf_log(LOG_NOTICE, "signal %d: unmounting", r);
	else if (r < 0)
		mf_log(LOG_ERR, "the kernel's requests cannot be read: %s", strerror(-r));
}

static int finish(void)
{
	int r = mdc_close_volume(mf.mdc, CLOSE_WAIT_MS);

	if (r < 0 && !mf.evicted)
		mf_log(LOG_ERR, "unmounted, but what was written last may be lost: %s",
		       mdc_error());
	else
		mf_log(LOG_INFO, "unmounted");
	return r < 0 ? MF_EXIT_FAILED : 0;
}

int main(int argc, char **argv)
{
	struct mdc_info info;
	bool alone;
	int r = mf_options(argc, argv, &mf.conf);

	if (r >= 0)
		return r;
	signal(SIGPIPE, SIG_IGN); /* the log may be a pipe without a reader */
	fuse_set_log_func(fuse_log_line);
	raise_limits();
	prepare_end();
	if (!mountpoint_ok(mf.conf.mountpoint))
		return MF_EXIT_FAILED;
	if (!mf.conf.foreground)
		go_background();
	if (open_volume(on_wait) < 0)
		return MF_EXIT_FAILED;
	mdc_get_info(mf.mdc, &info);
	mf.root = info.root;
	r = mf_ops_start();
	if (r == 0)
		r = mf_apart_start();
	if (r < 0)
		mf_log(LOG_ERR, "cannot start a thread: %s", strerror(-r));
	if (r < 0 || mount_session() < 0) {
		mdc_close_volume(mf.mdc, CLOSE_WAIT_MS);
		return MF_EXIT_FAILED;
	}
	if (chdir("/") < 0)
		mf_log(LOG_WARNING, "cannot leave the working directory: %s", strerror(errno));
	tell_ready();
	/* With -d all that the kernel asks is told, and waits for who reads it. */
	if (!mf.conf.debug)
		mf_log_start();
	mf_log(LOG_INFO, "mounted %s, session %llu, served by %s", mf.conf.spec,
	       (unsigned long long)info.session, info.active);
	serve();
	end_signals();
	fuse_session_unmount(mf.session);
	mf_ops_stop();
	alone = mf_apart_stop();
	mf.ends = true;
	r = finish();
	if (alone)
		fuse_session_destroy(mf.session);
	mf_log_stop();
	return r;
}
