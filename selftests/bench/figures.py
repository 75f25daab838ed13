# SPDX-License-Identifier: GPL-2.0-only
"""The CSV of `make bench`, as the table, the check, the plots and the manual read it.

usage: figures.py bench-count.csv bench-contention.csv	both in one, of those that exist
"""

import csv
import os
import re
import sys

COLUMNS = ["kernel", "configuration", "what", "pattern", "size", "context", "figure", "unit"]

# Not allocators: what a per-CPU array, a lock and a compare-and-swap cost at best.
FLOOR = "floor:"
OURS = "quarry"


class Figures:
    """All figures of a file, by (kernel, context, size, what, pattern)."""

    def __init__(self, path):
        self.about = {}
        self.rows = []
        with open(path, encoding="ascii") as file:
            lines = [line for line in file if line.strip()]
        for line in lines:
            if line.startswith("#"):
                name, _, value = line[1:].partition(":")
                self.about[name.strip()] = value.strip()
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            row["size"] = int(row["size"])
            row["figure"] = float(row["figure"])
            self.rows.append(row)
        self.cells = {self.key(row): row["figure"] for row in self.rows}
        # An alloc and a free, on the average
        for row in [row for row in self.rows if row["pattern"].endswith("-alloc.mean")]:
            kernel, context, size, what, pattern = self.key(row)
            free = self.get(kernel, context, size, what, pattern.replace("-alloc", "-free"))
            pair = dict(row, pattern=pattern.replace("-alloc", "-pair"), figure=round(row["figure"] + free, 1))
            self.rows.append(pair)
            self.cells[self.key(pair)] = pair["figure"]
        # The longest, with what has an end taken to it or not
        for row in [row for row in self.rows if re.match("single-(alloc|free)[.]max$", row["pattern"])]:
            kernel, context, size, what, pattern = self.key(row)
            drain = self.get(kernel, context, size, what, pattern.replace("single", "drain"))
            worst = dict(row, pattern=pattern.replace("single", "worst").replace(".max", ""),
                         figure=max(row["figure"], drain or 0))
            self.cells[self.key(worst)] = worst["figure"]

    @staticmethod
    def key(row):
        """What a figure is found by."""
        return (row["kernel"], row["context"], row["size"], row["what"], row["pattern"])

    def get(self, kernel, context, size, what, pattern):
        """A figure, or None."""
        return self.cells.get((kernel, context, size, what, pattern))

    def told(self, name, context):
        """Date, command or state of the tree of the run that a context's figures are from."""
        mode = "contention" if context.endswith("-cpus") else "count"
        return self.about.get("%s-%s" % (mode, name)) or self.about.get("heap-" + name, "")

    def distinct(self, column, **wanted):
        """Values of a column in their order, of the rows that have what is wanted."""
        found = {}
        for row in self.rows:
            if all(row[name] == value for name, value in wanted.items()):
                found[row[column]] = True
        return list(found)


def host_was_busy(figures, kernel):
    """How an array of each CPU's own scaled to two, if that shows a host with other work.

    Not the empty loop: at half a billion turns a second it scales by the chance of where it lies.
    """
    one, two = (figures.get(kernel, context, 64, "floor:percpu", "pairs") for context in ("1-cpu", "2-cpus"))
    return two / one if one and two and two / one < 1.8 else None


def ours(what):
    """One of Quarry's own rows."""
    return what.startswith(OURS)


def peer(what):
    """One that Quarry is compared with: not a floor, not the empty loop."""
    return not ours(what) and not what.startswith(FLOOR) and what != "empty"


def many_cpus(figures, kernel):
    """How many CPUs a row of contention has at most, as in a context; two: None."""
    found = [context for context in figures.distinct("context", kernel=kernel)
             if context.endswith("-cpus") and context != "2-cpus"]
    return found[0] if found else None


def show(figure):
    """As short as it is exact."""
    if figure is None:
        return "-"
    if abs(figure) >= 1000 or figure == int(figure):
        return "%d" % round(figure)
    return "%.1f" % figure


def main():
    """Files one behind the other: what is told about them, the names, the figures."""
    lines = []
    for path in sys.argv[1:]:
        if os.path.exists(path):
            with open(path, encoding="ascii") as file:
                lines += file.read().splitlines()
    names = ",".join(COLUMNS)
    about = [line for line in lines if line.startswith("#")]
    print("\n".join(about + [names] + [line for line in lines if line not in about + [names]]))


if __name__ == "__main__":
    main()
