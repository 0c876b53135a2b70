/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * names SPEC SEED CLIENTS PAUSE_US LOG [ROUNDS]: clients, each a process with a session of its own, that make, link, rename, look up, list
 * and remove the same few names in a directory made for it; a round ends when all is answered, then all of it is looked at, and again when
 * ROUNDS_KEPT more are over, then it goes to LOG (tests/check/rounds.h says how). In one of so many ROUNDS (40) one is killed in the middle
 * of what it asks, and another one comes for it; its session is told, so that somebody may end it. PAUSE_US lie between rounds. SIGTERM
 * ends the work.
 * names --check LOG says whether each round has an explanation: that of the simulators, tests/check/order.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/mdcpair.h"
#include "tests/check/rounds.h"
#include "tests/work/names_ask.h"

enum { CLIENTS_MAX = 8, OPS = 8, NAMES = 8, BOARD = 48, LOOKS = 3 * BOARD, ROUNDS_KEPT = 50 };
/* Clients that are killed: one in so many rounds, and within so many us. */
enum { KILL_ROUNDS = 40, KILL_US = 12000 };

enum order { MAKE, WORK, LOOK, END };

/* An inode that somebody was told of. */
struct seen {
	uint64_t ino;
	uint32_t type;
};

/* What the processes share. A client's operations: as far as it came. */
static struct shared {
	uint64_t root, seed;
	uint32_t names; /* this round */
	struct seen board[BOARD];
	atomic_uint seen;
	struct {
		uint64_t session;
		atomic_uint count;
		struct round_op op[LOOKS];
	} client[CLIENTS_MAX];
} * shared;

struct client {
	pid_t pid;
	int fd;
	bool ready, works;
};

struct kept {
	uint64_t number, root;
	struct seen board[BOARD];
	uint32_t seen, count;
	struct round_op op[ROUND_OPS_MAX];
};

static struct {
	const char *spec;
	unsigned clients, pause_us, kill_rounds;
	uint64_t dice, rounds, kills;
	FILE *log;
	struct client client[CLIENTS_MAX];
	struct kept kept[ROUNDS_KEPT];
} own;

static volatile sig_atomic_t enough;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t draw(uint64_t *dice, uint32_t below)
{
	*dice ^= *dice << 13;
	*dice ^= *dice >> 7;
	*dice ^= *dice << 17;
	return (uint32_t)((*dice >> 11) % below);
}

/* ---- a client ---- */

static void board_add(uint64_t ino, uint32_t mode)
{
	unsigned n = shared->seen;

	for (unsigned i = 0; i < n && i < BOARD; i++)
		if (shared->board[i].ino == ino)
			return;
	n = atomic_fetch_add(&shared->seen, 1);
	if (n < BOARD)
		shared->board[n] = (struct seen){ino, mode & S_IFMT};
}

static unsigned board_count(void)
{
	return shared->seen < BOARD ? shared->seen : BOARD;
}

/* One of those seen, of that type (0: any). */
static uint64_t some_inode(uint64_t *dice, uint32_t type)
{
	for (int tries = 0; tries < 8 && board_count() > 0; tries++) {
		struct seen is = shared->board[draw(dice, board_count())];

		if (is.ino && (type == 0 || is.type == type))
			return is.ino;
	}
	return shared->root;
}

static void choose(uint64_t *dice, struct model_op *q)
{
	static const uint16_t types[] = {
		PR_T_CREATE,	PR_T_CREATE,	PR_T_CREATE,	   PR_T_CREATE,	 PR_T_MKDIR,
		PR_T_MKDIR,	PR_T_SYMLINK,	PR_T_LINK,	   PR_T_LINK,	 PR_T_UNLINK,
		PR_T_UNLINK,	PR_T_UNLINK,	PR_T_RMDIR,	   PR_T_RENAME,	 PR_T_RENAME,
		PR_T_RENAME,	PR_T_RENAME,	PR_T_LOOKUP,	   PR_T_LOOKUP,	 PR_T_LOOKUP,
		PR_T_GETATTR,	PR_T_SETATTR,	PR_T_READDIR,	   PR_T_READDIR, PR_T_READLINK,
		PR_T_XATTR_SET, PR_T_XATTR_GET, PR_T_XATTR_REMOVE,
	};

	*q = (struct model_op){.type = types[draw(dice, sizeof(types) / sizeof(types[0]))]};
	q->parent = draw(dice, 3) ? shared->root : some_inode(dice, S_IFDIR);
	q->parent2 = draw(dice, 2) ? q->parent : some_inode(dice, S_IFDIR);
	q->ino = some_inode(dice, q->type == PR_T_READDIR && draw(dice, 8) ? S_IFDIR : 0);
	q->name = (int)draw(dice, shared->names);
	q->name2 = (int)draw(dice, shared->names);
	q->mode = q->type == PR_T_SYMLINK ? 0777 : draw(dice, 0777);
	q->value = 1 + draw(dice, 1000000);
	switch (q->type) {
	case PR_T_CREATE:
		q->flags = PR_O_CREAT | PR_O_WRITE | (draw(dice, 2) ? PR_O_EXCL : 0);
		break;
	case PR_T_RENAME:
	case PR_T_XATTR_SET:
		q->flags = draw(dice, 3);
		break;
	case PR_T_SETATTR:
		q->flags = PR_SET_MODE;
		break;
	default:
		break;
	}
}

/* False: the session is lost, which is no answer. */
static bool ask(struct mdc *mdc, unsigned self, const struct model_op *q)
{
	unsigned n = shared->client[self].count;
	struct round_op *op = &shared->client[self].op[n];
	struct mdc_info info;

	if (n == LOOKS)
		return true;
	*op = (struct round_op){
		.q = *q, .asked = now_ns(), .answered = ROUND_NEVER, .client = (int)self};
	shared->client[self].count = n + 1;
	names_ask(mdc, q, &op->told);
	mdc_get_info(mdc, &info);
	if (info.evicted || op->told.error == -EPROTO) {
		printf("client %u: %s\n", self,
		       info.evicted ? "its session was ended"
				    : "an answer with a name that nobody gave");
		return false;
	}
	atomic_thread_fence(memory_order_seq_cst);
	op->answered = now_ns();
	if (op->told.error == 0 && op->told.ino && op->told.mode)
		board_add(op->told.ino, op->told.mode);
	return true;
}

static bool work(struct mdc *mdc, unsigned self, uint64_t *dice)
{
	struct model_op q;
	bool good = true;

	for (int i = 0; i < OPS && good; i++) {
		choose(dice, &q);
		good = ask(mdc, self, &q);
	}
	return good;
}

/* All that anybody was told of, and who is in each directory. */
static bool look(struct mdc *mdc, unsigned self)
{
	struct model_op q = {.type = PR_T_READDIR, .ino = shared->root};
	bool good = ask(mdc, self, &q);

	for (unsigned i = 0; i < board_count() && good; i++) {
		q.ino = shared->board[i].ino;
		if (!q.ino)
			continue;
		q.type = PR_T_GETATTR;
		good = ask(mdc, self, &q);
		q.type = PR_T_READDIR;
		if (good && shared->board[i].type == S_IFDIR && q.ino != shared->root)
			good = ask(mdc, self, &q);
	}
	return good;
}

static bool make(struct mdc *mdc)
{
	struct mdc_attr attr;
	struct mdc_info info;
	char name[64];
	int r;

	mdc_get_info(mdc, &info);
	snprintf(name, sizeof(name), "names-%" PRIu64, now_ns());
	r = mdc_mkdir(mdc, NULL, info.root, name, 0755, &attr);
	shared->root = attr.ino;
	if (r < 0)
		printf("%s: %s\n", name, mdc_error());
	return r == 0;
}

/* Does as it is told until its other end is gone. */
static void be_client(unsigned self, int fd, uint64_t dice)
{
	struct mdc_options options = {.flags = MDC_OPEN_NO_DATA, .slots = 1};
	struct mdc_info info;
	struct mdc *mdc;
	uint8_t order = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_IGN);
	if (mdc_open_volume(own.spec, &options, &mdc) < 0) {
		printf("%s: %s\n", own.spec, mdc_error());
		return;
	}
	mdc_get_info(mdc, &info);
	shared->client[self].session = info.session;
	while (send(fd, &order, 1, MSG_NOSIGNAL) == 1 && recv(fd, &order, 1, 0) == 1) {
		bool good = true;

		if (order == END)
			break;
		shared->client[self].count = 0;
		if (order == MAKE)
			good = make(mdc);
		else
			good = order == WORK ? work(mdc, self, &dice) : look(mdc, self);
		if (!good)
			return;
	}
	mdc_close_volume(mdc, 1000);
}

/* ---- who leads them ---- */

static bool start(unsigned i)
{
	uint64_t dice = shared->seed += UINT64_C(0x9e3779b97f4a7c15);
	struct client *c = &own.client[i];
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return false;
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		close(fds[0]);
		for (unsigned k = 0; k < own.clients; k++)
			if (k != i && own.client[k].fd > 0)
				close(own.client[k].fd);
		be_client(i, fds[1], dice | 1);
		fflush(stdout);
		_exit(0);
	}
	close(fds[1]);
	c->fd = fds[0];
	c->ready = c->works = false;
	return c->pid > 0;
}

/* It answered, or is gone. False: within wait_ms neither. */
static bool heard(struct client *c, int wait_ms, bool *ret_gone)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	uint8_t order;

	if (poll(&p, 1, wait_ms) <= 0)
		return false;
	*ret_gone = recv(c->fd, &order, 1, 0) != 1;
	c->ready = !*ret_gone;
	c->works = false;
	return true;
}

static bool tell(unsigned i, enum order what)
{
	uint8_t order = (uint8_t)what;

	own.client[i].works = send(own.client[i].fd, &order, 1, MSG_NOSIGNAL) == 1;
	own.client[i].ready = false;
	return own.client[i].works;
}

static bool lost(unsigned i)
{
	printf("client %u ended by itself\n", i);
	return false;
}

/* Until it has done what it was told. */
static bool wait_for(unsigned i)
{
	bool gone = false;

	while (!heard(&own.client[i], 1000, &gone))
		;
	return gone ? lost(i) : true;
}

static bool tell_first(enum order what)
{
	return tell(0, what) && wait_for(0);
}

static void harvest(struct kept *k, unsigned i)
{
	for (unsigned n = 0; n < shared->client[i].count && k->count < ROUND_OPS_MAX; n++)
		k->op[k->count++] = shared->client[i].op[n];
	shared->client[i].count = 0;
}

static void kill_one(unsigned i)
{
	usleep(draw(&own.dice, KILL_US));
	kill(own.client[i].pid, SIGKILL);
	while (waitpid(own.client[i].pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(own.client[i].fd);
	own.client[i].fd = 0;
	own.client[i].works = false;
	own.kills++;
	printf("killed session %" PRIu64 "\n", shared->client[i].session);
}

static bool all_work(struct kept *k)
{
	unsigned victim =
		draw(&own.dice, own.kill_rounds) ? 0 : 1 + draw(&own.dice, own.clients - 1);
	bool gone = false, good = true, took[CLIENTS_MAX] = {false};

	for (unsigned i = 0; i < own.clients; i++) {
		if (!own.client[i].ready)
			heard(&own.client[i], 0, &gone);
		if (gone)
			return lost(i);
	}
	for (unsigned i = 0; i < own.clients; i++)
		took[i] = own.client[i].ready && tell(i, WORK);
	if (victim && took[victim])
		kill_one(victim);
	for (unsigned i = 0; i < own.clients && good; i++)
		if (took[i]) {
			good = !own.client[i].works || wait_for(i);
			harvest(k, i);
		}
	return good && (!victim || !took[victim] || start(victim));
}

/* Looks at the round's inodes. */
static bool look_at(struct kept *k)
{
	shared->root = k->root;
	memcpy(shared->board, k->board, sizeof(k->board));
	shared->seen = k->seen;
	if (!tell_first(LOOK))
		return false;
	harvest(k, 0);
	return true;
}

/* Is what was so still so? Then it is written down. */
static bool give_out(struct kept *k)
{
	if (k->root == 0)
		return true;
	if (!look_at(k))
		return false;
	round_write(own.log, k->number, k->root, k->op, k->count);
	fflush(own.log);
	k->root = 0;
	return true;
}

static bool one_round(struct kept *k)
{
	if (!give_out(k) || !tell_first(MAKE))
		return false;
	*k = (struct kept){.number = ++own.rounds, .root = shared->root};
	shared->names = 2 + draw(&own.dice, NAMES - 2);
	/* Who is killed may have taken a place on the board and written nothing there: nor must anything of another round stand in it. */
	memset(shared->board, 0, sizeof(shared->board));
	shared->seen = 0;
	board_add(shared->root, S_IFDIR);
	if (!all_work(k))
		return false;
	k->seen = board_count();
	memcpy(k->board, shared->board, sizeof(k->board));
	return look_at(k);
}

static void stop(int signal)
{
	(void)signal;
	enough = 1;
}

static bool begin(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return false;
	shared->seed = own.dice;
	for (unsigned i = 0; i < own.clients; i++)
		if (!start(i) || !wait_for(i))
			return false;
	printf("working\n");
	return true;
}

static int run(void)
{
	struct sigaction on_term = {.sa_handler = stop};
	bool good = begin();

	sigaction(SIGTERM, &on_term, NULL);
	while (good && !enough) {
		good = one_round(&own.kept[own.rounds % ROUNDS_KEPT]);
		if (good && own.pause_us)
			usleep(own.pause_us);
	}
	for (unsigned i = 0; i < ROUNDS_KEPT && good; i++)
		good = give_out(&own.kept[(own.rounds + i) % ROUNDS_KEPT]);
	for (unsigned i = 0; i < own.clients; i++)
		if (own.client[i].fd > 0 && tell(i, END))
			waitpid(own.client[i].pid, NULL, 0);
	if (good)
		printf("%" PRIu64 " rounds, %" PRIu64 " clients killed\n", own.rounds, own.kills);
	return good ? 0 : 1;
}

static int check(const char *path)
{
	FILE *f = fopen(path, "re");
	struct rounds_sum sum;

	if (!f) {
		printf("%s: %s\n", path, strerror(errno));
		return 1;
	}
	if (!rounds_explained(f, path, &sum, stdout))
		return 1;
	printf("%" PRIu64 " operations in %" PRIu64 " rounds explained, %" PRIu64
	       " never answered\n",
	       sum.operations, sum.rounds, sum.unanswered);
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check(argv[2]);
	if (argc < 6 || argc > 7 || atoi(argv[3]) < 2 || atoi(argv[3]) > CLIENTS_MAX ||
	    (argc == 7 && atoi(argv[6]) < 1)) {
		fprintf(stderr,
			"usage: names SPEC SEED CLIENTS PAUSE_US LOG [ROUNDS] | names --check LOG (2 to %d clients)\n",
			CLIENTS_MAX);
		return 2;
	}
	own.spec = argv[1];
	own.dice = (strtoull(argv[2], NULL, 10) * 2654435761u + 88172645463325252ull) | 1;
	own.clients = (unsigned)atoi(argv[3]);
	own.pause_us = (unsigned)atoi(argv[4]);
	own.kill_rounds = argc == 7 ? (unsigned)atoi(argv[6]) : KILL_ROUNDS;
	own.log = fopen(argv[5], "we");
	if (!own.log) {
		perror(argv[5]);
		return 1;
	}
	return run();
}
