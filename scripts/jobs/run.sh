#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: pktlog keeps a record of each packet in a quarry pool while busybox serves
# and fetches files over loopback; then what debugfs shows, and that nothing is left.
set -eu

quarry=/sys/kernel/debug/quarry
show() {
	echo
	echo "--- $1"
	cat "$1"
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
sleep 1

show /sys/kernel/debug/pktlog/stats
show /sys/kernel/debug/pktlog/flows | awk 'NR <= 14; END { if (NR > 14) print "... and " NR - 14 " flows more" }'
show $quarry/summary
for view in config stats map verify; do
	for file in "$quarry"/pool/*/"$view"; do
		show "$file"
	done
done

rmmod pktlog
echo
echo "--- $quarry/summary, after pktlog was unloaded"
cat $quarry/summary
left=$(grep -cv '^#' $quarry/summary || :)
rmmod quarry
[ "$left" = 0 ]
