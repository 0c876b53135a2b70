client_core = \
	client/core/cl.c \
	client/core/cl.h \
	client/core/cl_held.c \
	client/core/cl_held.h \
	client/core/cl_link.c \
	client/core/cl_priv.h \
	client/core/cl_request.c

client_io =

pkgconfig_DATA += client/mdcpair.pc

EXTRA_LTLIBRARIES += libmdcpair.la
libmdcpair_la_SOURCES = $(proto_core) $(lun_io) $(client_core) $(client_io)
libmdcpair_la_LIBADD = $(URING_LIBS) $(ISCSI_LIBS) $(XXHASH_LIBS) $(UUID_LIBS)
libmdcpair_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -rpath $(libdir) -version-info 0:0:0 -export-symbols-regex '^mdc_'
