controller_core = \
	controller/core/ctl.h \
	controller/core/layout.c \
	controller/core/ns.c \
	controller/core/ns.h \
	controller/core/ns_attr.c \
	controller/core/ns_dir.c \
	controller/core/ns_make.c \
	controller/core/ns_map.c \
	controller/core/ns_map.h \
	controller/core/ns_node.h \
	controller/core/ns_reap.c \
	controller/core/ns_remove.c \
	controller/core/ns_rename.c \
	controller/core/ns_volume.c \
	controller/core/ns_xattr.c \
	controller/core/perm.c \
	controller/core/perm.h \
	controller/core/rowset.c \
	controller/core/rowset.h \
	controller/core/rowset_fetch.c \
	controller/core/rowset_flush.c \
	controller/core/rowset_group.c \
	controller/core/rowset_int.h \
	controller/core/space.c \
	controller/core/space.h \
	controller/core/tx.c \
	controller/core/tx.h \
	controller/core/tx_rows.h

controller_io =
