controller_core = \
	controller/core/ctl.h \
	controller/core/rowset.c \
	controller/core/rowset.h \
	controller/core/rowset_fetch.c \
	controller/core/rowset_flush.c \
	controller/core/rowset_group.c \
	controller/core/rowset_int.h \
	controller/core/tx.c \
	controller/core/tx.h \
	controller/core/tx_rows.h

controller_io =
