#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints what README.md shows between the marks `<!-- NAME -->` and `<!-- end of NAME -->`,
# without a fence.
#
#	readme_block.sh NAME
set -eu

awk -v name="$1" '
$0 == "<!-- end of " name " -->" { inside = 0 }
inside && !/^```/ { print; found = 1 }
$0 == "<!-- " name " -->" { inside = 1 }
END { exit !found }
' "$(dirname "$0")/../README.md"
