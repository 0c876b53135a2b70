client_core =

client_io =

pkgconfig_DATA += client/mdcpair.pc

EXTRA_LTLIBRARIES += libmdcpair.la
libmdcpair_la_SOURCES = $(proto_core) $(lun_io) $(client_core) $(client_io)
libmdcpair_la_LIBADD = $(URING_LIBS) $(ISCSI_LIBS) $(XXHASH_LIBS) $(UUID_LIBS)
libmdcpair_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -rpath $(libdir) -version-info 0:0:0 -export-symbols-regex '^mdc_'
