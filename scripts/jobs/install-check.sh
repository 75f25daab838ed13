#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: the quarry.ko that was installed and the README's client, built outside the
# tree, load; the client says what the README says; and both unload.
set -eu

insmod /lib/quarry/quarry.ko
insmod /lib/quarry/hello.ko
grep '^pool .* hello ' /sys/kernel/debug/quarry/summary
dmesg | grep 'hello: block 0 of 1000: a block of my own'
rmmod hello
rmmod quarry
