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
