#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM, before the prompt.

insmod /lib/quarry/quarry.ko
cd /lib/quarry || exit
export PS1='quarry:\w# '
echo "Linux $(uname -r). Modules:" *.ko
echo "Quarry's views: /sys/kernel/debug/quarry. End with: exit"
