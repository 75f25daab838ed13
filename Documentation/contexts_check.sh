#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints each function of the public headers that is not in the table of contexts.rst, be
# it by its name or as `_verb()` in the row of one whose name begins likewise.
#
#	contexts_check.sh [TREE]
set -eu

cd "${1:-$(dirname "$0")/..}"
for header in include/quarry/*.h; do
	sed -nE 's/^ \* (DEFINE_)?([A-Za-z][A-Za-z0-9_]*)\(\) - .*/\2/p' "$header" | sort -u |
		awk -v header="$header" -v page=Documentation/contexts.rst '
		BEGIN {
			while ((getline line < page) > 0) {
				if (line ~ /^   \* - /)
					rows++
				if (line ~ /^(   \* -|      )/ && line !~ /^     - /)
					row[rows] = row[rows] line
				else if (rows && line ~ /^[^ ]/)
					break
			}
		}
		function within(i, prefix, rest) {
			return index(row[i], "``" prefix "_") && index(row[i], "``_" rest "()``")
		}
		function found(name, i, n, part, k, prefix, rest) {
			n = split(name, part, "_")
			for (i = 1; i <= rows; i++) {
				if (index(row[i], "``" name "()``"))
					return 1
				prefix = part[1]
				for (k = 2; k < n; k++) {
					prefix = prefix "_" part[k]
					rest = substr(name, length(prefix) + 2)
					if (within(i, prefix, rest))
						return 1
				}
			}
			return 0
		}
		!found($1) { print header ": " $1 "() is not in " page }'
done
