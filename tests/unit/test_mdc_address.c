/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The addresses of controllers: whatever the name service does, nobody waits for it. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/io/mdc_priv.h"

#define NAME "mdc1.example"

/* ---- what stands around it ---- */

static uint64_t now_ms = 1000000;
static atomic_int asked, done,
	says; /* says: the last byte of the address, or an error, which is below 0 */
static atomic_bool hangs, open_to_signals;

uint64_t mdc_now_ms(void)
{
	return now_ms;
}

int __real_getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret)
{
	struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	char text[32];
	sigset_t mask;
	int r;

	if (hints->ai_flags & AI_NUMERICHOST)
		return __real_getaddrinfo(name, service, hints, ret);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < 32; i++)
		if (i != SIGKILL && i != SIGSTOP && !sigismember(&mask, i))
			open_to_signals = true;
	asked++;
	while (hangs)
		usleep(1000);
	r = says;
	if (r > 0) {
		snprintf(text, sizeof(text), "127.0.0.%d", r);
		r = __real_getaddrinfo(text, NULL, &numeric, ret);
	}
	done++;
	return r;
}

/* ---- */

static void parse(struct mdc_address *a, const char *text)
{
	cr_assert_eq(mdc_address_parse(a, text, strlen(text)), 0);
}

static void until(const atomic_int *count, int least)
{
	while (*count < least)
		usleep(1000);
}

static int last_byte(const struct mdc_address *a)
{
	return (int)(ntohl(((const struct sockaddr_in *)&a->socket)->sin_addr.s_addr) & 0xff);
}

static void look_until(struct mdc_address *a, int byte)
{
	while (!mdc_address_look(a) || last_byte(a) != byte)
		usleep(1000);
}

static void says_of_itself(const struct mdc_address *a, const char *text)
{
	char said[300];

	mdc_address_say(a, said, sizeof(said));
	cr_assert_str_eq(said, text);
}

Test(mdc_address, numbers_need_no_name_service, .timeout = 60)
{
	struct mdc_address a;

	parse(&a, "127.0.0.9:700");
	cr_assert(mdc_address_look(&a));
	cr_assert_eq(last_byte(&a), 9);
	cr_assert_eq(a.port, 700);
	parse(&a, "[::1]");
	now_ms += 3600000;
	cr_assert(mdc_address_look(&a));
	cr_assert_eq(a.socket.ss_family, AF_INET6);
	cr_assert_eq(asked, 0);
}

Test(mdc_address, nobody_waits_for_a_name, .timeout = 60)
{
	struct mdc_address a;

	hangs = true;
	parse(&a, NAME ":700");
	until(&asked, 1);
	cr_assert(!mdc_address_look(&a));
	now_ms += 3600000;
	cr_assert(!mdc_address_look(&a));
	says_of_itself(&a, NAME ": no answer from the name service");
	says = 9;
	hangs = false;
	look_until(&a, 9);
	cr_assert_eq(asked, 1);
	cr_assert(!open_to_signals);
	mdc_address_forget(&a);
}

Test(mdc_address, a_name_that_is_not_known_is_asked_for_again, .timeout = 60)
{
	struct mdc_address a;

	says = EAI_NONAME;
	parse(&a, NAME);
	while (!a.unresolved) {
		cr_assert(!mdc_address_look(&a));
		usleep(1000);
	}
	says_of_itself(&a, NAME ": Name or service not known");
	says = 9;
	now_ms += 4999;
	cr_assert(!mdc_address_look(&a));
	usleep(20000);
	cr_assert_eq(asked, 1);
	now_ms++;
	look_until(&a, 9);
	cr_assert_eq(asked, 2);
	mdc_address_forget(&a);
}

Test(mdc_address, a_known_address_stays_until_there_is_another, .timeout = 60)
{
	struct mdc_address a;

	says = 9;
	parse(&a, NAME);
	look_until(&a, 9);
	hangs = true;
	now_ms += 5000;
	cr_assert(mdc_address_look(&a));
	until(&asked, 2);
	cr_assert(mdc_address_look(&a));
	says = EAI_AGAIN;
	hangs = false;
	while (!a.unresolved)
		cr_assert(mdc_address_look(&a));
	cr_assert_eq(last_byte(&a), 9);
	says = 8;
	now_ms += 5000;
	look_until(&a, 8);
	mdc_address_forget(&a);
}

Test(mdc_address, a_lookup_outlives_who_asked, .timeout = 60)
{
	struct mdc_address a, b;

	hangs = true;
	says = 9;
	parse(&a, NAME);
	mdc_address_forget(&a);
	memset(&a, 0xff, sizeof(a));
	parse(&a, NAME);
	parse(&b, NAME);
	mdc_address_forget(&a);
	until(&asked, 1);
	hangs = false;
	look_until(&b, 9);
	cr_assert_eq(asked, 1, "one name, %d lookups", asked);
	mdc_address_forget(&b);

	hangs = true;
	parse(&a, NAME);
	until(&asked, 2);
	mdc_address_forget(&a);
	memset(&a, 0xff, sizeof(a));
	hangs = false;
	until(&done, 2);
	parse(&a, NAME);
	look_until(&a, 9);
	mdc_address_forget(&a);
}

/* A child has none of its parent's threads. */
Test(mdc_address, a_child_asks_for_itself, .timeout = 60)
{
	struct mdc_address a;

	hangs = true;
	says = 9;
	parse(&a, NAME);
	until(&asked, 1);
	if (fork() == 0) {
		struct mdc_address b;

		hangs = false;
		parse(&b, NAME);
		look_until(&b, 9);
		_exit(0);
	}
	cr_assert(waitpid(-1, &(int){0}, 0) > 0);
	hangs = false;
	look_until(&a, 9);
	mdc_address_forget(&a);
}
