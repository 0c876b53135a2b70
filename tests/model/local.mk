EXTRA_DIST += \
	tests/model/run \
	tests/model/pair.pml \
	tests/model/acts.pml \
	tests/model/active.pml \
	tests/model/arbiter.pml \
	tests/model/bugs.pml \
	tests/model/check.pml \
	tests/model/promotion.pml \
	tests/model/record.pml \
	tests/model/resync.pml \
	tests/model/standby.pml \
	tests/model/state.pml \
	tests/model/switchover.pml \
	tests/model/world.pml

# MODEL=--short: small bounds, in less than a minute.
MODEL = --full
.PHONY: check-model
check-model:
	$(AM_V_at)CC='$(CC)' $(top_srcdir)/tests/model/run $(MODEL)
