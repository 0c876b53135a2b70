/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the parts of the disk: disk.c knows what is not durable, disk_fault.c which call fails, disk_calls.c are the calls. */
#pragma once
#include <pthread.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "tests/crash/disk.h"

enum { SECTOR = 512, UNDO_MAX = 4096, UNTOLD_MAX = 16, DISK_NAME = 128 };

/* One write or rename that is not durable yet. */
struct undo {
	int node, fd; /* fd: -1 of a rename */
	dev_t dev;
	ino_t ino;
	off_t offset, old_size;
	size_t bytes;
	uint8_t *old;
	char from[256], to[256];
	unsigned flags;
	bool after; /* asked for when the power was gone already: it never happened */
};

/* A sync that failed: what was written is nowhere, and no later sync of the file tells so, but the first of each description that was open. */
struct lost {
	int node;     /* 0: none */
	bool no_room; /* then all may be written anew, and synced */
	dev_t dev;
	ino_t ino;
	int untold[UNTOLD_MAX];
	unsigned untold_count;
};

struct disk {
	pthread_mutex_t lock;
	struct disk_plan plan;
	int node;
	bool dead, failed;
	enum disk_fate fate;
	unsigned crashes;
	uint64_t writes, calls, removals, dice;
	uint8_t can_fail[DISK_CALLS_MAX];
	struct undo undo[UNDO_MAX];
	size_t undo_count;
	int failed_node;
	dev_t failed_dev;
	ino_t failed_ino;
	off_t failed_at;
	bool failed_durable, failed_life, repeated;
	struct lost lost;
	char struck[128], repeated_name[128];
};

extern struct disk disk;

/* disk.c */
ssize_t disk_real_write(int fd, const struct iovec *, int count, off_t, int flags);
void disk_remember_write(int fd, const struct stat *, off_t, size_t bytes);
void disk_remember_rename(const char *from, const char *to, unsigned flags);
void disk_synced(const struct stat *);
bool disk_crashes_here(void);
void disk_crash(const char *call, const char *name, off_t);

/* disk_fault.c. can: a bit for each fault that this call may have. True: it fails as planned. */
bool disk_fails_here(const char *call, const char *name, unsigned can);
/* The same of a write or sync of this file; durable: it would have been, when it returned. */
bool disk_write_fails(const char *call, const char *name, unsigned can, const struct stat *,
		      bool durable, off_t);
/* A sync of this file: 0, or -EIO because one before it had failed. */
int disk_sync_lost(const char *name, int fd, const struct stat *);
void disk_sync_fails(int fd, const struct stat *);
void disk_written_anew(const struct stat *); /* or renamed in it */
/* This description is a new one. */
void disk_opened(int fd);
int disk_planned_errno(void);
void disk_strike(const char *call, const char *name, uint64_t number, off_t);
