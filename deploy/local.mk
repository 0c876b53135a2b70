EXTRA_DIST += \
	deploy/README.md \
	deploy/lib.sh \
	deploy/pair.sh \
	deploy/quickstart \
	deploy/check

dist_sbin_SCRIPTS = deploy/mount.mdcfs
dist_man_MANS += deploy/man/mdcfs.8 deploy/man/mount.mdcfs.8
