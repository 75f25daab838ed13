#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make bench-check`: Quarry's instruction counts against the committed baseline.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bench=$here/../selftests/bench
"$here/bench.sh" -n 6.12
python3 "$bench/check.py" "$bench/baseline.csv" "$here/../build/bench-check.csv"
