/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all fuzz targets share. A target is a function of bytes that checks what must hold for any bytes; it keeps nothing from
 * one call to the next. With --enable-fuzz each target becomes a program of its own around libFuzzer; else all of them are in
 * one program that replays files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
	const char *name;
	void (*one)(const uint8_t *p, size_t len);
};

/* Ends the process with what did not hold. Stays on in every build. */
#define FUZZ_CHECK(cond, ...)                                                  \
	do {                                                                   \
		if (__builtin_expect(!(cond), 0))                              \
			fuzz_fail(__FILE__, __LINE__, #cond, " " __VA_ARGS__); \
	} while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *what, const char *format, ...)
	__attribute__((format(printf, 4, 5), cold));

/* Called when something is about to fail, to say where. NULL: nothing more is known. */
extern void (*fuzz_context)(void);

#ifdef FUZZ_ENGINE
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);
#define FUZZ_TARGET(name_)                                       \
	int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len) \
	{                                                        \
		one(p, len);                                     \
		return 0;                                        \
	}
#else
#define FUZZ_TARGET(name_) const struct fuzz_target fuzz_##name_ = {#name_, one};
#endif

extern const struct fuzz_target fuzz_arbiter, fuzz_cl, fuzz_conf, fuzz_ctl, fuzz_frame, fuzz_ha,
	fuzz_journal, fuzz_label, fuzz_message, fuzz_peer, fuzz_row, fuzz_state;

/* ---- bytes as decisions: an input that has ended says 0 for ever ---- */

struct fuzz_in {
	const uint8_t *p;
	size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_in *in, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < bytes && in->left > 0; i++, in->p++, in->left--)
		v |= (uint64_t)*in->p << (8 * i);
	return v;
}

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	return (uint8_t)fuzz_take(in, 1);
}

/* 0 .. n - 1 */
static inline uint32_t fuzz_below(struct fuzz_in *in, uint32_t n)
{
	return n > 1 ? (uint32_t)fuzz_take(in, n > 256 ? 4 : 1) % n : 0;
}

/* Up to n of the bytes that are left. */
static inline const uint8_t *fuzz_bytes(struct fuzz_in *in, size_t n, size_t *ret_len)
{
	const uint8_t *p = in->p;

	if (n > in->left)
		n = in->left;
	in->p += n;
	in->left -= n;
	*ret_len = n;
	return p;
}
