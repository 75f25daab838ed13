#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The README's client is samples/hello/hello.c, which is built and run; this tells
# whether they are still the same. scripts/install-check.sh builds the README's own.
set -eu

here=$(dirname "$0")
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT

sh "$here/readme_block.sh" hello.c >"$shown"
diff -u "$here/../samples/hello/hello.c" "$shown"
