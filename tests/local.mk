unit_tests += tests/unit/test_version
unit_tests += tests/unit/test_cl_map
unit_tests += tests/unit/test_cl_core
tests_unit_test_cl_core_SOURCES = \
	tests/unit/cl_rig.c \
	tests/unit/cl_rig.h \
	tests/unit/test_cl_held.c \
	tests/unit/test_cl_link.c \
	tests/unit/test_cl_request.c \
	tests/unit/test_cl_session.c
unit_tests += tests/unit/test_cl_memory
tests_unit_test_cl_memory_SOURCES = tests/unit/test_cl_memory.c tests/unit/cl_rig.c tests/unit/cl_rig.h
tests_unit_test_cl_memory_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=realloc
unit_tests += tests/unit/test_mdc_commit
tests_unit_test_mdc_commit_SOURCES = tests/unit/test_mdc_commit.c client/io/mdc_commit.c
tests_unit_test_mdc_commit_CFLAGS = $(AM_CFLAGS) # objects of its own: the library has the others
tests_unit_test_mdc_commit_LDADD = libmdccore.la $(CRITERION_LIBS)
unit_tests += tests/unit/test_mdc_resize
tests_unit_test_mdc_resize_SOURCES = tests/unit/test_mdc_resize.c client/io/mdc_resize.c
tests_unit_test_mdc_resize_CFLAGS = $(AM_CFLAGS)
tests_unit_test_mdc_resize_LDADD = $(CRITERION_LIBS)
unit_tests += tests/unit/test_mdc_data
tests_unit_test_mdc_data_SOURCES = tests/unit/test_mdc_data.c tests/unit/mdc_rig.c tests/unit/mdc_rig.h \
	client/io/mdc_commit.c client/io/mdc_data.c client/io/mdc_inode.c client/io/mdc_io.c \
	client/io/mdc_layout.c client/io/mdc_task.c
tests_unit_test_mdc_data_CFLAGS = $(AM_CFLAGS)
tests_unit_test_mdc_data_LDADD = libmdccore.la $(CRITERION_LIBS) -lpthread
unit_tests += tests/unit/test_mdc_address
tests_unit_test_mdc_address_SOURCES = tests/unit/test_mdc_address.c client/io/mdc_address.c
tests_unit_test_mdc_address_CFLAGS = $(AM_CFLAGS)
tests_unit_test_mdc_address_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getaddrinfo
tests_unit_test_mdc_address_LDADD = $(CRITERION_LIBS) -lpthread
if HAVE_FUSE
unit_tests += tests/unit/test_mdcfs_log tests/unit/test_mdcfs_file
endif
tests_unit_test_mdcfs_log_SOURCES = tests/unit/test_mdcfs_log.c client/mdcfs_log.c
tests_unit_test_mdcfs_log_CFLAGS = $(AM_CFLAGS)
tests_unit_test_mdcfs_log_LDADD = $(CRITERION_LIBS) -lpthread
tests_unit_test_mdcfs_file_SOURCES = tests/unit/test_mdcfs_file.c client/mdcfs_file.c
tests_unit_test_mdcfs_file_CFLAGS = $(AM_CFLAGS)
tests_unit_test_mdcfs_file_LDADD = $(CRITERION_LIBS)
unit_tests += tests/unit/test_mdc_loop
tests_unit_test_mdc_loop_SOURCES = tests/unit/test_mdc_loop.c client/io/mdc_later.c client/io/mdc_loop.c client/io/mdc_sync.c
tests_unit_test_mdc_loop_CFLAGS = $(AM_CFLAGS)
tests_unit_test_mdc_loop_LDADD = libmdccore.la $(CRITERION_LIBS) -lpthread
unit_tests += tests/unit/test_cl_ends tests/unit/test_cl_files
tests_unit_test_cl_ends_SOURCES = tests/unit/test_cl_ends.c tests/unit/pair_rig.h
tests_unit_test_cl_files_SOURCES = tests/unit/test_cl_files.c tests/unit/pair_rig.h
unit_tests += tests/unit/test_cl_version
tests_unit_test_cl_version_LDADD = libmdcpair.la libmdccore.la $(CRITERION_LIBS) -lpthread
tests_unit_test_cl_ends_LDADD = libmdcpair.la $(CRITERION_LIBS) -lpthread
tests_unit_test_cl_files_LDADD = libmdcpair.la $(CRITERION_LIBS) -lpthread

unit_tests += tests/unit/test_jr_forged
unit_tests += tests/unit/test_aio tests/unit/test_aio_sync tests/unit/test_label tests/unit/test_lun_iscsi tests/unit/test_jr_append tests/unit/test_jr_recover tests/unit/test_jx
# Preloaded into a program that is not ours, so without our sanitizers.
check_DATA = slowdisk.so
EXTRA_DIST += tests/unit/slowdisk.c
CLEANFILES += slowdisk.so
slowdisk.so: tests/unit/slowdisk.c
	$(AM_V_CCLD)$(CC) -O2 -fPIC -shared -o $@ $(top_srcdir)/tests/unit/slowdisk.c -ldl
tests_unit_test_jr_append_SOURCES = tests/unit/test_jr_append.c tests/unit/jr_rig.h tests/sim/simdisk.c tests/sim/simdisk.h
unit_tests += tests/unit/test_jr_jobs tests/unit/test_jr_misfit
tests_unit_test_jr_jobs_SOURCES = tests/unit/test_jr_jobs.c tests/unit/jr_rig.h tests/unit/jr_thirty.h tests/sim/simdisk.c tests/sim/simdisk.h
tests_unit_test_jr_misfit_SOURCES = tests/unit/test_jr_misfit.c tests/unit/jr_rig.h tests/unit/jr_thirty.h tests/sim/simdisk.c tests/sim/simdisk.h
unit_tests += tests/unit/test_jr_later
tests_unit_test_jr_later_SOURCES = tests/unit/test_jr_later.c tests/unit/jr_rig.h tests/sim/simdisk.c tests/sim/simdisk.h
unit_tests += tests/unit/test_jr_memory
tests_unit_test_jr_memory_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=calloc
tests_unit_test_jr_recover_SOURCES = tests/unit/test_jr_recover.c tests/unit/jr_rig.h tests/sim/simdisk.c tests/sim/simdisk.h

unit_tests += tests/unit/test_rowset
tests_unit_test_rowset_SOURCES = tests/unit/test_rowset.c tests/sim/simstore.c tests/sim/simstore.h

unit_tests += tests/unit/test_ctl
tests_unit_test_ctl_SOURCES = tests/unit/test_ctl.c tests/unit/test_ctl_layout.c tests/unit/test_ctl_reply.c \
	tests/unit/ctl_rig.c tests/unit/ctl_rig.h \
	tests/sim/simstore.c tests/sim/simstore.h tests/sim/simdisk.c tests/sim/simdisk.h

unit_tests += tests/unit/test_ctl_session
tests_unit_test_ctl_session_SOURCES = tests/unit/test_ctl_session.c tests/unit/test_ctl_conn.c \
	tests/unit/test_ctl_ending.c tests/unit/test_ctl_rows.c tests/unit/test_ctl_opens.c \
	tests/unit/test_ctl_reap.c tests/unit/test_ctl_again.c tests/unit/ctl_rig.c tests/unit/ctl_rig.h \
	tests/sim/simstore.c tests/sim/simstore.h tests/sim/simdisk.c tests/sim/simdisk.h

unit_tests += tests/unit/test_ctl_cache
tests_unit_test_ctl_cache_SOURCES = tests/unit/test_ctl_cache.c tests/unit/ctl_rig.c tests/unit/ctl_rig.h \
	tests/sim/simstore.c tests/sim/simstore.h tests/sim/simdisk.c tests/sim/simdisk.h

unit_tests += tests/unit/test_ha_codec tests/unit/test_state_file
unit_tests += tests/unit/test_sleeper
tests_unit_test_sleeper_SOURCES = tests/unit/test_sleeper.c ha/io/sleeper.c ha/io/sleeper.h
unit_tests += tests/unit/test_ha_pair
tests_unit_test_ha_pair_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=calloc
tests_unit_test_ha_pair_SOURCES = \
	tests/unit/ha_rig.c \
	tests/unit/ha_rig.h \
	tests/unit/test_ha_active.c \
	tests/unit/test_ha_heir.c \
	tests/unit/test_ha_link.c \
	tests/unit/test_ha_loss.c \
	tests/unit/test_ha_promote.c \
	tests/unit/test_ha_proof.c \
	tests/unit/test_ha_record.c \
	tests/unit/test_ha_repair.c \
	tests/unit/test_ha_resync.c \
	tests/unit/test_ha_source.c \
	tests/unit/test_ha_standby.c \
	tests/unit/test_ha_start.c \
	tests/unit/test_ha_switch.c \
	tests/unit/test_ha_target.c \
	tests/unit/test_ha_vote.c

unit_tests += tests/unit/test_locked
tests_unit_test_locked_SOURCES = tests/unit/test_locked.c controller/io/locked.c controller/io/locked.h

unit_tests += tests/unit/test_order
tests_unit_test_order_SOURCES = tests/unit/test_order.c tests/check/order.c tests/check/order.h \
	tests/check/model.c tests/check/model_answer.c tests/check/model.h

check_PROGRAMS += tests/sim/ha_sim
tests_sim_ha_sim_SOURCES = \
	tests/sim/ha_sim.c \
	tests/sim/ha_sim.h \
	tests/sim/ha_sim_arbiter.c \
	tests/sim/ha_sim_check.c \
	tests/sim/ha_sim_client.c \
	tests/sim/ha_sim_disk.c \
	tests/sim/ha_sim_effect.c \
	tests/sim/ha_sim_event.c \
	tests/sim/ha_sim_fault.c \
	tests/sim/ha_sim_link.c \
	tests/sim/ha_sim_log.c \
	tests/sim/ha_sim_node.c \
	tests/sim/ha_sim_serve.c \
	tests/sim/ha_sim_store.c \
	tests/sim/ha_sim_super.c \
	tests/sim/ha_sim_totals.c \
	tests/sim/ha_sim_totals.h \
	tests/sim/ha_sim_world.c \
	tests/sim/idle.h \
	tests/sim/ledger.c \
	tests/sim/ledger.h
tests_sim_ha_sim_LDADD = libmdccore.la

check_PROGRAMS += tests/sim/sim
tests_sim_sim_SOURCES = \
	tests/check/history.c \
	tests/check/history.h \
	tests/check/model.c \
	tests/check/model_answer.c \
	tests/check/model.h \
	tests/check/order.c \
	tests/check/order.h \
	tests/number.h \
	tests/sim/idle.h \
	tests/sim/ledger.c \
	tests/sim/ledger.h \
	tests/sim/sim.c \
	tests/sim/sim.h \
	tests/sim/sim_blocks.c \
	tests/sim/sim_check.c \
	tests/sim/sim_client.c \
	tests/sim/sim_damage.c \
	tests/sim/sim_data.c \
	tests/sim/sim_fault.c \
	tests/sim/sim_history.c \
	tests/sim/sim_journal.c \
	tests/sim/sim_lun.c \
	tests/sim/sim_many.c \
	tests/sim/sim_net.c \
	tests/sim/sim_node.c \
	tests/sim/sim_node.h \
	tests/sim/sim_proof.c \
	tests/sim/sim_records.c \
	tests/sim/sim_run.c \
	tests/sim/sim_scenario.c \
	tests/sim/sim_scenario_client.c \
	tests/sim/sim_scenario_disk.c \
	tests/sim/sim_scenario_fence.c \
	tests/sim/sim_scenario_wait.c \
	tests/sim/sim_script.h \
	tests/sim/sim_scenario.h \
	tests/sim/sim_shrink.c \
	tests/sim/sim_shrink.h \
	tests/sim/sim_small.c \
	tests/sim/sim_small.h \
	tests/sim/sim_super.c \
	tests/sim/sim_totals.c \
	tests/sim/sim_totals.h \
	tests/sim/sim_witness.c \
	tests/sim/sim_work.c \
	tests/sim/sim_world.c \
	tests/sim/simdisk.c \
	tests/sim/simdisk.h \
	tests/sim/simstore.c \
	tests/sim/simstore.h
tests_sim_sim_LDADD = libmdccore.la

unit_tests += tests/unit/test_sim_blocks
tests_unit_test_sim_blocks_SOURCES = tests/unit/test_sim_blocks.c tests/sim/sim_blocks.c tests/sim/sim.h
unit_tests += tests/unit/test_sim_many
tests_unit_test_sim_many_SOURCES = tests/unit/test_sim_many.c tests/sim/ledger.c tests/sim/ledger.h \
	tests/sim/sim_many.c tests/sim/sim_totals.c tests/sim/sim_totals.h

ns_fake = tests/unit/ns_fake.c tests/unit/ns_fake.h
unit_tests += \
	tests/unit/test_ns_layout \
	tests/unit/test_ns_model \
	tests/unit/test_ns_perm \
	tests/unit/test_ns_rules
tests_unit_test_ns_layout_SOURCES = tests/unit/test_ns_layout.c $(ns_fake)
tests_unit_test_ns_model_SOURCES = tests/unit/test_ns_model.c $(ns_fake)
tests_unit_test_ns_perm_SOURCES = tests/unit/test_ns_perm.c $(ns_fake)
tests_unit_test_ns_rules_SOURCES = tests/unit/test_ns_rules.c $(ns_fake)

if HAVE_CRITERION
check_PROGRAMS += $(unit_tests)
endif

TESTS = tests/core-symbols.sh tests/mutants-apply.sh tests/rooms.sh tests/sim/commands.sh
include tests/fuzz/local.mk
include tests/model/local.mk
include tests/crash/local.mk
if HAVE_CRITERION
TESTS += $(unit_tests)
endif

AM_TESTS_ENVIRONMENT = \
	NM='$(NM)' enable_asan='$(enable_asan)' enable_coverage='$(enable_coverage)'; \
	top_srcdir='$(top_srcdir)'; VALGRIND='$(VALGRIND)' UNIT_LIMIT_S='$(UNIT_LIMIT_S)'; \
	export NM enable_asan enable_coverage top_srcdir VALGRIND UNIT_LIMIT_S;
TEST_EXTENSIONS = .sh
LOG_COMPILER = $(top_srcdir)/tests/run-unit

EXTRA_DIST += \
	tests/README.md \
	tests/core-symbols.sh \
	tests/coverage \
	tests/coverage.explained \
	tests/lint \
	tests/mutants-apply.sh \
	tests/rooms.sh \
	tests/run \
	tests/sim/SCENARIOS.md \
	tests/sim/commands.sh \
	tests/sim/same \
	tests/sim/seeds.txt \
	tests/run-unit \
	tests/tsan

.PHONY: check-integration check-asan lint
check-integration: all
	$(top_srcdir)/tests/run --build $(abs_builddir)

lint:
	$(AM_V_at)printf '%s\n' $(DISTFILES) >lint.files
	$(AM_V_at)$(top_srcdir)/tests/lint lint.files
CLEANFILES += lint.files

# Of one unit test, where a sanitizer, valgrind or counters make it slow.
SLOW_UNIT_LIMIT_S = 3600

ASAN_SEEDS = 50

check-asan:
	$(AM_V_at)$(MKDIR_P) asan
	$(AM_V_at)test -e asan/Makefile || (cd asan && $(abs_srcdir)/configure --enable-asan --enable-werror)
	$(AM_V_at)$(MAKE) -C asan check UNIT_LIMIT_S=$(SLOW_UNIT_LIMIT_S)
	$(AM_V_at)$(MAKE) -C asan check-sim SEEDS=$(ASAN_SEEDS)

# VALGRIND_TESTS=tests/unit/test_x: only that. Threads are for check-tsan. test_cl_ends and test_cl_files start a pair, which valgrind cannot follow:
# mdcpair runs itself as /proc/self/exe, and there that is valgrind. test_locked locks memory by mlock2, which valgrind 3.19 does not know; nor does it
# see what io_uring writes into memory: its build is without.
VALGRIND_TESTS = $(filter-out tests/unit/test_cl_ends tests/unit/test_cl_files tests/unit/test_locked,$(unit_tests))
.PHONY: check-valgrind check-tsan
check-valgrind:
	$(AM_V_at)$(MKDIR_P) valgrind
	$(AM_V_at)test -e valgrind/Makefile || (cd valgrind && $(abs_srcdir)/configure --without-uring --enable-werror)
	$(AM_V_at)$(MAKE) -C valgrind all
	$(AM_V_at)$(MAKE) -C valgrind check TESTS='$(VALGRIND_TESTS)' VALGRIND=yes UNIT_LIMIT_S=$(SLOW_UNIT_LIMIT_S)

check-tsan:
	$(AM_V_at)$(MKDIR_P) tsan
	$(AM_V_at)test -e tsan/Makefile || \
		(cd tsan && $(abs_srcdir)/configure --disable-shared CFLAGS='-O1 -g -fsanitize=thread' LDFLAGS=-fsanitize=thread)
	$(AM_V_at)$(MAKE) -C tsan all
	$(AM_V_at)$(top_srcdir)/tests/tsan tsan

clean-local:
	$(AM_V_at)rm -rf asan coverage tsan valgrind

SEEDS = 1000
.PHONY: check-sim
check-sim: tests/sim/ha_sim tests/sim/sim
	tests/sim/ha_sim --seeds $(if $(HA_SEEDS),$(HA_SEEDS),$(SEEDS)) $(if $(LEDGER),--ledger $(LEDGER).ha)
	sed -n 's/^\([0-9][0-9]*\) .*/--seed \1/p' $(srcdir)/tests/sim/seeds.txt | xargs -r -L 1 tests/sim/sim
	tests/sim/sim --scenario all
	tests/sim/sim --search --seeds $(SEEDS) $(if $(LEDGER),--ledger $(LEDGER).search)
	tests/sim/sim --seeds $(SEEDS) $(if $(FROM),--from $(FROM)) $(if $(LEDGER),--ledger $(LEDGER))

# Each seed is the same run, whatever the compiler does, 1,000 times over.
SAME = --seeds 200 --repeat 1000
.PHONY: check-sim-same
check-sim-same:
	$(AM_V_at)CC='$(CC)' $(top_srcdir)/tests/sim/same $(SAME)

EXTRA_DIST += tests/mutants tests/mutants/run

.PHONY: check-mutants
check-mutants:
	$(AM_V_at)CC='$(CC)' $(top_srcdir)/tests/mutants/run

check_PROGRAMS += tests/work/treework
tests_work_treework_SOURCES = tests/work/treework.c
tests_work_treework_LDADD =

check_PROGRAMS += tests/work/overwrite
tests_work_overwrite_SOURCES = tests/work/overwrite.c
tests_work_overwrite_LDADD = libmdcpair.la

check_PROGRAMS += tests/work/registers
tests_work_registers_SOURCES = tests/work/registers.c tests/check/history.c tests/check/history.h
tests_work_registers_LDADD = libmdcpair.la -lpthread

rounds = tests/check/rounds.c tests/check/rounds.h tests/check/order.c tests/check/order.h \
	tests/check/model.c tests/check/model_answer.c tests/check/model.h
check_PROGRAMS += tests/work/names
tests_work_names_SOURCES = tests/work/names.c tests/work/names_ask.c tests/work/names_ask.h $(rounds)
tests_work_names_LDADD = libmdcpair.la libmdccore.la -lpthread
unit_tests += tests/unit/test_rounds
tests_unit_test_rounds_SOURCES = tests/unit/test_rounds.c $(rounds)

unit_tests += tests/unit/test_history
tests_unit_test_history_SOURCES = tests/unit/test_history.c tests/check/history.c tests/check/history.h

# What unit tests, the corpora and some seeds reach in what must not err; what they leave open is an error.
covered = $(filter %.c,$(journal_core) $(ha_core)) controller/core/reply.c controller/core/session.c controller/core/boot.c
COVERAGE_SEEDS = 200
.PHONY: coverage
coverage:
	$(AM_V_at)$(MKDIR_P) coverage
	$(AM_V_at)test -e coverage/Makefile || (cd coverage && $(abs_srcdir)/configure --enable-coverage --disable-shared)
	$(AM_V_at)find coverage -name '*.gcda' -delete
	$(AM_V_at)$(MAKE) -C coverage check UNIT_LIMIT_S=$(SLOW_UNIT_LIMIT_S)
	$(AM_V_at)coverage/tests/sim/ha_sim --seeds $(COVERAGE_SEEDS)
	$(AM_V_at)coverage/tests/sim/sim --seeds $(COVERAGE_SEEDS)
	$(AM_V_at)coverage/tests/sim/sim --scenario all
	$(AM_V_at)for sweep in 'crash 20' 'io 20' 'damage 100' 'memory 50'; do \
		set -- $$sweep; coverage/tests/crash/crash --sweep $$1 --share $$2 || exit 1; \
	done
	$(AM_V_at)$(top_srcdir)/tests/coverage coverage $(covered)
