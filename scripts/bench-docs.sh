#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make bench-docs`: the manual's page of benchmarks, its plots and the README's table,
# out of build/bench.csv.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bench=$here/../selftests/bench
docs=$here/../Documentation
"$here/deps.sh" plots
[ -s "$here/../build/bench.csv" ] || { echo 'bench-docs: make bench first' >&2; exit 1; }
{
	echo '# SPDX-License-Identifier: GPL-2.0-only'
	cat "$here/../build/bench.csv"
} >"$docs/benchmarks.csv"
# Debian's matplotlib is for Debian's python
/usr/bin/python3 "$bench/plot.py" "$docs/benchmarks.csv" "$docs"
/usr/bin/python3 "$bench/rst.py" "$docs/benchmarks.csv" "$bench/benchmarks.rst.in" "$docs/benchmarks.rst" "$here/../README.md"
