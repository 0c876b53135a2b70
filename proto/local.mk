proto_core = \
	proto/version.c \
	proto/version.h
