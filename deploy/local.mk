EXTRA_DIST += \
	deploy/README.md \
	deploy/lib.sh \
	deploy/pair.sh \
	deploy/quickstart \
	deploy/check \
	deploy/cluster/init \
	deploy/lab/README.md \
	deploy/lab/fence_mdclab \
	deploy/lab/mdcchaos \
	deploy/lab/mdclab \
	deploy/lab/podboot

# The agent's place is fixed: Pacemaker looks nowhere else.
ocfdir = $(prefix)/lib/ocf/resource.d/mdcpair
dist_ocf_SCRIPTS = deploy/cluster/controller

noinst_PROGRAMS += labd
labd_SOURCES = deploy/lab/labd.c

EXTRA_DIST += deploy/mount.mdcfs deploy/man/mdcfs.8 deploy/man/mount.mdcfs.8
if HAVE_FUSE
sbin_SCRIPTS = deploy/mount.mdcfs
man_MANS += deploy/man/mdcfs.8 deploy/man/mount.mdcfs.8
endif
