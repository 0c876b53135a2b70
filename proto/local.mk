proto_core = \
	proto/all.def \
	proto/assert.c \
	proto/assert.h \
	proto/assert_stderr.h \
	proto/command_line.h \
	proto/crc32c.c \
	proto/crc32c.h \
	proto/cursor.c \
	proto/cursor.h \
	proto/field.h \
	proto/frame.c \
	proto/frame.h \
	proto/gen_code.inc \
	proto/gen_decl.inc \
	proto/hash.c \
	proto/hash.h \
	proto/journal.def \
	proto/key.c \
	proto/key.h \
	proto/pr.h \
	proto/record.c \
	proto/record.h \
	proto/rows.c \
	proto/rows.def \
	proto/rows.h \
	proto/status.c \
	proto/status.h \
	proto/text.c \
	proto/text.h \
	proto/uuid.c \
	proto/uuid.h \
	proto/version.c \
	proto/version.h \
	proto/wire.c \
	proto/wire.def \
	proto/wire.h \
	proto/words.inc \
	proto/words_end.inc

unit_tests += \
	tests/unit/test_command_line \
	tests/unit/test_crc32c \
	tests/unit/test_frame \
	tests/unit/test_golden \
	tests/unit/test_hash \
	tests/unit/test_key \
	tests/unit/test_text \
	tests/unit/test_uuid \
	tests/unit/test_wire \
	tests/unit/test_wire_garbage

tests_unit_test_frame_SOURCES = tests/unit/test_frame.c tests/unit/wire_dice.h
tests_unit_test_key_SOURCES = tests/unit/test_key.c tests/unit/wire_dice.h
tests_unit_test_wire_SOURCES = \
	tests/unit/test_wire.c \
	tests/unit/wire_dice.h \
	tests/unit/wire_kinds.h
tests_unit_test_wire_garbage_SOURCES = \
	tests/unit/test_wire_garbage.c \
	tests/unit/wire_dice.h \
	tests/unit/wire_kinds.h

EXTRA_DIST += \
	proto/README.md \
	tests/unit/golden/create.hex \
	tests/unit/golden/create_r.hex \
	tests/unit/golden/frame_hello.hex \
	tests/unit/golden/layout_get_r.hex \
	tests/unit/golden/link_hello.hex \
	tests/unit/golden/record.hex \
	tests/unit/golden/row_inode.hex \
	tests/unit/golden/row_session.hex \
	tests/unit/golden/row_slot.hex
