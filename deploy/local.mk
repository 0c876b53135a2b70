EXTRA_DIST += \
	deploy/lib.sh \
	deploy/pair.sh \
	deploy/quickstart \
	deploy/check
