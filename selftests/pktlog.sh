#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# samples/pktlog under traffic on the loopback device: its counts and quarry's
# agree, and nothing stays. Then with small limits: packets are dropped with what was
# made of them, and arenas filled and recycled.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

port=8473
stats=$debugfs/pktlog/stats

prepare() {
	mkdir "$scratch/www"
	dd if=/dev/urandom of="$scratch/www/file" bs=64k count=32 2>"$scratch/dd"
	ifconfig lo 127.0.0.1 up 2>"$scratch/lo" || ip link set lo up
}

serve() {
	busybox httpd -f -p 127.0.0.1:$port -h "$scratch/www" &
	server=$!
	for i in $(seq 60); do
		grep -qi ":$(printf %04x $port) .* 0A " /proc/net/tcp && return
		sleep 1
	done
	echo "# no server after $i s"
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

# Until the sample has drained and no packet comes: a minute at most.
quiesce() {
	last=''
	for i in $(seq 60); do
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

# The records of flows that there was no room for, and those of the ones there was.
flows_add_up() {
	kept=$(awk '!/^#/ { sum += $4 } END { print sum + 0 }' $debugfs/pktlog/flows)
	equal flows "$(value $stats flows)" 2 &&
		at_least flows_dropped "$(value $stats flows_dropped)" 100 &&
		equal "kept + dropped" $((kept + $(value $stats flows_dropped))) \
			"$(value $stats recorded)" &&
		equal "flows' blocks" "$(stat_of pktlog-flows live)" 2
}

# A rewind for each packet that is dropped; what stays in the arena are whole lines.
lines_are_rewound() {
	arena=$views/arena/pktlog-batch
	at_least rewinds "$(value "$arena/stats" rewinds)" 100 &&
		at_least lines_dropped "$(value $stats lines_dropped)" 10 &&
		equal lines "$(grep -c ' > .* bytes$' $debugfs/pktlog/batch)" \
			"$(wc -l <$debugfs/pktlog/batch)" &&
		equal verify "$(cat "$arena/verify")" ok
}

prefixes_are_recycled() {
	first=$views/percpu_arena/pktlog-prefixes
	at_least recycled "$(value $stats recycled)" 1 &&
		equal resets $(($(value "$first/stats" resets) + $(value "$first-2/stats" resets))) \
			"$(value $stats recycled)" &&
		equal verify "$(cat "$first/verify" "$first-2/verify" | sort -u)" ok
}

# Two headers within others in each of ten packets, seen when it goes and when it comes.
tunnels_are_parsed() {
	before=$(value $stats tcp_options)
	"$here/send_ipip" 10 || return
	quiesce || return
	equal tunnelled "$(value $stats tunnelled)" 40 &&
		equal tcp_options "$(value $stats tcp_options)" $((before + 20)) &&
		equal verify "$(cat $views/stack/pktlog*/verify | sort -u)" ok &&
		equal live "$(cat $views/stack/pktlog*/stats | grep '^live:' | sort -u)" "live: 0"
}

gone() {
	[ ! -e $debugfs/pktlog ] || echo "pktlog's views stay"
	[ ! -e $debugfs/pktlog ] && views_have_no 'pktlog*'
}

begin pktlog
busybox httpd --help 2>&1 | grep -q Usage || need "no busybox httpd"
ktap_set_plan 25
prepare
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
check "pktlog loads with small limits" load pktlog flows=2 prefix=1024 text=512
serve
check "files come through whole beside them" fetch
kill "$server"
check "the records drain again" quiesce
ktap_print_msg "$(tr '\n' ' ' <$stats)"
check "packets of flows there is no room for are dropped and counted" flows_add_up
check "and their lines rewound" lines_are_rewound
check "prefixes go to the other arena, and the first is reset" prefixes_are_recycled
if [ -x "$here/send_ipip" ]; then
	check "headers within headers are parsed" tunnels_are_parsed
else
	ktap_test_skip "headers within headers are parsed: send_ipip is not built"
fi
unload pktlog
check "nothing stays of that either" gone
check "no warning in the log" log_clean
end
