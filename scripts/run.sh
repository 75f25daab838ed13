#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make run`: the modules at work on a stock kernel, in a VM. See jobs/run.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/deps.sh" run
kernel=$("$here/kernel.sh" stock "${KERNEL:-6.12}")
build=$("$here/build.sh" "$kernel")
TIMEOUT=120 "$here/vm.sh" -s "$kernel" "$here/jobs/run.sh" \
	-f "$build/kmod/quarry.ko" -f "$build/samples/pktlog/pktlog.ko"
