controller_core = \
	controller/core/batch.c \
	controller/core/boot.c \
	controller/core/ctl.c \
	controller/core/ctl.h \
	controller/core/ctl_admin.c \
	controller/core/ctl_flush.c \
	controller/core/ctl_held.c \
	controller/core/ctl_int.h \
	controller/core/ctl_json.c \
	controller/core/ctl_json.h \
	controller/core/ctl_kinds.c \
	controller/core/ctl_op.c \
	controller/core/ctl_pair.c \
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
	controller/core/reply.c \
	controller/core/rowset.c \
	controller/core/rowset.h \
	controller/core/rowset_fetch.c \
	controller/core/rowset_flush.c \
	controller/core/rowset_group.c \
	controller/core/rowset_int.h \
	controller/core/session.c \
	controller/core/space.c \
	controller/core/space.h \
	controller/core/tx.c \
	controller/core/tx.h \
	controller/core/tx_rows.h

# What the tools and the daemon both have.
controller_io = \
	controller/io/admin.c \
	controller/io/admin.h \
	controller/io/conf.c \
	controller/io/conf.h \
	controller/io/log.c \
	controller/io/log.h \
	controller/io/loop.c \
	controller/io/loop.h \
	controller/io/lun_tool.c \
	controller/io/lun_tool.h \
	controller/io/promotion.c \
	controller/io/promotion.h

store = \
	controller/io/locked.c \
	controller/io/locked.h \
	controller/io/store.c \
	controller/io/store.h \
	controller/io/store_env.c \
	controller/io/store_head.c \
	controller/io/store_head.h \
	controller/io/store_int.h \
	controller/io/store_read.c \
	controller/io/store_rows.c \
	controller/io/store_rows.h \
	controller/io/store_task.c \
	controller/io/store_write.c

mdcd_io = \
	controller/io/edge.c \
	controller/io/edge.h \
	controller/io/edge_cluster.c \
	controller/io/edge_cluster.h \
	controller/io/edge_fence.c \
	controller/io/edge_fence.h \
	controller/io/edge_loss.c \
	controller/io/edge_loss.h \
	controller/io/edge_start.c \
	controller/io/edge_status.c \
	controller/io/ports.c \
	controller/io/ports.h \
	$(store)

pair_tools = \
	controller/io/admin_client.c \
	controller/io/admin_client.h \
	controller/io/pair_dir.c \
	controller/io/pair_dir.h \
	controller/io/pair_print.c \
	controller/io/pair_print.h \
	controller/io/pair_socket.c \
	controller/io/pair_socket.h \
	controller/io/pair_status.c \
	controller/io/pair_status.h \
	controller/io/volume_tool.c \
	controller/io/volume_tool.h

controller_libs = libmdcio.la libmdccore.la $(LMDB_LIBS) $(QB_LIBS) $(JANSSON_LIBS) $(INIH_LIBS)

sbin_PROGRAMS += mdcd mdcd-agent
bin_PROGRAMS += mdcctl mdcpair

mdcd_SOURCES = controller/mdcd.c $(controller_io) $(mdcd_io)
mdcd_LDADD = $(controller_libs)

mdcd_agent_SOURCES = controller/mdcd_agent.c controller/io/admin_client.c controller/io/admin_client.h \
	controller/io/conf.c controller/io/conf.h controller/io/loop.c controller/io/loop.h
mdcd_agent_LDADD = $(controller_libs)

mdcctl_SOURCES = controller/mdcctl.c $(controller_io) $(pair_tools) \
	controller/io/arbiter_tool.c \
	controller/io/arbiter_tool.h \
	controller/io/check.h \
	controller/io/check_cluster.c \
	controller/io/check_facts.c \
	controller/io/check_judge.c \
	controller/io/check_net.c \
	controller/io/check_tool.c \
	controller/io/check_tool.h
mdcctl_LDADD = $(controller_libs)

mdcpair_SOURCES = controller/mdcpair.c controller/io/supervisor.c controller/io/supervisor.h \
	$(controller_io) $(pair_tools)
mdcpair_LDADD = $(controller_libs)

EXTRA_DIST += controller/NAMESPACE.md

dist_man_MANS += \
	deploy/man/mdcctl.8 \
	deploy/man/mdcd-agent.8 \
	deploy/man/mdcd.8 \
	deploy/man/mdcd.conf.5 \
	deploy/man/mdcpair.8

unit_tests += tests/unit/test_arbiter_tool tests/unit/test_check tests/unit/test_conf tests/unit/test_promotion tests/unit/test_store
tests_unit_test_arbiter_tool_SOURCES = tests/unit/test_arbiter_tool.c \
	controller/io/arbiter_tool.c controller/io/conf.c controller/io/lun_tool.c controller/io/pair_dir.c
tests_unit_test_arbiter_tool_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=lun_arbiter_lock
tests_unit_test_check_SOURCES = tests/unit/test_check.c controller/io/check_judge.c
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c \
	controller/io/conf.c controller/io/lun_tool.c controller/io/pair_dir.c
tests_unit_test_promotion_SOURCES = tests/unit/test_promotion.c controller/io/promotion.c
tests_unit_test_store_SOURCES = tests/unit/test_store.c $(store)

EXTRA_DIST += \
	tests/integration/0-pair-lib.sh \
	tests/integration/010-pair-up-down \
	tests/integration/011-pair-kill-active \
	tests/integration/012-pair-bad-start \
	tests/integration/013-pair-garbage \
	tests/integration/014-pair-supervisor-killed \
	tests/integration/015-pair-stopped-standby \
	tests/integration/019-pair-stopped-active \
	tests/integration/016-pair-full-copy

EXTRA_DIST += controller/README.md
EXTRA_DIST += tests/integration/017-pair-lost-client
EXTRA_DIST += tests/integration/018-pair-names
EXTRA_DIST += tests/integration/020-pair-disk-full
EXTRA_DIST += tests/integration/021-lun-devices
EXTRA_DIST += tests/integration/022-pair-damaged
EXTRA_DIST += tests/integration/023-command-lines
EXTRA_DIST += tests/integration/024-manuals
EXTRA_DIST += tests/integration/025-check
EXTRA_DIST += tests/integration/411-cluster-check
EXTRA_DIST += tests/integration/026-guide
EXTRA_DIST += tests/integration/027-second-lun
EXTRA_DIST += tests/integration/028-pair-limits
EXTRA_DIST += tests/integration/029-arbiter-gone
EXTRA_DIST += tests/integration/030-lun-moved
