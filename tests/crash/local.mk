check_PROGRAMS += tests/crash/crash
tests_crash_crash_SOURCES = \
	controller/io/lun_tool.c \
	controller/io/lun_tool.h \
	$(store) \
	tests/check/history.c \
	tests/check/history.h \
	tests/check/model.c \
	tests/check/model_answer.c \
	tests/check/model.h \
	tests/crash/crash.c \
	tests/crash/crash.h \
	tests/crash/crash_damage.c \
	tests/crash/crash_journal.c \
	tests/crash/crash_machine.c \
	tests/crash/crash_machine.h \
	tests/crash/crash_node.c \
	tests/crash/crash_pool.c \
	tests/crash/crash_pool.h \
	tests/crash/crash_run.c \
	tests/crash/crash_table.c \
	tests/crash/crash_table.h \
	tests/crash/crash_where.c \
	tests/crash/disk.c \
	tests/crash/disk.h \
	tests/crash/disk_calls.c \
	tests/crash/disk_fault.c \
	tests/crash/disk_int.h \
	tests/crash/heap.c \
	tests/crash/heap.h \
	tests/number.h \
	tests/sim/sim.h \
	tests/sim/sim_blocks.c \
	tests/sim/sim_check.c \
	tests/sim/sim_client.c \
	tests/sim/sim_data.c \
	tests/sim/sim_fault.c \
	tests/sim/sim_history.c \
	tests/sim/sim_lun.c \
	tests/sim/sim_net.c \
	tests/sim/sim_proof.c \
	tests/sim/sim_run.c \
	tests/sim/sim_super.c \
	tests/sim/sim_witness.c \
	tests/sim/sim_work.c \
	tests/sim/sim_world.c \
	tests/sim/simstore.c \
	tests/sim/simstore.h
tests_crash_crash_LDADD = libmdcio.la libmdccore.la $(LMDB_LIBS)

# SHARE=n: every n-th run of each sweep
SHARE = 1
.PHONY: check-crash
check-crash: tests/crash/crash
	tests/crash/crash --share $(SHARE)
