EXTRA_DIST += \
	deploy/README.md \
	deploy/lib.sh \
	deploy/pair.sh \
	deploy/quickstart \
	deploy/check
