# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What the tests share; sourced. A script calls begin and ktap_set_plan, then
# check for each test line, then end. Modules that a script loaded are unloaded when it ends, however
# it ends. POSIX sh, also busybox ash.

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null
. "${KTAP_HELPERS:-$here/ktap_helpers.sh}"

debugfs=/sys/kernel/debug
views=$debugfs/quarry
scratch=$(mktemp -d)
loaded_here=''
was_loaded=''
begun=''
mark=''
# shellcheck disable=SC2034 # for load.sh
kasan=$(grep -c ' kasan_report$' /proc/kallsyms 2>/dev/null)

# skip_all REASON: the machine cannot run this script.
skip_all() {
	[ -n "$begun" ] || ktap_print_header
	ktap_skip_all "$*"
	exit "$KSFT_SKIP"
}

# Our own VM says where its verdict goes. What may be missing on somebody's machine is
# there, so that a test that finds it missing is wrong, or the VM is.
in_our_vm() {
	[ -n "${VERDICT:-}" ]
}

# need REASON: as skip_all, but on a machine that should have it a failure.
need() {
	in_our_vm || skip_all "$*"
	[ -n "$begun" ] || ktap_print_header
	echo "Bail out! $*"
	exit "$KSFT_FAIL"
}

# need_or_skip DESCRIPTION: the same for one test line.
need_or_skip() {
	if in_our_vm && [ "$(uname -m)" = x86_64 ]; then
		ktap_test_fail "$1"
	else
		ktap_test_skip "$1"
	fi
}

loaded() {
	grep -q "^$1 " /proc/modules
}

# Where a module's file is: a flat directory, or the tree it was built in.
module_file() {
	for file in "${QUARRY_MODULES:-/lib/quarry}/$1.ko" \
		"$here/../kmod/$1.ko" "$here/test_modules/$1.ko" \
		"$here/../samples/${1#quarry_}/$1.ko"; do
		[ -f "$file" ] && echo "$file" && return
	done
	return 1
}

have() {
	loaded "$1" || module_file "$1" >"$scratch/file" ||
		modprobe -n "$1" >"$scratch/file" 2>&1
}

# load MODULE [PARAMETER=VALUE...]
load() {
	module=$1
	shift
	loaded "$module" && return
	if file=$(module_file "$module"); then
		insmod "$file" "$@" || return
	else
		modprobe "$module" "$@" || return
	fi
	loaded_here="$module $loaded_here"
}

unload() {
	loaded "$1" || return 0
	rmmod "$1"
}

# begin MODULE...: these modules are needed, and not in use; quarry is loaded.
begin() {
	[ "$(id -u)" = 0 ] || skip_all "needs root"
	[ -d $debugfs/fault_injection ] || mountpoint -q $debugfs 2>/dev/null ||
		mount -t debugfs debugfs $debugfs 2>/dev/null
	for module in quarry "$@"; do
		have "$module" || need "module $module not found"
		[ "$module" = quarry ] || ! loaded "$module" ||
			need "module $module is in use"
	done
	was_loaded=$(loaded quarry && echo yes)
	trap cleanup EXIT
	ktap_print_header
	begun=1
	log_mark
	load quarry || need "quarry does not load"
	[ -r $views/summary ] || need "no debugfs at $debugfs"
}

# unload_quarry: for scripts that need it to be gone.
unload_quarry() {
	unload quarry 2>"$scratch/unload" || need "quarry is in use"
}

cleanup() {
	for module in $loaded_here; do
		[ "$module$was_loaded" = quarryyes ] || unload "$module"
	done
	[ -z "$was_loaded" ] || load quarry
	rm -rf "$scratch"
}

end() {
	ktap_finished
}

# check DESCRIPTION COMMAND...: one test line. What the command prints is shown
# when it fails.
check() {
	description=$1
	shift
	if "$@" >"$scratch/check" 2>&1; then
		ktap_test_pass "$description"
	else
		sed 's/^/# /' "$scratch/check"
		ktap_test_fail "$description"
	fi
}

# equal NAME VALUE EXPECTED
equal() {
	[ "$2" = "$3" ] && return
	echo "$1 is '$2', not '$3'"
	return 1
}

at_least() {
	[ "$2" -ge "$3" ] && return
	echo "$1 is '$2', less than $3"
	return 1
}

# not_grown NAME BEFORE AFTER SLACK
not_grown() {
	[ "$3" -le $(($2 + $4)) ] && return
	echo "$1 was $2 and is $3, more than $4 more"
	return 1
}

# Of the whole kernel, but for the stacks of threads, which come and go.
mappings() {
	grep -c -v -E 'unpurged|kernel_clone|fork_idle|copy_process|dup_task|thread_stack' \
		/proc/vmallocinfo
}

# value FILE NAME: from "name: value" lines.
value() {
	sed -n "s/^$2: //p" "$1"
}

stat_of() {
	value "$views/pool/$1/stats" "$2"
}

# field POOL COLUMN of the summary, by the column's name in its header.
field() {
	awk -v pool="$1" -v column="$2" '
	NR == 1 { sub(/^# */, ""); $0 = $0; for (i = 1; i <= NF; i++) at[$i] = i; next }
	$at["name"] == pool { print $at[column] }' $views/summary
}

log_mark() {
	mark="quarry-selftest: $$ $(cut -d' ' -f1 /proc/uptime)"
	echo "$mark" >/dev/kmsg
}

# The log since log_mark; all of it when the mark has scrolled out.
log_since() {
	dmesg >"$scratch/dmesg"
	if grep -qF "$mark" "$scratch/dmesg"; then
		awk -v mark="$mark" 'found; index($0, mark) { found = 1 }' \
			"$scratch/dmesg"
	else
		cat "$scratch/dmesg"
	fi
}

log_has() {
	log_since | grep -qE -- "$1" && return
	echo "not in the log: $1"
	log_since | tail -n 20
	return 1
}

# What the kernel complains of; refusals that a test provokes are not among it.
log_clean() {
	! log_since | grep -E 'WARNING:|BUG:|Oops|general protection|INFO: (task|rcu)|UBSAN:|stall|inconsistent lock|possible recursive|suspicious RCU|suspected memory leak|nobody cared|Call Trace'
}

# expect REGEX: the log's readers are told that such lines are meant to be.
expect() {
	echo "quarry-expect-begin: $1" >/dev/kmsg
}

expect_end() {
	echo "quarry-expect-end" >/dev/kmsg
}

# Every file of the views that can be read, once.
read_views() {
	find $views -type f -perm -400 -exec cat {} + 2>/dev/null
}

# views_have_no PATTERN: no object of such a name.
views_have_no() {
	left=$(find $views -mindepth 2 -maxdepth 2 -name "$1" 2>/dev/null)
	[ -z "$left" ] && return
	echo "left behind: $left"
	return 1
}
