EXTRA_DIST += \
	deploy/lib.sh \
	deploy/check
