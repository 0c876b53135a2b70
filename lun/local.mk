EXTRA_DIST += lun/README.md

lun_io = \
	lun/aio.c \
	lun/aio.h \
	lun/aio_priv.h \
	lun/aio_threads.c \
	lun/aio_uring.c \
	lun/label.c \
	lun/label.h \
	lun/lun.c \
	lun/lun.h \
	lun/lun_iscsi.c \
	lun/lun_iscsi.h \
	lun/lun_lock.c \
	lun/lun_priv.h
