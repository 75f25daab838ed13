#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make bench-check`: Quarry's instruction counts against the committed baseline, twice,
# since a count that does not repeat to the digit is none.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bench=$here/../selftests/bench
results=$here/../build
"$here/bench.sh" -n 6.12
mv "$results/bench-check.csv" "$results/bench-check-first.csv"
"$here/bench.sh" -n 6.12 >"$results/bench-check.log"
python3 "$bench/check.py" "$bench/baseline.csv" "$results/bench-check-first.csv" "$results/bench-check.csv"
