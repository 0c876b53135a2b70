# A target is fuzz_NAME.c, its name here, a line in fuzz.h and in replay.c, and a folder corpus/NAME.
fuzz_programs = \
	tests/fuzz/fuzz-arbiter \
	tests/fuzz/fuzz-cl \
	tests/fuzz/fuzz-conf \
	tests/fuzz/fuzz-ctl \
	tests/fuzz/fuzz-frame \
	tests/fuzz/fuzz-ha \
	tests/fuzz/fuzz-journal \
	tests/fuzz/fuzz-label \
	tests/fuzz/fuzz-message \
	tests/fuzz/fuzz-row \
	tests/fuzz/fuzz-state

fuzz_common = tests/fuzz/fuzz.c tests/fuzz/fuzz.h
fuzz_wire = tests/unit/wire_dice.h tests/unit/wire_kinds.h
fuzz_disk = tests/sim/simdisk.c tests/sim/simdisk.h
fuzz_ctl = tests/fuzz/fuzz_ctl_ask.c tests/fuzz/fuzz_ctl_ask.h tests/sim/simstore.c tests/sim/simstore.h
fuzz_conf = controller/io/conf.c controller/io/conf.h
fuzz_ldflags = $(AM_LDFLAGS) $(MDC_FUZZ_LDFLAGS)

tests_fuzz_fuzz_arbiter_SOURCES = tests/fuzz/fuzz_arbiter.c $(fuzz_common)
tests_fuzz_fuzz_arbiter_LDADD = libmdccore.la
tests_fuzz_fuzz_arbiter_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_cl_SOURCES = tests/fuzz/fuzz_cl.c $(fuzz_common)
tests_fuzz_fuzz_cl_LDADD = libmdccore.la
tests_fuzz_fuzz_cl_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c $(fuzz_conf) $(fuzz_common)
tests_fuzz_fuzz_conf_LDADD = libmdccore.la $(INIH_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_ctl_SOURCES = tests/fuzz/fuzz_ctl.c $(fuzz_ctl) $(fuzz_disk) $(fuzz_common)
tests_fuzz_fuzz_ctl_LDADD = libmdccore.la
tests_fuzz_fuzz_ctl_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c $(fuzz_common)
tests_fuzz_fuzz_frame_LDADD = libmdccore.la
tests_fuzz_fuzz_frame_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_ha_SOURCES = tests/fuzz/fuzz_ha.c $(fuzz_common)
tests_fuzz_fuzz_ha_LDADD = libmdccore.la
tests_fuzz_fuzz_ha_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/fuzz_journal.c $(fuzz_disk) $(fuzz_common)
tests_fuzz_fuzz_journal_LDADD = libmdccore.la
tests_fuzz_fuzz_journal_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_label_SOURCES = tests/fuzz/fuzz_label.c $(fuzz_common)
tests_fuzz_fuzz_label_LDADD = libmdcio.la libmdccore.la
tests_fuzz_fuzz_label_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_message_SOURCES = tests/fuzz/fuzz_message.c $(fuzz_wire) $(fuzz_common)
tests_fuzz_fuzz_message_LDADD = libmdccore.la
tests_fuzz_fuzz_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_row_SOURCES = tests/fuzz/fuzz_row.c $(fuzz_wire) $(fuzz_common)
tests_fuzz_fuzz_row_LDADD = libmdccore.la
tests_fuzz_fuzz_row_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_state_SOURCES = tests/fuzz/fuzz_state.c $(fuzz_common)
tests_fuzz_fuzz_state_LDADD = libmdccore.la
tests_fuzz_fuzz_state_LDFLAGS = $(fuzz_ldflags)

# Without a fuzzer all targets are one program, which make check gives the corpus.
tests_fuzz_replay_SOURCES = \
	tests/fuzz/replay.c \
	tests/fuzz/fuzz_arbiter.c \
	tests/fuzz/fuzz_cl.c \
	tests/fuzz/fuzz_conf.c \
	tests/fuzz/fuzz_ctl.c \
	tests/fuzz/fuzz_frame.c \
	tests/fuzz/fuzz_ha.c \
	tests/fuzz/fuzz_journal.c \
	tests/fuzz/fuzz_label.c \
	tests/fuzz/fuzz_message.c \
	tests/fuzz/fuzz_row.c \
	tests/fuzz/fuzz_state.c \
	$(fuzz_conf) $(fuzz_ctl) $(fuzz_disk) $(fuzz_wire) $(fuzz_common)
tests_fuzz_replay_LDADD = libmdcio.la libmdccore.la $(INIH_LIBS)

EXTRA_PROGRAMS = $(fuzz_programs)
CLEANFILES += $(fuzz_programs)
if !ENABLE_FUZZ
check_PROGRAMS += tests/fuzz/replay
endif
TESTS += tests/fuzz/corpus.sh

EXTRA_DIST += \
	tests/fuzz/corpus \
	tests/fuzz/conf.dict \
	tests/fuzz/corpus.sh \
	tests/fuzz/merge \
	tests/fuzz/run

# make fuzz [SECONDS=n] [TARGETS="conf row"]: each target for so long, in fuzz/ of the build.
SECONDS = 10
TARGETS = $(fuzz_programs:tests/fuzz/fuzz-%=%)
FUZZ_CC = clang-14
.PHONY: fuzz fuzz-programs
fuzz-programs: $(fuzz_programs)

fuzz:
	$(AM_V_at)$(MKDIR_P) fuzz
	$(AM_V_at)test -e fuzz/Makefile || (cd fuzz && $(abs_srcdir)/configure CC=$(FUZZ_CC) --enable-fuzz --enable-werror)
	$(AM_V_at)$(MAKE) -C fuzz fuzz-programs
	$(AM_V_at)$(top_srcdir)/tests/fuzz/run fuzz/tests/fuzz $(SECONDS) $(TARGETS)
