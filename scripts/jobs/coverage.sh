#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: KUnit and the kselftests, then gcov's counts of kmod/ on the data channel.

failed=0
sh /jobs/kunit.sh || failed=1
[ ! -d /kselftest ] || sh /jobs/selftests.sh || failed=1
counts=$(find /sys/kernel/debug/gcov -type d -name kmod | head -n 1)
mkdir -p /tmp/counts
for file in "$counts"/*.gcda; do
	cat "$file" >"/tmp/counts/${file##*/}"
done
tar -C /tmp/counts -cf - . >"$DATA"
exit $failed
