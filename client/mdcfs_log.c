/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "client/mdcfs.h"

static atomic_bool to_syslog;

void mf_log_to_syslog(void)
{
	openlog("mdcfs", LOG_PID, LOG_DAEMON);
	to_syslog = true;
}

void mf_log(int priority, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (to_syslog)
		syslog(priority, "%s: %s", mf.conf.mountpoint, text);
	else
		fprintf(stderr, "mdcfs: %s\n", text);
}
