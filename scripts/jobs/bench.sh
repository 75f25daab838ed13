#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: the benchmark module, whose lines the host takes from the console.

insmod /lib/quarry/quarry.ko || exit 1
# shellcheck disable=SC2046
insmod /lib/quarry/quarry_bench.ko $(cat /bench-parameters) || exit 1
while ! dmesg | grep -q 'quarry_bench: done'; do sleep 1; done
rmmod quarry_bench && rmmod quarry
