#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: records what the kernel's slab does under one kind of work; the trace goes
# out by the data channel. The work is in /fraglab-work, which is run with its name.

mkdir -p /tmp/work
cd /tmp/work || exit 1
name=$(cat /fraglab-name)
/fraglab-record -b "$(cat /fraglab-buffer)" /tmp/trace sh /fraglab-work "$name" || exit 1
cat /tmp/trace >"$DATA"
