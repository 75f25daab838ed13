#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: pktlog logs each packet, in pools, a heap, arenas and stacks of quarry, while
# busybox serves and fetches files over loopback; then what debugfs shows of one object of
# each kind. Fails when a packet is missing, when one of the objects is not sound, or when
# something is left after pktlog.
set -eu

quarry=/sys/kernel/debug/quarry
pktlog=/sys/kernel/debug/pktlog

show() {
	echo
	echo "--- $1"
	cat "$1"
}

# Several "name: value" to a line
brief() {
	echo
	echo "--- $1$2"
	awk -v few="$2" '
	few != "" && / 0$/ { next }
	{ if (length(line $0) > 90) { print line; line = "" } line = line (line == "" ? "" : "   ") $0 }
	END { print line }' "$1"
}

# equal NAME VALUE EXPECTED
equal() {
	[ "$2" = "$3" ] && return
	echo "FAILED: $1 is $2, not $3"
	exit 1
}

value() {
	sed -n "s/^$2: //p" "$1"
}

echo "Linux $(uname -r), $(nproc) CPUs"
insmod /lib/quarry/quarry.ko
insmod /lib/quarry/pktlog.ko

mkdir -p www
dd if=/dev/urandom of=www/large bs=64k count=64 2>/dev/null
echo "hello" >www/small
httpd -p 127.0.0.1:80 -h www
for _ in 1 2 3; do
	wget -q -O fetched http://127.0.0.1/large
	cmp www/large fetched
done
i=0
while [ $((i += 1)) -le 50 ]; do
	wget -q -O /dev/null http://127.0.0.1/small
done
echo "Fetched 3 files of 4 MiB and 50 small ones over loopback."
killall httpd

# Until no packet comes and the thread has taken the last batch: 10 s at most
records=$quarry/pool/pktlog/stats
i=0 seen=-1
until [ "$seen" = "$(value $pktlog/stats packets)" ] && [ "$(value $records live)" = 0 ]; do
	[ $((i += 1)) -le 10 ] || break
	seen=$(value $pktlog/stats packets)
	sleep 1
done

show $pktlog/stats
show $pktlog/flows | awk 'NR <= 14; END { if (NR > 14) print "... and " NR - 14 " flows more" }'
show $quarry/summary
show $records
show $quarry/pool/pktlog-flows/map
brief $quarry/pool/pktlog/config ''
for object in heap/pktlog arena/pktlog-batch percpu_arena/pktlog-prefixes stack/pktlog; do
	brief $quarry/$object/config ''
	brief $quarry/$object/stats ', what is not 0'
	show $quarry/$object/map
done
echo
for verify in "$quarry"/*/*/verify; do
	echo "--- $verify: $(cat "$verify")"
	equal "$verify" "$(cat "$verify")" ok
done

allocs=$(value $records allocs)
equal 'allocs and failures of the records' \
	$((allocs + $(value $records exhausted))) "$(value $pktlog/stats packets)"
equal 'frees of the records' "$(value $records frees)" "$allocs"
equal 'packets recorded' "$(value $pktlog/stats recorded)" "$allocs"
equal 'packets not recorded' "$(value $pktlog/stats failures)" "$(value $records exhausted)"
echo
echo "All $(value $pktlog/stats packets) packets are accounted for:" \
	"$allocs allocs, $(value $records exhausted) failures, $(value $records frees) frees."

rmmod pktlog
echo
echo "--- $quarry/summary, after pktlog was unloaded"
cat $quarry/summary
equal 'objects left' "$(grep -cv '^#' $quarry/summary || :)" 0
rmmod quarry
