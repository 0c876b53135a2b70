journal_core = \
	journal/core/format.h \
	journal/core/jr.c \
	journal/core/jr.h \
	journal/core/jr_batch.c \
	journal/core/jr_index.c \
	journal/core/jr_index.h \
	journal/core/jr_job.c \
	journal/core/jr_recover.c \
	journal/core/jr_ring.c \
	journal/core/jr_state.h \
	journal/core/jr_verdict.c \
	journal/core/jr_verdict.h

journal_io = \
	journal/io/jx.c \
	journal/io/jx.h \
	journal/io/jx_files.c \
	journal/io/jx_files.h

sbin_PROGRAMS += mdcjournal
mdcjournal_SOURCES = journal/mdcjournal.c

noinst_PROGRAMS += journal-bench
journal_bench_SOURCES = journal/bench.c
journal_bench_LDADD = libmdcio.la libmdccore.la

EXTRA_DIST += journal/README.md
dist_man_MANS += deploy/man/mdcjournal.1
