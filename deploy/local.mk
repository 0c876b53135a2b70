EXTRA_DIST += \
	deploy/README.md \
	deploy/GUIDE.md \
	deploy/lib.sh \
	deploy/pair.sh \
	deploy/quickstart \
	deploy/check \
	deploy/cluster/init \
	deploy/lab/README.md \
	deploy/lab/chaos/faults.sh \
	deploy/lab/chaos/lib.sh \
	deploy/lab/chaos/report.sh \
	deploy/lab/chaos/rest.sh \
	deploy/lab/chaos/scenarios.sh \
	deploy/lab/chaos/ssh.sh \
	deploy/lab/chaos/timing.sh \
	deploy/lab/fence_mdclab \
	deploy/lab/mdcchaos \
	deploy/lab/mdclab \
	deploy/lab/podboot \
	tests/integration/410-cluster \
	tests/integration/412-replace-host \
	tests/integration/413-cluster-san \
	tests/integration/414-ocf-tester \
	tests/integration/415-cluster-vote \
	tests/integration/416-lun-fails \
	tests/integration/417-cluster-ssh

# The agent's place is fixed: Pacemaker looks nowhere else.
ocfdir = $(prefix)/lib/ocf/resource.d/mdcpair
dist_ocf_SCRIPTS = deploy/cluster/controller

# Under a name of its own, since "init" says too little outside this tree.
install-data-hook:
	$(MKDIR_P) "$(DESTDIR)$(sbindir)"
	$(INSTALL_SCRIPT) $(srcdir)/deploy/cluster/init "$(DESTDIR)$(sbindir)/mdcd-cluster-init"

uninstall-hook:
	rm -f "$(DESTDIR)$(sbindir)/mdcd-cluster-init"

noinst_PROGRAMS += labd
labd_SOURCES = deploy/lab/labd.c deploy/lab/enter.c deploy/lab/enter.h
# Preloaded: shared also where the libraries are not.
noinst_DATA = labclock.so
EXTRA_DIST += deploy/lab/labclock.c
CLEANFILES += labclock.so
labclock.so: deploy/lab/labclock.c
	$(AM_V_CCLD)$(CC) $(DEFS) -I. -I$(srcdir) $(AM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -fPIC -shared -o $@ $(top_srcdir)/deploy/lab/labclock.c

if HAVE_FUSE
noinst_PROGRAMS += faultfs
endif
faultfs_SOURCES = deploy/lab/faultfs.c
faultfs_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
faultfs_LDADD = $(FUSE_LIBS)

EXTRA_DIST += deploy/mount.mdcfs deploy/man/mdcfs.8 deploy/man/mount.mdcfs.8
if HAVE_FUSE
sbin_SCRIPTS = deploy/mount.mdcfs
man_MANS += deploy/man/mdcfs.8 deploy/man/mount.mdcfs.8
endif

dist_man_MANS += deploy/man/mdcd-cluster-init.8
if HAVE_CLUSTER
dist_man_MANS += deploy/man/mdcd-pacemaker.8
endif
EXTRA_DIST += deploy/man/mdcd-pacemaker.8

EXTRA_DIST += \
	deploy/packages/build \
	deploy/packages/check \
	deploy/packages/debian \
	deploy/packages/debian/mdcpair-controller.postrm \
	deploy/packages/firewalld.xml \
	deploy/packages/mdcd.conf \
	deploy/packages/mdcpair.spec \
	deploy/packages/mdcpair@.service \
	deploy/packages/sysctl.conf

deb rpm: dist
	$(srcdir)/deploy/packages/build $@ $(distdir).tar.gz $(VERSION)

# Root, and what apt has of Debian: installed, used and removed in a root of its own; the lab there has its own programs from here.
lab_programs = labd faultfs labclock.so tests/work/treework tests/work/registers tests/work/names
check-packages: deb $(lab_programs)
	$(srcdir)/deploy/packages/check deb

# The same with the RPMs, and with Debian's libraries.
check-rpms: deb rpm $(lab_programs)
	$(srcdir)/deploy/packages/check deb rpm
.PHONY: deb rpm check-packages check-rpms
