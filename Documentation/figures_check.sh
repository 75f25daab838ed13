#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints each name that a kind's config or stats prints and debugfs.rst does not define in
# that kind's section, and each that it defines there and nothing prints; likewise the
# columns of the summary. Names in the code are those of FIGURE() and COUNTER() tables and
# of formats, `name: ...`, in the kind's config and stats functions and in the functions of
# region.c that these call; in the manual the terms of the lists below the headings `config`
# and `stats` in the section that says `KIND/<name>/`. A COUNTER() is one that the manual
# marks (C). free_from_%llu is free_from_N.
#
#	figures_check.sh [TREE]
set -eu

cd "${1:-$(dirname "$0")/..}"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# printed FILE KIND: lines "KIND view name"; debugfs.c prints what all kinds have
printed() {
	awk -v kind="$2" '
	/^#define/ { next }
	{
		line = $0
		while (match(line, /(FIGURE|COUNTER)\([a-z_]+\)/)) {
			name = substr(line, RSTART, RLENGTH - 1)
			mark = sub(/^COUNTER\(/, "", name) ? " (C)" : ""
			sub(/^FIGURE\(/, "", name)
			print kind, "stats", name mark
			line = substr(line, RSTART + RLENGTH)
		}
	}
	/^[a-z].*[ _](config|stats)\(struct quarry_object/ || /^static int config_show\(/ {
		view = /config(_show)?\(/ ? "config" : "stats"
	}
	/^}/ { view = "" }
	view == "" { next }
	{
		line = $0
		while (match(line, /("|\\n)[a-z_]+(%llu)?:/)) {
			name = substr(line, RSTART, RLENGTH - 1)
			sub(/^("|\\n)/, "", name)
			sub(/%llu/, "N", name)
			print kind, view, name
			line = substr(line, RSTART + RLENGTH)
		}
	}' "$1"
}

# shared FILE KIND: likewise, what its config has functions of region.c print
shared() {
	grep -o 'quarry__[a-z_]*_config(seq' "$1" | sort -u | while IFS='(' read -r function _; do
		sed -n "/^void $function(/,/^}/s/.*\"\([a-z_]*\): .*/$2 config \1/p" kmod/region.c
	done
}

for file in kmod/*_view.c; do
	kind=$(basename "$file" _view.c)
	printed "$file" "$kind"
	shared "$file" "$kind"
	printed kmod/debugfs.c "$kind"
done >"$out/printed"
{ printed kmod/wrappers.c allocator; printed kmod/debugfs.c allocator; } >>"$out/printed"
awk '/^static int summary_show\(/ { inside = 1 }
	inside && /"# kind"/ { on = 1 }
	inside && on {
		while (match($0, /"[#a-z ]+"/)) {
			name = substr($0, RSTART + 1, RLENGTH - 2)
			sub(/^# /, "", name)
			print "summary", "columns", name
			$0 = substr($0, RSTART + RLENGTH)
		}
	}
	/^}/ { inside = on = 0 }' kmod/debugfs.c >>"$out/printed"

# Pools define the four that all have; so for the others these are not asked for.
awk '
	/^=+$/ && last != "" { title = last; kind = ""; view = ""; if (title == "summary") { kind = "summary"; view = "columns" } }
	/^-+$/ { view = last }
	match($0, /^``[a-z_]+\/<name>\/``/) { kind = substr($0, 3, RLENGTH - 12) }
	/^\t[^ \t]/ && last ~ /^[a-z]/ && (view == "config" || view == "stats" || view == "columns") {
		n = split(last, terms, ", ")
		for (i = 1; i <= n; i++)
			print kind, view, terms[i]
	}
	{ last = $0 }' Documentation/debugfs.rst >"$out/defined"
cut -d' ' -f1 "$out/printed" | grep -v '^summary$' | sort -u | while read -r kind; do
	sed -n "s/^pool config \(kind\|name\|owner\|state\)\$/$kind config \1/p" "$out/defined"
done >"$out/common"

sort -u "$out/printed" >"$out/a"
sort -u "$out/defined" "$out/common" >"$out/b"
comm -23 "$out/a" "$out/b" | sed 's/$/: printed, and not defined in debugfs.rst/'
comm -13 "$out/a" "$out/b" | sed 's/$/: defined in debugfs.rst, and never printed/'
