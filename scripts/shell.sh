#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make shell`: a prompt in a VM with all our modules at hand. See jobs/shell.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/deps.sh" run
kernel=$("$here/kernel.sh" stock "${KERNEL:-6.12}")
build=$("$here/build.sh" "$kernel")
modules=()
while read -r module; do
	modules+=(-f "$module")
done < <(find "$build" -name '*.ko')
exec "$here/vm.sh" -i "$kernel" "$here/jobs/shell.sh" "${modules[@]}"
