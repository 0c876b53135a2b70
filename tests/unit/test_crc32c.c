/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "proto/crc32c.h"

typedef uint32_t (*crc_fn)(uint32_t crc, const void *p, size_t len);

static const crc_fn ways[] = {pr_crc32c_more, pr_crc32c_table};

static void expect(const void *p, size_t len, uint32_t want)
{
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(ways[i](0, p, len), want, "way %zu", i);
}

/* RFC 3720 appendix B.4. */
Test(crc32c, gives_the_published_values)
{
	static const uint8_t read_pdu[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,	0, 0, 0, 0,
					     0x14, 0,	 0, 0, 0, 0, 4, 0, 0, 0, 0, 20, 0, 0, 0, 24,
					     40,   0,	 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,	0, 0, 0, 0};
	uint8_t bytes[32];

	expect("", 0, 0);
	expect("123456789", 9, 0xe3069283);
	expect(memset(bytes, 0, 32), 32, 0x8a9136aa);
	expect(memset(bytes, 0xff, 32), 32, 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = i;
	expect(bytes, 32, 0x46dd794e);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = 31 - i;
	expect(bytes, 32, 0x113fdb5c);
	expect(read_pdu, sizeof(read_pdu), 0xd9963a56);
}

Test(crc32c, both_ways_agree_at_every_length_and_address)
{
	uint8_t bytes[1200];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + (i >> 3));
	for (size_t from = 0; from < 9; from++)
		for (size_t len = 0; from + len <= sizeof(bytes); len++)
			cr_assert_eq(pr_crc32c(bytes + from, len),
				     pr_crc32c_table(0, bytes + from, len));
}

Test(crc32c, pieces_give_the_crc_of_the_whole)
{
	uint8_t bytes[900];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i);
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		uint32_t crc = pr_crc32c(bytes, cut);

		crc = pr_crc32c_more(crc, bytes + cut, sizeof(bytes) - cut);
		cr_assert_eq(crc, pr_crc32c(bytes, sizeof(bytes)));
	}
}

Test(crc32c, names_its_engine)
{
	const char *engine = pr_crc32c_engine();

	cr_assert(!strcmp(engine, "sse4.2") || !strcmp(engine, "table"));
}
