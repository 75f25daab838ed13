#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints each function of the public headers that no example calls. The examples are
# modules that the tests build and run, and the pages of the manual include them.
set -eu

cd "$(dirname "$0")/.."
for header in include/quarry/*.h; do
	sed -nE 's/^ \* (DEFINE_)?([a-z][a-z0-9_]*)\(\) - .*/\2/p' "$header" | sort -u |
		while read -r function; do
			grep -qw "$function" samples/*/*.c || echo "$header: $function() has no example"
		done
done
