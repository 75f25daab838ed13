#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: the fragmentation laboratory's module, which replays while it is loaded; its
# CSV goes out by the data channel. Fails when the module found one that is unsound, or
# that refused what it must not.

insmod /lib/quarry/quarry.ko || exit 1
# shellcheck disable=SC2046
insmod /lib/quarry/quarry_fraglab.ko $(cat /fraglab-parameters) || exit 1
cat /sys/kernel/debug/quarry_fraglab >"$DATA"
failed=$(cat /sys/module/quarry_fraglab/parameters/failed)
[ "$failed" = 0 ] || dmesg | grep -E ': (unsound|refused)$'
rmmod quarry_fraglab && rmmod quarry || exit 1
[ "$failed" = 0 ]
