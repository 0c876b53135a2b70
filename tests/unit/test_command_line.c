/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "proto/command_line.h"

/* What a shell makes of the word. */
static void comes_back(const char *text)
{
	char room[200], command[300], back[200] = "";
	FILE *shell;

	snprintf(command, sizeof(command), "printf %%s %s",
		 pr_shell_word(text, room, sizeof(room)));
	shell = popen(command, "r");
	cr_assert(shell);
	back[fread(back, 1, sizeof(back) - 1, shell)] = '\0';
	cr_assert_eq(pclose(shell), 0);
	cr_assert_str_eq(back, text);
}

Test(command_line, a_shell_gives_each_word_back)
{
	comes_back("/var/lib/mypair");
	comes_back("/tmp/pair one");
	comes_back("it's");
	comes_back("''");
	comes_back("$HOME `id` \"$(id)\" ; & | < > * ? [a] ~ # ! \\ {a,b}\nline");
	comes_back("");
}

Test(command_line, a_plain_word_stays_as_it_is)
{
	const char *text = "[fe80::1]:/vol1";
	char room[8];

	cr_assert_eq(pr_shell_word("/a/b-c_d.e:f,g@h%i+j=k", room, sizeof(room))[0], '/');
	cr_assert_str_eq(pr_shell_word("abc", room, 0), "abc");
	cr_assert_neq(pr_shell_word(text, (char[64]){""}, 64), text);
}

Test(command_line, what_does_not_fit_is_cut_inside_the_room)
{
	char room[16];

	memset(room, 'x', sizeof(room));
	pr_shell_word("a b c d e f g h i j k", room, 12);
	cr_assert_lt(strlen(room), 12);
	cr_assert_eq(room[12], 'x');
	memset(room, 'x', sizeof(room));
	pr_shell_word("''''''''''", room, 12);
	cr_assert_lt(strlen(room), 12);
	cr_assert_eq(room[12], 'x');
}
