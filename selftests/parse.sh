#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# samples/parse: a text becomes a tree in an arena, or nothing of it stays.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

parse=$debugfs/parse
arena=$views/arena/parse

good='# how packets come in
interface eth0 {
	mtu 1500	# bytes
	queue rx { depth 512; cpus 0 1 }
	label "to the left rack" ""
}
forward'

tree_of_good='[interface] [eth0]
  [mtu] [1500]
  [queue] [rx]
    [depth] [512]
    [cpus] [0] [1]
  [label] [to the left rack] []
[forward]'

used() {
	value "$arena/stats" used
}

add() {
	printf '%s' "$1" >"$scratch/text"
	dd if="$scratch/text" of=$parse/add bs=65536 2>"$scratch/dd"
}

adds() {
	add "$1" && equal tree "$(cat $parse/tree)" "$2"
}

# refuses TEXT ERROR: the tree, and what the arena has handed out, stay as they were
refuses() {
	tree=$(cat $parse/tree)
	before=$(used)
	! add "$1" || { echo "accepted: $1"; return 1; }
	equal error "$(cat $parse/error)" "$2" &&
		equal tree "$(cat $parse/tree)" "$tree" &&
		equal used "$(used)" "$before"
}

repeat() {
	awk -v text="$1" -v n="$2" 'BEGIN { while (n--) printf "%s", text }'
}

# Texts until one does not fit: that one leaves no trace, and a small one still fits.
fills() {
	text=$(repeat 'route 10.0.0.0 via eth0 metric 100;' 400)
	texts=0
	while before=$(used); add "$text"; do
		texts=$((texts + 1))
		[ "$texts" -lt 100 ] || return
	done
	at_least texts "$texts" 3 &&
		equal error "$(cat $parse/error)" "line 1: the arena is full" &&
		equal used "$(used)" "$before" &&
		at_least failures "$(value "$arena/stats" failures)" 1 &&
		add 'last' &&
		equal last "$(tail -n 1 $parse/tree)" '[last]'
}

clears() {
	echo 1 >$parse/clear &&
		equal tree "$(cat $parse/tree)" '' &&
		equal used "$(used)" 0 &&
		adds "$good" "$tree_of_good"
}

gone() {
	equal verify "$1" ok || return
	[ ! -e "$arena" ] || { echo "$arena is still there"; return 1; }
	log_clean
}

begin parse
ktap_set_plan 13
check "parse loads" load parse
check "a text becomes a tree" adds "$good" "$tree_of_good"
check "a second text is added" adds 'a { b }' "$tree_of_good
[a]
  [b]"
check "an empty one adds nothing" add '# nothing
'
check "an open brace is refused" refuses 'x {
	y' 'line 2: a brace is not closed'
check "a brace too many is refused" refuses 'x

y }' 'line 3: a brace is closed that is not open'
check "braces need a name" refuses 'x;{ y }' 'line 1: braces without a name'
check "an open quote is refused" refuses 'x { y "z
}' 'line 1: a quote is not closed'
check "depth has a limit" refuses "$(repeat 'x {' 9)" 'line 1: too many braces'
check "words have a limit" refuses "$(repeat 'x ' 17)" 'line 1: too many words'
check "what does not fit leaves no trace" fills
check "a reset takes the whole tree" clears
verified=$(cat "$arena/verify")
unload parse
check "the arena was whole, is gone, and there is no warning" gone "$verified"
end
