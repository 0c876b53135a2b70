/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/heap.h"

#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/assert.h"

sigjmp_buf heap_death;

static struct {
	struct heap_plan plan;
	atomic_int node;
	atomic_ullong calls;
	int failed_node, lost_fd;
	bool dead, lost;
	pid_t main_thread;
	char struck[128], words[512];
} heap = {.lost_fd = -1};

static _Thread_local int paused;

static pid_t self(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* A line of it, without where the source lies. */
static void keep_words(const char *text, size_t len)
{
	if (len >= sizeof(heap.words))
		len = sizeof(heap.words) - 1;
	memcpy(heap.words, text, len);
	heap.words[len] = '\0';
	heap.words[strcspn(heap.words, "\n")] = '\0';
}

/* An assertion has failed. If memory was refused, it is that process's end; else it is a bug, and the run's. */
static void ended(const char *text, size_t len)
{
	const uint64_t one = 1;

	if (!heap.failed_node || heap.node != heap.failed_node || heap.dead) {
		if (syscall(SYS_write, STDERR_FILENO, text, len) < 0)
			abort();
		return;
	}
	heap.dead = true;
	keep_words(text, len);
	if (self() == heap.main_thread) {
		heap_leave();
		siglongjmp(heap_death, 1);
	}
	heap.lost = true;
	if (syscall(SYS_write, heap.lost_fd, &one, sizeof(one)) < 0)
		abort();
	for (;;)
		pause();
}

void heap_start(const struct heap_plan *plan)
{
	heap.plan = *plan;
	heap.main_thread = self();
	heap.lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pr_assert_handler = ended;
}

void heap_enter(int node)
{
	heap.node = node;
}

void heap_leave(void)
{
	heap.node = 0;
}

void heap_pause(void)
{
	paused++;
}

void heap_resume(void)
{
	paused--;
}

bool heap_wait(int fd, int ms)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = heap.lost_fd, .events = POLLIN}};
	int ready = poll(p, 2, ms);

	if (p[1].revents) {
		heap_leave();
		siglongjmp(heap_death, 1);
	}
	return ready > 0;
}

const char *heap_last_words(void)
{
	return heap.dead ? heap.words : NULL;
}

bool heap_thread_lost(void)
{
	return heap.dead && heap.lost;
}

void heap_buried(int node)
{
	uint64_t count;

	heap.dead = heap.lost = false;
	if (node == heap.failed_node)
		heap.plan.lasting = false;
	if (read(heap.lost_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
}

void heap_relieve(void)
{
	heap.plan.lasting = false;
}

uint64_t heap_calls(void)
{
	return heap.calls;
}

int heap_failed_node(void)
{
	return heap.failed_node;
}

const char *heap_struck(void)
{
	return heap.struck;
}

/* A sanitizer has a heap of its own, which starts before this program does: there nothing is counted, and nothing fails. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

bool heap_is_ours(void)
{
	return false;
}

#else

bool heap_is_ours(void)
{
	return true;
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void strike(uint64_t number, size_t bytes)
{
	void *from[24];

	paused++;
	heap.failed_node = heap.node;
	snprintf(heap.struck, sizeof(heap.struck), "allocation %llu, %zu bytes for node %d",
		 (unsigned long long)number, bytes, heap.failed_node);
	if (heap.plan.trace) {
		printf("        heap: %s fails\n", heap.struck);
		fflush(stdout);
		backtrace_symbols_fd(from, backtrace(from, 24), STDOUT_FILENO);
	}
	paused--;
}

/* True: there is none. */
static bool refused(size_t bytes)
{
	uint64_t number;

	if (heap.node == 0 || paused || heap.dead)
		return false;
	number = atomic_fetch_add(&heap.calls, 1) + 1;
	if (number == heap.plan.fail_at)
		strike(number, bytes);
	else if (!heap.plan.lasting || heap.failed_node != heap.node)
		return false;
	errno = ENOMEM;
	return true;
}

/* ---- in place of the C library's ---- */

void *malloc(size_t bytes)
{
	return refused(bytes) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	return refused(count * bytes) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *p, size_t bytes)
{
	return refused(bytes) ? NULL : __libc_realloc(p, bytes);
}

void *aligned_alloc(size_t grain, size_t bytes)
{
	return refused(bytes) ? NULL : __libc_memalign(grain, bytes);
}

void *memalign(size_t grain, size_t bytes)
{
	return aligned_alloc(grain, bytes);
}

int posix_memalign(void **ret, size_t grain, size_t bytes)
{
	void *p = aligned_alloc(grain, bytes);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

#endif
