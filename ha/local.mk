ha_core = \
	ha/core/ha.c \
	ha/core/ha.h \
	ha/core/ha_active.c \
	ha/core/ha_arbiter.c \
	ha/core/ha_core.h \
	ha/core/ha_link.c \
	ha/core/ha_promote.c \
	ha/core/ha_record.c \
	ha/core/ha_resync.c \
	ha/core/ha_standby.c \
	ha/core/ha_state.c \
	ha/core/ha_switch.c

ha_io =
