#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: the benchmark module; its CSV goes out by the data channel.

insmod /lib/quarry/quarry.ko || exit 1
# shellcheck disable=SC2046
insmod /lib/quarry/quarry_bench.ko $(cat /bench-parameters) || exit 1
while ! dmesg | grep -q 'quarry_bench: done'; do sleep 1; done
cat /sys/kernel/debug/quarry_bench >"$DATA"
rmmod quarry_bench && rmmod quarry
