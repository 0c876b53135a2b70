/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this mount knows of files it has opened: the change counter that the kernel's cached pages
 * belong to. An entry lives until the kernel forgets the inode; losing one costs a cache, never
 * truth.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "client/mdcfs.h"

struct inode {
	struct inode *next;
	uint64_t ino, change, size;
	unsigned opens, writers;
	bool forgotten, no_caps, sets_caps, setid;
};

static struct {
	pthread_mutex_t lock;
	struct inode **buckets;
	size_t bucket_count, count;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct inode **find(uint64_t ino)
{
	struct inode **p;

	if (!table.buckets)
		return NULL;
	p = &table.buckets[ino * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (table.bucket_count - 1)];
	while (*p && (*p)->ino != ino)
		p = &(*p)->next;
	return p;
}

static void grow(void)
{
	size_t old_count = table.bucket_count, count = old_count ? old_count * 2 : 1024;
	struct inode **old = table.buckets, **buckets = calloc(count, sizeof(*buckets)), *e, **p;

	if (!buckets)
		return;
	table.buckets = buckets;
	table.bucket_count = count;
	for (size_t i = 0; i < old_count; i++)
		while ((e = old[i])) {
			old[i] = e->next;
			p = find(e->ino);
			e->next = *p;
			*p = e;
		}
	free(old);
}

static struct inode *get(uint64_t ino)
{
	struct inode **p = find(ino);

	return p ? *p : NULL;
}

static struct inode *add(uint64_t ino)
{
	struct inode *e, **p;

	if (table.count >= table.bucket_count)
		grow();
	p = find(ino);
	e = p ? calloc(1, sizeof(*e)) : NULL;
	if (!e)
		return NULL;
	e->ino = ino;
	e->next = *p;
	*p = e;
	table.count++;
	return e;
}

static void drop(uint64_t ino)
{
	struct inode **p = find(ino), *e = *p;

	*p = e->next;
	table.count--;
	free(e);
}

static bool is_setid(uint32_t mode)
{
	return (mode & S_ISUID) || (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
}

/*
 * The pages stay when nothing has changed since they were read, or while this mount has the file
 * open for writing: then changes of the counter are its own, made through these very pages.
 */
bool mf_inode_opened(const struct mdc_attr *a, bool writes, bool is_new)
{
	struct inode *e;
	bool keep = false;

	pthread_mutex_lock(&table.lock);
	e = get(a->ino);
	if (e)
		keep = e->writers > 0 || (e->change == a->change && e->size == a->size);
	else
		e = add(a->ino);
	if (e) {
		e->change = a->change;
		e->size = a->size;
		e->opens++;
		e->writers += writes;
		e->forgotten = false;
		e->setid = is_setid(a->mode);
		if (is_new)
			e->no_caps = true;
	}
	pthread_mutex_unlock(&table.lock);
	return keep;
}

void mf_inode_closed(uint64_t ino, bool writes)
{
	struct inode *e;

	pthread_mutex_lock(&table.lock);
	e = get(ino);
	if (e && e->opens > 0) {
		e->opens--;
		if (writes && e->writers > 0 && --e->writers == 0)
			e->no_caps = e->sets_caps = false;
		if (e->opens == 0 && e->forgotten)
			drop(ino);
	}
	pthread_mutex_unlock(&table.lock);
}

void mf_inode_forget(uint64_t ino)
{
	struct inode *e;

	pthread_mutex_lock(&table.lock);
	e = get(ino);
	if (e && e->opens == 0)
		drop(ino);
	else if (e)
		e->forgotten = true;
	pthread_mutex_unlock(&table.lock);
}

void mf_inode_mode(const struct mdc_attr *a)
{
	struct inode *e;

	pthread_mutex_lock(&table.lock);
	e = get(a->ino);
	if (e)
		e->setid = is_setid(a->mode);
	pthread_mutex_unlock(&table.lock);
}

bool mf_inode_is_setid(uint64_t ino)
{
	struct inode *e;
	bool r;

	pthread_mutex_lock(&table.lock);
	e = get(ino);
	r = e && e->setid;
	pthread_mutex_unlock(&table.lock);
	return r;
}

bool mf_inode_without_caps(uint64_t ino)
{
	struct inode *e;
	bool r;

	pthread_mutex_lock(&table.lock);
	e = get(ino);
	r = e && e->writers > 0 && e->no_caps;
	pthread_mutex_unlock(&table.lock);
	return r;
}

void mf_inode_no_caps(uint64_t ino)
{
	struct inode *e;

	pthread_mutex_lock(&table.lock);
	e = get(ino);
	if (e && e->writers > 0 && !e->sets_caps)
		e->no_caps = true;
	pthread_mutex_unlock(&table.lock);
}

void mf_inode_sets_caps(uint64_t ino)
{
	struct inode *e;

	pthread_mutex_lock(&table.lock);
	e = get(ino);
	if (e) {
		e->no_caps = false;
		e->sets_caps = true;
	}
	pthread_mutex_unlock(&table.lock);
}
