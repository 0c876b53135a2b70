client_core = \
	client/core/cl.c \
	client/core/cl.h \
	client/core/cl_held.c \
	client/core/cl_held.h \
	client/core/cl_link.c \
	client/core/cl_map.c \
	client/core/cl_map.h \
	client/core/cl_priv.h \
	client/core/cl_request.c

client_io = \
	client/io/mdc_address.c \
	client/io/mdc_call.h \
	client/io/mdc_commit.c \
	client/io/mdc_conn.c \
	client/io/mdc_data.c \
	client/io/mdc_data.h \
	client/io/mdc_error.c \
	client/io/mdc_file.c \
	client/io/mdc_fsync.c \
	client/io/mdc_inode.c \
	client/io/mdc_io.c \
	client/io/mdc_later.c \
	client/io/mdc_layout.c \
	client/io/mdc_loop.c \
	client/io/mdc_luns.c \
	client/io/mdc_priv.h \
	client/io/mdc_request.c \
	client/io/mdc_session.c \
	client/io/mdc_resize.c \
	client/io/mdc_sync.c \
	client/io/mdc_task.c

include_HEADERS += client/mdcpair.h
dist_doc_DATA = client/example.c
dist_man_MANS += deploy/man/libmdcpair.3
EXTRA_DIST += client/README.md

pkgconfig_DATA += client/mdcpair.pc

# The installed library's example, compiled as its page says and run.
installcheck-local:
	PKG_CONFIG_PATH="$(DESTDIR)$(pkgconfigdir)$${PKG_CONFIG_PATH:+:$$PKG_CONFIG_PATH}" && export PKG_CONFIG_PATH && \
	$(CC) $(filter -fsanitize%,$(MDC_CFLAGS)) -o installed-example "$(DESTDIR)$(docdir)/example.c" \
		$$($(PKG_CONFIG) --cflags --libs mdcpair)
	LD_LIBRARY_PATH="$(DESTDIR)$(libdir)" ./installed-example 2>&1 | grep '^usage: example'
	"$(DESTDIR)$(bindir)/mdcpair" --version
	"$(DESTDIR)$(sbindir)/mdcd" --version
	rm -f installed-example

lib_LTLIBRARIES += libmdcpair.la
libmdcpair_la_SOURCES = $(proto_core) $(lun_io) $(client_core) $(client_io)
libmdcpair_la_LIBADD = $(URING_LIBS) $(ISCSI_LIBS) $(XXHASH_LIBS) $(UUID_LIBS)
# A thread that asks the name service may outlive every session: what it runs stays.
libmdcpair_la_LDFLAGS = $(AM_LDFLAGS) -Wl,-z,nodelete -no-undefined -version-info 0:0:0 -export-symbols-regex '^mdc_'

if HAVE_FUSE
bin_PROGRAMS += mdcfs
endif
mdcfs_SOURCES = \
	client/mdcfs.c \
	client/mdcfs.h \
	client/mdcfs_apart.c \
	client/mdcfs_attr.c \
	client/mdcfs_data.c \
	client/mdcfs_dir.c \
	client/mdcfs_file.c \
	client/mdcfs_init.c \
	client/mdcfs_inode.c \
	client/mdcfs_log.c \
	client/mdcfs_name.c \
	client/mdcfs_op.c \
	client/mdcfs_opt.c \
	client/mdcfs_xattr.c
mdcfs_LDADD = libmdcpair.la $(FUSE_LIBS)

bin_PROGRAMS += mdcbench
mdcbench_SOURCES = \
	client/mdcbench.c \
	client/mdcbench.h \
	client/mdcbench_data.c \
	client/mdcbench_failover.c \
	client/mdcbench_floor.c \
	client/mdcbench_hist.c \
	client/mdcbench_load.c \
	client/mdcbench_million.c \
	client/mdcbench_cold.c \
	client/mdcbench_ops.c \
	client/mdcbench_proc.c \
	client/mdcbench_report.c \
	client/mdcbench_stop.c
mdcbench_LDADD = libmdcpair.la $(JANSSON_LIBS)
dist_man_MANS += deploy/man/mdcbench.1
EXTRA_DIST += client/mdcbench.sh

bench: mdcbench mdcctl mdcd mdcpair
	PATH="$(abs_top_builddir):$$PATH" $(srcdir)/client/mdcbench.sh
.PHONY: bench

EXTRA_DIST += \
	tests/integration/3-mount-lib.sh \
	tests/integration/310-mount-copy \
	tests/integration/311-mount-sqlite \
	tests/integration/312-mount-mmap \
	tests/integration/313-mount-work \
	tests/integration/314-mount-refused \
	tests/integration/315-mount-user \
	tests/integration/316-mount-outage \
	tests/integration/317-mount-files \
	tests/integration/318-mount-names \
	tests/integration/319-mount-dbench \
	tests/integration/320-mount-faults \
	tests/integration/321-mount-posix \
	tests/integration/3-mount-posix.c \
	tests/integration/3-mount-resolver.c
