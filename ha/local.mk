ha_core = \
	ha/core/ha.c \
	ha/core/ha.h \
	ha/core/ha_active.c \
	ha/core/ha_arbiter.c \
	ha/core/ha_core.h \
	ha/core/ha_link.c \
	ha/core/ha_promote.c \
	ha/core/ha_proof.c \
	ha/core/ha_proof.h \
	ha/core/ha_record.c \
	ha/core/ha_resync.c \
	ha/core/ha_standby.c \
	ha/core/ha_state.c \
	ha/core/ha_switch.c

ha_io = \
	ha/io/arbiter.c \
	ha/io/arbiter.h \
	ha/io/client_fence.c \
	ha/io/client_fence.h \
	ha/io/cluster.h \
	ha/io/gate.h \
	ha/io/hl.c \
	ha/io/hl.h \
	ha/io/state_file.c \
	ha/io/state_file.h \
	ha/io/super.c \
	ha/io/super.h \
	ha/io/tcp.c \
	ha/io/tcp.h \
	ha/io/worker.c \
	ha/io/worker.h

if HAVE_CLUSTER
ha_io += ha/io/cluster.c ha/io/cluster_helper.c ha/io/cluster_helper.h
sbin_PROGRAMS += mdcd-pacemaker
mdcd_pacemaker_SOURCES = ha/mdcd_pacemaker.c ha/io/sleeper.c ha/io/sleeper.h
mdcd_pacemaker_LDADD = $(CLUSTER_LIBS)
else
ha_io += ha/io/cluster_none.c
endif

EXTRA_DIST += ha/README.md
