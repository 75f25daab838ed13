#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The README's client is samples/hello/hello.c, which is built and run; this tells
# whether they are still the same. The block stands between two marks in the README.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT

awk '
/^<!-- end of hello\.c -->/ { inside = 0 }
inside && !/^```/ { print }
/^<!-- hello\.c -->/ { inside = 1 }
' "$top/README.md" >"$shown"

diff -u "$top/samples/hello/hello.c" "$shown"
