#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make bench-check`: Quarry's counts against the committed baseline.

usage: check.py baseline.csv run.csv again.csv	compare; the last line counts the rows
       check.py --make run.csv			print a new baseline

The two runs must have the same figures to the digit, in all rows but those of what an
operation is made of: it is stepped through in real time, where a tick may have set
something that the operation looks at, and the lesser of the two counts.

A row passes at up to 2 % above its figure in the baseline. A row that is new has
no baseline and fails, as one does that has gone. Kernel and configuration are not
part of a row: a point release of the kernel may move a figure, and then a commit
that says so moves the baseline. What an operation is made of is exact: one locked
operation more is not a matter of 2 %.
"""

import sys

from figures import Figures, ours, show
from opcount import KINDS

MARGIN = 1.02
NAMES = ["what", "pattern", "size", "context", "unit"]


def rows(path):
    """Figures by name."""
    return {tuple(str(row[name]) for name in NAMES): row["figure"]
            for row in Figures(path).rows if ours(row["what"])}


def stepped(pattern):
    """Was it counted by stepping?"""
    return pattern.split(".")[-1] in (*KINDS, "stepped")


def make(path):
    """A baseline out of a run."""
    print("# SPDX-License-Identifier: GPL-2.0-only")
    print("# What `make bench-check` compares with; how to renew it is in benchmarks.rst.")
    print("what,pattern,size,context,unit,figure")
    for name, figure in rows(path).items():
        print("%s,%s" % (",".join(name), show(figure)))


def baseline(path):
    """The same out of the committed file."""
    found = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.strip() and not line.startswith(("#", "what,")):
                *name, figure = line.strip().split(",")
                found[tuple(name)] = float(figure)
    return found


def compare(committed, measured):
    """Print each row that is out of its bounds; the counts."""
    passed = failed = 0
    for name in sorted(set(committed) | set(measured)):
        row = "%s %s, %s bytes, %s" % name[:4]
        if name not in measured:
            print("  FAILED  %s: was not measured" % row)
            failed += 1
        elif name not in committed:
            print("  FAILED  %s: %s %s, and no baseline" % (row, show(measured[name]), name[4]))
            failed += 1
        else:
            now, then = measured[name], committed[name]
            margin = 1 if name[1].split(".")[-1] in KINDS else MARGIN
            if now > then * margin:
                print("  FAILED  %s: %s %s, baseline %s" % (row, show(now), name[4], show(then)))
                failed += 1
                continue
            passed += 1
            if now * margin < then:
                print("  better  %s: %s %s, baseline %s" % (row, show(now), name[4], show(then)))
    return passed, failed


def repeats(first, second):
    """Print each figure that two runs differ in, theirs and the peers'; how many."""
    first, second = Figures(first).cells, Figures(second).cells
    differ = [key for key in sorted(set(first) | set(second)) if first.get(key) != second.get(key) and not stepped(key[4])]
    for key in differ:
        print("  FAILED  %s %s, %d bytes, %s: %s in one run, %s in the next" % (
            key[3], key[4], key[2], key[1], show(first.get(key)), show(second.get(key))))
    return len(differ)


def main():
    """Compare, or make."""
    if len(sys.argv) == 3 and sys.argv[1] == "--make":
        make(sys.argv[2])
        return 0
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    measured, again = rows(sys.argv[2]), rows(sys.argv[3])
    for name in measured:
        if stepped(name[1]):
            measured[name] = min(measured[name], again.get(name, measured[name]))
    passed, failed = compare(baseline(sys.argv[1]), measured)
    failed += repeats(sys.argv[2], sys.argv[3])
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
