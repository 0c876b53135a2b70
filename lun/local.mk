lun_io = \
	lun/aio.c \
	lun/aio.h \
	lun/aio_priv.h \
	lun/aio_threads.c \
	lun/aio_uring.c
