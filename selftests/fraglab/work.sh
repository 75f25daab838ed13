#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The work that the committed traces were recorded under; busybox is enough.
#
#	work.sh files|network|processes

files() {
	for round in 1 2; do
		mkdir "tree$round"
		tar -xzf /fraglab-source.tar.gz -C "tree$round"
		grep -rl 'EXPORT_SYMBOL' "tree$round" | wc -l
		find "tree$round" -name '*.h' -exec cat {} + | wc -l
	done
	diff -r tree1 tree2
	rm -rf tree1
	find tree2 -type f | sed 's/.*/mv & &.old/' | sh
	rm -rf tree2
}

network() {
	mkdir www
	dd if=/dev/urandom of=www/large bs=64k count=128 2>/dev/null
	echo hello >www/small
	httpd -p 127.0.0.1:80 -h www
	for round in 1 2 3 4; do
		wget -q -O /dev/null http://127.0.0.1/large &
		wget -q -O /dev/null http://127.0.0.1/large &
		i=0
		while [ $((i += 1)) -le 40 ]; do
			wget -q -O /dev/null http://127.0.0.1/small
			[ $((i % 4)) != 0 ] || ping -c 1 -q 127.0.0.1 >/dev/null
		done
		wait
	done
	killall httpd
}

processes() {
	for round in 1 2 3; do
		i=0
		while [ $((i += 1)) -le 60 ]; do
			sleep 1 &
			[ $((i % 3)) != 0 ] || sort /proc/self/maps | cat >/dev/null
		done
		ps | wc -l
		wait
		i=0
		while [ $((i += 1)) -le 60 ]; do
			(true | cat >/dev/null)
		done
	done
}

"$1"
