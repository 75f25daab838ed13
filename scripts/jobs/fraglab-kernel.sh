#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: the fragmentation laboratory's module, which replays while it is loaded; its
# CSV goes out by the data channel.

insmod /lib/quarry/quarry.ko || exit 1
# shellcheck disable=SC2046
insmod /lib/quarry/quarry_fraglab.ko $(cat /fraglab-parameters) || exit 1
cat /sys/kernel/debug/quarry_fraglab >"$DATA"
rmmod quarry_fraglab && rmmod quarry
