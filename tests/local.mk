unit_tests += tests/unit/test_version

if HAVE_CRITERION
check_PROGRAMS += $(unit_tests)
endif

TESTS = tests/core-symbols.sh
if HAVE_CRITERION
TESTS += $(unit_tests)
endif

AM_TESTS_ENVIRONMENT = \
	NM='$(NM)' enable_asan='$(enable_asan)' enable_coverage='$(enable_coverage)'; \
	export NM enable_asan enable_coverage;
TEST_EXTENSIONS = .sh
LOG_COMPILER = $(top_srcdir)/tests/run-unit

EXTRA_DIST += \
	tests/core-symbols.sh \
	tests/run-unit \
	tests/run
