#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# samples/pktlog under traffic on the loopback device: its counts and quarry's
# agree, and nothing stays.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

port=8473
stats=$debugfs/pktlog/stats

serve() {
	mkdir "$scratch/www"
	dd if=/dev/urandom of="$scratch/www/file" bs=64k count=32 2>"$scratch/dd"
	ifconfig lo 127.0.0.1 up 2>"$scratch/lo" || ip link set lo up
	busybox httpd -f -p 127.0.0.1:$port -h "$scratch/www" &
	server=$!
	sleep 1
}

# Several at a time, one after the other: many flows, some MB.
fetch() {
	for round in 1 2 3; do
		clients=''
		for n in 1 2 3 4; do
			busybox wget -q -O "$scratch/got$n" \
				"http://127.0.0.1:$port/file" &
			clients="$clients $!"
		done
		for client in $clients; do
			wait "$client" || return
		done
		cmp "$scratch/got1" "$scratch/www/file" ||
			{ echo "round $round: the file came broken"; return 1; }
	done
}

# Until the sample has drained and no packet comes: 10 s at most.
quiesce() {
	last=''
	for i in 1 2 3 4 5 6 7 8 9 10; do
		sleep 1
		now=$(value $stats packets)
		[ "$now" = "$last" ] && [ "$(stat_of pktlog live)" = 0 ] && return
		last=$now
	done
	echo "after $i s: packets $last, live $(stat_of pktlog live)"
	return 1
}

agree() {
	allocs=$(stat_of pktlog allocs)
	exhausted=$(stat_of pktlog exhausted)
	equal "allocs + exhausted" $((allocs + exhausted)) "$(value $stats packets)" &&
		equal recorded "$(value $stats recorded)" "$allocs" &&
		equal failures "$(value $stats failures)" "$exhausted" &&
		equal frees "$(stat_of pktlog frees)" "$allocs"
}

batch_is() {
	grep -q ' > .* bytes$' $debugfs/pktlog/batch &&
		equal verify "$(cat $views/arena/pktlog-batch/verify)" ok
}

# Each copy was a block of the heap; those of the flows' latest payloads are live.
heap_agrees() {
	heap=$views/heap/pktlog/stats
	equal allocs "$(value $heap allocs)" "$(value $stats payloads_copied)" &&
		equal live "$(value $heap live)" "$(value $stats payloads_kept)" &&
		equal exhausted "$(value $heap exhausted)" "$(value $stats payloads_failed)" &&
		equal refused "$(value $heap refused)" 0
}

gone() {
	[ ! -e $debugfs/pktlog ] || echo "pktlog's views stay"
	[ ! -e $debugfs/pktlog ] && views_have_no 'pktlog*'
}

begin pktlog
busybox httpd --help 2>&1 | grep -q Usage || need "no busybox httpd"
ktap_set_plan 17
check "pktlog loads" load pktlog
serve
check "files come through whole" fetch
kill "$server"
check "the records drain" quiesce
ktap_print_msg "$(tr '\n' ' ' <$stats)"
check "packets = allocs + failures, on both sides" agree
check "many packets were seen" at_least packets "$(value $stats packets)" 200
check "and their bytes" at_least bytes "$(value $stats bytes)" 25165824
check "payloads were seen" at_least http_requests "$(value $stats http_requests)" 24
check "each record's headers were parsed" equal parsed "$(value $stats parsed)" \
	"$(value $stats recorded)"
check "and TCP's options seen" at_least tcp_options "$(value $stats tcp_options)" 200
check "the stacks are sound" equal verify \
	"$(cat $views/stack/pktlog*/verify | sort -u)" ok
check "payloads were copied" at_least payloads_copied \
	"$(value $stats payloads_copied)" 100
check "the heap has just the latest of each flow" heap_agrees
check "the heap is sound" equal verify "$(cat $views/heap/pktlog/verify)" ok
check "the last batch can be read, and its arena is sound" batch_is
check "verify says ok" equal verify "$(cat $views/pool/pktlog/verify)" ok
unload pktlog
check "nothing stays" gone
check "no warning in the log" log_clean
end
