#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every input that was kept, through its fuzz target.
exec tests/fuzz/replay "${top_srcdir:-.}/tests/fuzz/corpus"
