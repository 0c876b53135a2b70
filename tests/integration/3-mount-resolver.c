/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To be preloaded: a name service that never answers for names under .example. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	const char *dot = name ? strrchr(name, '.') : NULL;

	if (dot && strcmp(dot, ".example") == 0 && !(hints && hints->ai_flags & AI_NUMERICHOST))
		for (;;)
			pause();
	real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(name, service, hints, ret);
}
