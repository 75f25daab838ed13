#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Does the judge of a console (complaint.awk) see what it should, and only that?
set -eu

here=$(cd "$(dirname "$0")" && pwd)

# expect WHAT LINE: of the console on stdin, LINE is the first complaint; "" if none is
expect() {
	local found
	found=$(awk -f "$here/complaint.awk")
	[ "$found" = "$2" ] || echo "$1: complaint at '$found', not at '$2'"
}

tick='[ 109.9]  task_tick_fair+0xc9/0x140
[ 109.9]  hrtimer_interrupt+0x1dc/0x3d0
[ 109.9]  asm_sysvec_apic_timer_interrupt+0x1b/0x20'
ours='[ 109.9]  alloc_some+0x66d/0xa20 [quarry]'
task='[ 109.9]  kthread+0x1b4/0x1f0'

# race READER WRITER: KCSAN's report of two stacks
race() {
	echo '[ 109.9] BUG: KCSAN: data-race in one / other'
	echo '[ 109.9] '
	echo '[ 109.9] read to 0xffff88803e81d788 of 8 bytes by interrupt on cpu 1:'
	echo "$1"
	echo '[ 109.9] '
	echo '[ 109.9] write to 0xffff88803e81d788 of 8 bytes by task 20 on cpu 0:'
	echo "$2"
	echo '[ 109.9] ================================================================'
}

echo '[ 1.0] quarry: loaded' | expect 'nothing' ''
for line in 'WARNING: CPU: 0 PID: 9 at mm/x.c:1' 'BUG: KASAN: use-after-free in x' \
	'Oops: general protection fault' 'INFO: task judge:9 blocked for more than 120 seconds.' \
	'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks' 'BUG: sleeping function called' \
	'UBSAN: shift-out-of-bounds' 'WARNING: possible recursive locking detected' \
	'kmemleak: 3 new suspected memory leaks' 'kmemleak: Memory pool empty'; do
	printf '%s\n' '[ 1.0] good' "[ 1.1] $line" | expect "$line" 2
done
printf '%s\n' '[ 1] quarry-expect-begin: free refused' '[ 2] WARNING: free refused' \
	'[ 3] WARNING: another' '[ 4] quarry-expect-end' | expect 'another than what is expected' 3
printf '%s\n' '[ 1] quarry-expect-begin: free refused' '[ 2] quarry-expect-end' \
	'[ 3] WARNING: free refused' | expect 'what was expected, later' 3
echo '[ 1] INFO: NMI handler (nmi_turn) took too long to run: 4.1 msecs' | expect 'a slow host' ''

race "$ours" "$task" | expect 'a race with a module' 1
race "$task" "$ours" | expect 'a race with a module, second' 1
race "$task" "$task" | expect "the kernel's own race" ''
race "$tick"$'\n'"$ours" "$task" | expect 'a race of the tick, above a module' ''
race "$ours"$'\n'"$tick" "$task" | expect "a race of a module's interrupt" 1
race "${tick/asm_sysvec_apic_timer_interrupt/end_repeat_nmi}"$'\n'"$ours" "$task" | expect 'a race of an NMI, above a module' ''
race "$tick" "$ours" | sed '/write to/d; s/$/\r/' | expect 'a race with a module, its head lost' 1
{
	echo '[ 1] quarry-expect-begin: data-race in one'
	race "$ours" "$task"
	echo '[ 2] quarry-expect-end'
	race "$ours" "$task"
} | expect 'a race after one that was expected' 11
printf '%s\n' '[ 1] BUG: KCSAN: data-race in take [quarry]' '[ 1] ' \
	'[ 1] race at unknown origin, with read to 0xffff88803e81d788 of 8 bytes by task 7 on cpu 0:' \
	'[ 1]  take+0x1/0x2 [quarry]' | expect 'a race with nobody knows whom' 1
race "$tick"$'\n'"$task" "$ours" | expect 'a race of a module with an interrupt' 1
{
	race "$task" "$task"
	echo "$ours"
	race "$tick"$'\n'"$ours" "$task"
	race "$ours" "$task"
} | expect 'a race after two of the kernel' 21
