/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of controllers. A name service may take as long as it likes: each lookup has a thread of
 * its own, and the loop only looks whether there is an answer. A lookup under way serves every
 * session that asks for the name, so that those that are opened again and again do not heap up
 * threads.
 */
#include "client/io/mdc_priv.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ASK_AGAIN_MS = 5000 };

/* Freed by the last of its holders, the addresses that wait for it and the thread. */
struct mdc_lookup {
	struct mdc_lookup *next; /* under way */
	pid_t pid;		 /* a child has no such thread */
	int holders;
	bool answered;
	int error; /* of getaddrinfo(3) */
	socklen_t length;
	struct sockaddr_storage socket;
	char name[sizeof(((struct mdc_address *)0)->text)];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all lookups; never held for long */
static struct mdc_lookup *under_way;

/* Under the lock, like everything below that says nothing else. */
static void let_go(struct mdc_lookup *lookup)
{
	if (--lookup->holders == 0)
		free(lookup);
}

static void remove_from_list(struct mdc_lookup *lookup)
{
	struct mdc_lookup **at = &under_way;

	while (*at != lookup)
		at = &(*at)->next;
	*at = lookup->next;
}

/* Without the lock. */
static int ask(const char *name, int flags, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM}, *found;
	int error = getaddrinfo(name, NULL, &hints, &found);

	if (error)
		return error;
	*ret_length = found->ai_addrlen;
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

static void *lookup_main(void *arg)
{
	struct mdc_lookup *lookup = arg;
	struct sockaddr_storage socket = {0};
	socklen_t length = 0;
	int error = ask(lookup->name, 0, &socket, &length);

	pthread_mutex_lock(&lock);
	lookup->error = error;
	lookup->length = length;
	lookup->socket = socket;
	lookup->answered = true;
	remove_from_list(lookup);
	let_go(lookup);
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* The signals of the program are not for this thread. */
static int start_thread(struct mdc_lookup *lookup)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, lookup_main, lookup);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_detach(thread);
	return error;
}

static struct mdc_lookup *new_lookup(const char *name)
{
	struct mdc_lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return NULL;
	lookup->pid = getpid();
	lookup->holders = 1; /* the thread */
	snprintf(lookup->name, sizeof(lookup->name), "%s", name);
	lookup->next = under_way;
	under_way = lookup;
	if (start_thread(lookup) == 0)
		return lookup;
	remove_from_list(lookup);
	free(lookup);
	return NULL;
}

static void start_lookup(struct mdc_address *a)
{
	struct mdc_lookup *lookup = under_way;
	pid_t own = getpid();

	while (lookup && (lookup->pid != own || strcmp(lookup->name, a->text) != 0))
		lookup = lookup->next;
	if (!lookup)
		lookup = new_lookup(a->text);
	if (lookup)
		lookup->holders++;
	else
		a->unresolved = EAI_MEMORY;
	a->lookup = lookup;
}

static void take_answer(struct mdc_address *a)
{
	struct mdc_lookup *lookup = a->lookup;

	if (!lookup || !lookup->answered)
		return;
	a->lookup = NULL;
	a->unresolved = lookup->error;
	if (!lookup->error) {
		a->socket = lookup->socket;
		a->length = lookup->length;
		a->resolved = true;
	}
	let_go(lookup);
}

/* ---- addresses; none of these is called under the lock ---- */

bool mdc_address_look(struct mdc_address *a)
{
	uint64_t now_ms;

	if (a->numeric)
		return true;
	pthread_mutex_lock(&lock);
	take_answer(a);
	now_ms = mdc_now_ms();
	if (!a->lookup && now_ms >= a->ask_ms) {
		a->ask_ms = now_ms + ASK_AGAIN_MS;
		start_lookup(a);
	}
	pthread_mutex_unlock(&lock);
	return a->resolved;
}

void mdc_address_forget(struct mdc_address *a)
{
	pthread_mutex_lock(&lock);
	if (a->lookup)
		let_go(a->lookup);
	a->lookup = NULL;
	pthread_mutex_unlock(&lock);
}

static bool parse_port(struct mdc_address *a, const char *text, const char *end)
{
	unsigned long port = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9' || port > 65535)
			return false;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	a->port = (uint16_t)port;
	return port > 0 && port < 65535;
}

int mdc_address_parse(struct mdc_address *a, const char *text, size_t len)
{
	const char *end = text + len, *colon = memrchr(text, ':', len), *name = text,
		   *name_end = end;

	*a = (struct mdc_address){0};
	if (len && *text == '[') {
		name_end = memchr(text, ']', len);
		if (!name_end)
			return -EINVAL;
		name++;
		if (name_end + 1 < end && !(name_end[1] == ':' && parse_port(a, name_end + 2, end)))
			return -EINVAL;
	} else if (colon && memchr(text, ':', len) == colon) {
		if (!parse_port(a, colon + 1, end))
			return -EINVAL;
		name_end = colon;
	}
	if (name == name_end || (size_t)(name_end - name) >= sizeof(a->text))
		return -EINVAL;
	memcpy(a->text, name, (size_t)(name_end - name));
	a->numeric = ask(a->text, AI_NUMERICHOST, &a->socket, &a->length) == 0;
	a->resolved = a->numeric;
	mdc_address_look(a);
	return 0;
}

static const char *why_unresolved(const struct mdc_address *a)
{
	return a->unresolved ? gai_strerror(a->unresolved) : "no answer from the name service";
}

void mdc_address_say(const struct mdc_address *a, char *text, size_t size)
{
	snprintf(
		text, size, "%.200s: %s", a->text,
		!a->resolved ? why_unresolved(a)
		: a->error == -EPROTONOSUPPORT
			? "speaks another version of the protocol, install the same release on both"
		: a->error    ? strerror(-a->error)
		: a->answered ? "is there, but did not answer as the active controller"
			      : "no answer");
}
