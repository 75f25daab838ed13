#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints each function that has not the operation, and so not the memory order, that a
# litmus test says it has, by a line `Code: FILE FUNCTION: OPERATION`. A test whose
# result is Never names at least one.
#
#	orders_check.sh [TREE]
set -eu

cd "${1:-$(dirname "$0")/..}"
for test in Documentation/litmus/*.litmus; do
	if grep -q '^ \* Result: Never' "$test" && ! grep -q '^ \* Code: ' "$test"; then
		echo "$test: names no code"
	fi
	sed -n 's/^ \* Code: //p' "$test" | while read -r file function operation; do
		function=${function%:}
		awk -v name="$function" '
			/^[a-z]/ { inside = $0 ~ "(^|[^a-z0-9_])" name "[(]" && !/;$/ }
			inside
			/^}/ { inside = 0 }' "$file" | grep -qE "(^|[^a-z0-9_])$operation\(" ||
			echo "$file: $function() has no $operation(), which $test says it has"
	done
done
