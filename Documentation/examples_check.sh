#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints each function and macro of the public headers that no page of the manual shows
# in an example. The examples are modules that the tests build and run; what counts is
# what stands between the marks by which a page includes a part of one.
set -eu

cd "$(dirname "$0")"
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT

# FILE<tab>first mark<tab>last mark, of each inclusion; no marks: the whole file
inclusions() {
	awk -v OFS='\t' '
	function flush() { if (file) print file, from, to; file = from = to = "" }
	/^\.\. literalinclude::/ { flush(); file = $3; next }
	file && /^ +:start-after:/ { sub(/^ +:start-after: */, ""); from = $0; next }
	file && /^ +:end-before:/ { sub(/^ +:end-before: */, ""); to = $0; next }
	file && !/^ +:/ { flush() }
	END { flush() }
	' ./*.rst
}

inclusions | while IFS='	' read -r file from to; do
	[ -r "$file" ] || echo "no $file, which a page includes"
	awk -v from="$from" -v to="$to" '
	to && index($0, to) { exit }
	inside || !from { print }
	from && index($0, from) { inside = 1 }
	END { if (from && !inside) exit 1 }
	' "$file" >>"$shown" || echo "$file has no \"$from\", which a page includes"
done
[ -s "$shown" ] || echo "the pages include nothing"

for header in ../include/quarry/*.h; do
	sed -nE 's/^ \* ([A-Za-z][A-Za-z0-9_]*)\(\) - .*/\1/p' "$header" | sort -u |
		while read -r name; do
			grep -qw "$name" "$shown" ||
				echo "${header#../}: $name() is in no example of a page"
		done
done
