/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include <config.h>

#include "lun/lun_iscsi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#if HAVE_ISCSI

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

enum { ANSWER_S = 3, TRIES = 3, KEYS_BYTES = 4096, SETTLE_TRIES = 10 };
enum { RESERVED_AS = SCSI_PERSISTENT_RESERVE_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY };

struct lun_iscsi {
	struct iscsi_context *context; /* NULL: to be connected */
	char portal[MAX_STRING_SIZE + 1], target[MAX_STRING_SIZE + 1], name[128];
	int lun;
	uint32_t isid;
	uint64_t key;
	uint32_t block_bytes;
	uint64_t blocks;
	bool holds;	 /* by all that is known */
	bool wants;	 /* nothing is written without holding it */
	char fault[160]; /* of the last connection that failed */
};

static void disconnect(struct lun_iscsi *i)
{
	if (i->context)
		iscsi_destroy_context(i->context);
	i->context = NULL;
	i->holds = false;
}

/*
 * What became of a command. -EAGAIN: it was not carried out, since something happened to the LUN or to our place there (unit
 * attention): a reset, a restart, a preemption. Frees the task if it is no success.
 */
static int verdict(struct lun_iscsi *i, struct scsi_task *t)
{
	int status = t ? t->status : -1, sense = t ? (int)t->sense.key : 0;

	if (status == SCSI_STATUS_GOOD)
		return 0;
	if (t)
		scsi_free_scsi_task(t);
	switch (status) {
	case SCSI_STATUS_RESERVATION_CONFLICT:
		i->holds = false;
		return -EBADE;
	case SCSI_STATUS_CHECK_CONDITION:
		if (sense != SCSI_SENSE_UNIT_ATTENTION)
			return -EIO;
		i->holds = false;
		return -EAGAIN;
	default:
		disconnect(i);
		return -EIO;
	}
}

static int done(struct lun_iscsi *i, struct scsi_task *t)
{
	int r = verdict(i, t);

	if (r == 0)
		scsi_free_scsi_task(t);
	return r;
}

static int measure(struct lun_iscsi *i)
{
	struct scsi_readcapacity16 *c;
	struct scsi_task *t = NULL;
	int r = -EAGAIN;

	for (int try = 0; r == -EAGAIN && try < TRIES; try++) {
		t = iscsi_readcapacity16_sync(i->context, i->lun);
		r = verdict(i, t);
	}
	if (r)
		return r;
	c = scsi_datain_unmarshall(t);
	if (c) {
		i->block_bytes = c->block_length;
		i->blocks = c->returned_lba + 1;
	}
	scsi_free_scsi_task(t);
	return c && i->block_bytes ? 0 : -EIO;
}

/* With the same name and session id as before: the target ends what is left of the earlier session (RFC 7143, 6.3.5). */
static int connect_it(struct lun_iscsi *i)
{
	struct iscsi_context *c;

	if (i->context)
		return 0;
	c = iscsi_create_context(i->name);
	if (!c)
		return -ENOMEM;
	iscsi_set_targetname(c, i->target);
	iscsi_set_session_type(c, ISCSI_SESSION_NORMAL);
	iscsi_set_header_digest(c, ISCSI_HEADER_DIGEST_NONE_CRC32C);
	iscsi_set_isid_random(c, i->isid, 0);
	iscsi_set_noautoreconnect(c, 1);
	iscsi_set_timeout(c, ANSWER_S);
	iscsi_set_tcp_syncnt(c, 1);
	iscsi_set_tcp_user_timeout(c, ANSWER_S * 1000);
	if (iscsi_full_connect_sync(c, i->portal, i->lun) != 0) {
		snprintf(i->fault, sizeof(i->fault), "%s", iscsi_get_error(c));
		i->fault[strcspn(i->fault, "\n")] = '\0';
		iscsi_destroy_context(c);
		return -ENOTCONN;
	}
	i->context = c;
	return measure(i);
}

int lun_iscsi_open(const char *url, struct lun_iscsi **ret, char *why, size_t size)
{
	struct lun_iscsi *i = calloc(1, sizeof(*i));
	struct iscsi_context *c = iscsi_create_context("iqn.2026-01.mdcpair:url");
	struct iscsi_url *u = c ? iscsi_parse_full_url(c, url) : NULL;
	char host[65] = "";
	int r = 0;

	if (!i || !c) {
		r = -ENOMEM;
	} else if (!u || u->user[0] || getrandom(&i->key, sizeof(i->key), 0) != sizeof(i->key)) {
		snprintf(why, size,
			 "%s: iscsi://HOST[:PORT]/TARGET/LUN is wanted, without a password", url);
		r = -EINVAL;
	} else {
		snprintf(i->portal, sizeof(i->portal), "%s", u->portal);
		snprintf(i->target, sizeof(i->target), "%s", u->target);
		i->lun = u->lun;
		gethostname(host, sizeof(host) - 1);
		i->isid = (uint32_t)(i->key & 0xffffff);
		snprintf(i->name, sizeof(i->name), "iqn.2026-01.mdcpair:%s:%08x", host,
			 (unsigned)(i->key >> 32));
		r = connect_it(i);
		if (r)
			snprintf(why, size, "%s: %s", url, i->fault[0] ? i->fault : strerror(-r));
	}
	if (u)
		iscsi_destroy_url(u);
	if (c)
		iscsi_destroy_context(c);
	if (r) {
		lun_iscsi_close(i);
		return r;
	}
	*ret = i;
	return 0;
}

void lun_iscsi_close(struct lun_iscsi *i)
{
	if (!i)
		return;
	lun_iscsi_release(i);
	if (i->context)
		iscsi_logout_sync(i->context);
	disconnect(i);
	free(i);
}

uint64_t lun_iscsi_bytes(const struct lun_iscsi *i)
{
	return i->blocks * i->block_bytes;
}

static int read_once(struct lun_iscsi *i, uint64_t offset, uint8_t *to, size_t bytes)
{
	struct scsi_task *t;
	int r = connect_it(i);

	if (r)
		return r;
	t = iscsi_read16_sync(i->context, i->lun, offset / i->block_bytes, (uint32_t)bytes,
			      (int)i->block_bytes, 0, 0, 0, 0, 0);
	r = verdict(i, t);
	if (r)
		return r;
	if ((size_t)t->datain.size == bytes)
		memcpy(to, t->datain.data, bytes);
	else
		r = -EIO;
	scsi_free_scsi_task(t);
	return r;
}

int lun_iscsi_read(struct lun_iscsi *i, uint64_t offset, uint8_t *to, size_t bytes)
{
	int r = -EIO;

	/* Again after a unit attention, and once on a new connection. */
	for (int try = 0; try < TRIES; try++) {
		r = read_once(i, offset, to, bytes);
		if (r != -EAGAIN && !(r == -EIO && !i->context && try == 0))
			break;
	}
	return r == -EAGAIN ? -EIO : r;
}

int lun_iscsi_write(struct lun_iscsi *i, uint64_t offset, const uint8_t *from, size_t bytes)
{
	uint64_t at;
	int r = i->wants && !i->holds ? -EIO : connect_it(i);

	if (r)
		return r;
	at = offset / i->block_bytes;
	r = done(i, iscsi_write16_sync(i->context, i->lun, at, (unsigned char *)from,
				       (uint32_t)bytes, (int)i->block_bytes, 0, 0, 1, 0, 0));
	/* Not every target means it when it takes FUA. */
	if (r == 0)
		r = done(i,
			 iscsi_synchronizecache16_sync(i->context, i->lun, at,
						       (uint32_t)(bytes / i->block_bytes), 0, 0));
	return r == -EAGAIN ? -EIO : r;
}

/* ---- the reservation ---- */

static int order(struct lun_iscsi *i, int action, uint64_t key, uint64_t other)
{
	struct scsi_persistent_reserve_out_basic p = {.reservation_key = key,
						      .service_action_reservation_key = other};

	return i->context
		       ? done(i, iscsi_persistent_reserve_out_sync(i->context, i->lun, action,
								   SCSI_PERSISTENT_RESERVE_SCOPE_LU,
								   RESERVED_AS, &p))
		       : -EIO;
}

/* *ret: the holder's key, 0 if there is none. */
static int holder_read(struct lun_iscsi *i, uint64_t *ret)
{
	struct scsi_persistent_reserve_in_read_reservation *a;
	struct scsi_task *t =
		i->context
			? iscsi_persistent_reserve_in_sync(i->context, i->lun,
							   SCSI_PERSISTENT_RESERVE_READ_RESERVATION,
							   KEYS_BYTES)
			: NULL;
	int r = verdict(i, t);

	if (r)
		return r;
	a = scsi_datain_unmarshall(t);
	if (a)
		*ret = a->reserved ? a->reservation_key : 0;
	scsi_free_scsi_task(t);
	return a ? 0 : -EIO;
}

/* Any registered key but ours; 0: none. */
static int stranger_read(struct lun_iscsi *i, uint64_t *ret)
{
	struct scsi_persistent_reserve_in_read_keys *a;
	struct scsi_task *t = i->context ? iscsi_persistent_reserve_in_sync(
						   i->context, i->lun,
						   SCSI_PERSISTENT_RESERVE_READ_KEYS, KEYS_BYTES)
					 : NULL;
	int r = verdict(i, t);

	if (r)
		return r;
	a = scsi_datain_unmarshall(t);
	*ret = 0;
	for (int n = 0; a && n < a->num_keys; n++)
		if (a->keys[n] != i->key)
			*ret = a->keys[n];
	scsi_free_scsi_task(t);
	return a ? 0 : -EIO;
}

/* PREEMPT stops nothing that is in the target already; a reset does, and the unit attention it leaves us is taken up here. */
static int reset(struct lun_iscsi *i)
{
	int r = -EAGAIN;

	if (!i->context || iscsi_task_mgmt_lun_reset_sync(i->context, (uint32_t)i->lun) != 0) {
		disconnect(i);
		return -EIO;
	}
	for (int try = 0; r == -EAGAIN && try < SETTLE_TRIES; try++)
		r = i->context ? done(i, iscsi_testunitready_sync(i->context, i->lun)) : -EIO;
	return r;
}

static int drive_out(struct lun_iscsi *i)
{
	uint64_t stranger = 0;
	int r = stranger_read(i, &stranger);

	for (int n = 0; r == 0 && stranger && n < 64; n++) {
		r = order(i, SCSI_PERSISTENT_RESERVE_PREEMPT, i->key, stranger);
		if (r == 0)
			r = stranger_read(i, &stranger);
	}
	return r == 0 && stranger ? -EBUSY : r;
}

static int hold_once(struct lun_iscsi *i, bool take, uint64_t *ret_holder)
{
	uint64_t holder = 0;
	int r = connect_it(i);

	if (!r)
		r = holder_read(i, &holder);
	*ret_holder = holder;
	if (!r && holder && holder != i->key && !take)
		return i->wants ? -EBADE : -EBUSY;
	/* To register where another one holds it is to be let in again: only who takes it may. */
	if (!r)
		r = order(i, SCSI_PERSISTENT_RESERVE_REGISTER_AND_IGNORE_EXISTING_KEY, 0, i->key);
	if (!r && holder && holder != i->key)
		r = order(i, SCSI_PERSISTENT_RESERVE_PREEMPT, i->key, holder);
	else if (!r && !holder)
		r = order(i, SCSI_PERSISTENT_RESERVE_RESERVE, i->key, 0);
	if (r == -EBADE) { /* somebody was faster */
		order(i, SCSI_PERSISTENT_RESERVE_REGISTER, i->key, 0);
		return -EAGAIN;
	}
	if (!r && take)
		r = drive_out(i);
	if (!r)
		r = reset(i);
	if (!r)
		r = holder_read(i, &holder);
	return r ? r : holder == i->key ? 0 : -EAGAIN;
}

int lun_iscsi_hold(struct lun_iscsi *i, bool take, char *who, size_t size)
{
	uint64_t holder = 0;
	int r = -EAGAIN;

	if (i->holds && !take)
		return 0;
	for (int try = 0; try < TRIES; try++) {
		r = hold_once(i, take, &holder);
		if (r != -EAGAIN && !(r == -EIO && !i->context && try == 0))
			break;
	}
	if (who && size)
		snprintf(who, size, "another host (reservation key 0x%llx)",
			 (unsigned long long)holder);
	if (r)
		return r == -EAGAIN ? -EIO : r;
	i->holds = i->wants = true;
	return 1;
}

int lun_iscsi_release(struct lun_iscsi *i)
{
	int r = 0;

	if (i->holds) {
		r = order(i, SCSI_PERSISTENT_RESERVE_RELEASE, i->key, 0);
		order(i, SCSI_PERSISTENT_RESERVE_REGISTER, i->key, 0);
	}
	i->holds = i->wants = false;
	return r;
}

#else

int lun_iscsi_open(const char *url, struct lun_iscsi **ret, char *why, size_t size)
{
	*ret = NULL;
	snprintf(
		why, size,
		"%s: this build has no iscsi:// (configure --with-iscsi); or let the kernel log in (iscsiadm) and name the device",
		url);
	return -EPROTONOSUPPORT;
}

void lun_iscsi_close(struct lun_iscsi *i)
{
	(void)i;
}

uint64_t lun_iscsi_bytes(const struct lun_iscsi *i)
{
	(void)i;
	return 0;
}

int lun_iscsi_read(struct lun_iscsi *i, uint64_t offset, uint8_t *to, size_t bytes)
{
	(void)i, (void)offset, (void)to, (void)bytes;
	return -EPROTONOSUPPORT;
}

int lun_iscsi_write(struct lun_iscsi *i, uint64_t offset, const uint8_t *from, size_t bytes)
{
	(void)i, (void)offset, (void)from, (void)bytes;
	return -EPROTONOSUPPORT;
}

int lun_iscsi_hold(struct lun_iscsi *i, bool take, char *who, size_t size)
{
	(void)i, (void)take, (void)who, (void)size;
	return -EPROTONOSUPPORT;
}

int lun_iscsi_release(struct lun_iscsi *i)
{
	(void)i;
	return -EPROTONOSUPPORT;
}

#endif
