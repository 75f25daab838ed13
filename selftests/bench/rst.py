#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The manual's page out of the figures of `make bench`, and the README's table.

usage: rst.py bench.csv template page README
"""

import re
import sys

from figures import Figures, host_was_busy, many_cpus, ours, show
from table import DRAIN, FULL, INTERRUPT, KINDS, LIVE, ROOMY, SETS, SHAPE, TAILS, live, region

# The README has these rows and columns.
BRIEF = [("pair", "pair"), ("1024 deep", "fifo1024"), ("bulk of 64", "bulk64"),
         ("worst alloc", "worst-alloc"), ("worst free", "worst-free")]
BRIEF_ROWS = ["quarry", "quarry_inline", "kmem_cache", "mempool", "objpool", "gen_pool:first", "floor:percpu",
              "quarry_heap", "quarry_router", "kmalloc", "drm_mm",
              "quarry_percpu", "quarry_bump", "quarry_arena", "quarry_arena:inline", "page_frag",
              "quarry_stack", "quarry_stack:inline", "floor:cmpxchg"]


def heading(text, line):
    """A title with its underline."""
    return "\n%s\n%s\n" % (text, line * len(text))


def csv_table(titles, rows):
    """A table of the manual; nothing in a cell that does not apply."""
    out = ["\n.. csv-table::", "   :header-rows: 1", ""]
    for row in [titles] + rows:
        out.append("   " + ", ".join('"%s"' % ("" if cell == "-" else cell) for cell in row))
    return "\n".join(out) + "\n"


def bold(what):
    """Ours."""
    return "**%s**" % what if ours(what) else what


def names_of(figures, kernel, context, size, columns):
    """Allocators that have any of these figures; the empty loop is no row here."""
    return [what for what in figures.distinct("what", kernel=kernel, context=context, size=size)
            if what != "empty" and any(figures.get(kernel, context, size, what, pattern) is not None
                                       for _, pattern in columns)]


def source(figures, kernel, context, unit):
    """What stands beside each table."""
    found = [row["configuration"] for row in figures.rows
             if row["kernel"] == kernel and row["context"] == context and row["configuration"] != "gdbstub"]
    qemu, machine = figures.told("qemu", context), figures.told("machine", context)
    return "\nLinux %s, ``%s``, %s; ``%s``, %s, Quarry %s%s.\n" % (
        kernel, found[0], unit, figures.told("command", context), figures.told("date", context),
        figures.told("quarry", context), "; %s, ``%s``" % (qemu, machine) if machine else "")


def table(figures, kernel, context, size, columns):
    """One table, or nothing."""
    names = names_of(figures, kernel, context, size, columns)
    if not names:
        return ""
    units = figures.distinct("unit", kernel=kernel, context=context)
    rows = [[bold(what)] + [show(figures.get(kernel, context, size, what, pattern)) for _, pattern in columns]
            for what in names]
    return csv_table([""] + [title for title, _ in columns], rows) + source(figures, kernel, context, units[0])


def sets(figures, kernel, which):
    """Sizes that differ: all sets of a kind of region in one table."""
    rows = []
    for name, title in which:
        columns = live(name)
        for what in names_of(figures, kernel, "task", 0, columns):
            rows.append([title, bold(what)] + [show(figures.get(kernel, "task", 0, what, pattern))
                                               for _, pattern in columns])
    if not rows:
        return ""
    return (csv_table(["live", ""] + [title for title, _ in live("")], rows) +
            source(figures, kernel, "task", "instructions"))


def bytes_of(figures, kernel, which):
    """The regions of these sets, in words."""
    return ", ".join("%s for %s" % (format(int(region(figures, kernel, name)), ","), title)
                     for name, title in which if region(figures, kernel, name))


def contention(figures, kernel):
    """Rates and ratios."""
    names = [what for what in figures.distinct("what", kernel=kernel, context="2-cpus") if what != "empty"]
    if not names:
        return ""
    if host_was_busy(figures, kernel):
        return ("\nNot shown: the host had other work in this run, on which even the bare per-CPU array "
                "was %.2f times as fast on two CPUs as on one. ``make bench`` on a quiet host has them.\n"
                % host_was_busy(figures, kernel))

    def rate(what, pattern, context):
        return figures.get(kernel, context, 64, what, pattern)

    def ratio(a, b):
        return "%.2f" % (a / b) if a and b else "-"

    many = many_cpus(figures, kernel)
    floor = [rate("floor:percpu", "pairs", context) for context in ("1-cpu", "2-cpus")]
    rows = []
    for what in names:
        one, two = rate(what, "pairs", "1-cpu"), rate(what, "pairs", "2-cpus")
        pipe = rate(what, "pipe", "2-cpus")
        scaling = two / one if one and two else None
        bare = floor[1] / floor[0] if all(floor) else None
        most = rate(what, "pairs", many)
        rows.append([bold(what), show(one), show(two), show(pipe),
                     ratio(two, one), ratio(scaling, bare), ratio(two, rate("kmem_cache", "pairs", "2-cpus")),
                     ratio(two, rate("objpool", "pairs", "2-cpus")),
                     ratio(pipe, rate("kmem_cache", "pipe", "2-cpus"))] +
                    ([show(most), ratio(most, one)] if many else []))
    return csv_table(
        ["", "one CPU", "two CPUs", "one allocates, other frees", "two / one", "that / the floor's",
         "two / kmem_cache", "two / objpool", "across / kmem_cache"] +
        ([many, "these / one"] if many else []), rows) + source(
            figures, kernel, "2-cpus", "thousands of operations a second")


def kernel_pages(figures, kernel, first):
    """All tables of one kernel; plots stand with the first."""
    out = [heading("Linux %s" % kernel, "=")]
    if first:
        out.append("\n.. figure:: bench-latency.svg\n   :alt: single operations\n\n"
                   "   Single operations of 64 bytes: how many take how long at most.\n")
        out.append("\n.. figure:: bench-depth.svg\n   :alt: depth\n\n"
                   "   What an alloc and its free cost by how many blocks are taken before any is given back.\n")
        if not host_was_busy(figures, kernel):
            out.append("\n.. figure:: bench-scaling.svg\n   :alt: scaling\n\n   Rates on one CPU and on two.\n")
    for size in sorted(set(figures.distinct("size", kernel=kernel, context="task")) - {0}):
        out.append(heading("%d bytes" % size, "-"))
        out.append(table(figures, kernel, "task", size, SHAPE))
        out.append("\nSingle operations, refills and flushes included (``al``: alloc, ``fr``: free).\n")
        out.append(table(figures, kernel, "task", size, TAILS))
        part = table(figures, kernel, "task", size, DRAIN)
        if part:
            out.append("\nAll taken until none is left, and given back.\n" + part)
        out.append("\n95 % full.\n")
        out.append(table(figures, kernel, "task", size, FULL))
        part = table(figures, kernel, "task", size, LIVE)
        if part:
            out.append("\n10,000 live, one at random replaced; *mean* is that of an alloc and a free.\n" + part)
        part = table(figures, kernel, "task", size, KINDS)
        if part:
            out.append("\nWhat a hot alloc and a hot free are made of, net of the loop.\n" + part)
    part = sets(figures, kernel, SETS)
    if part:
        out.append(heading("Sizes that differ", "-") +
                   "\n17 to 4096 bytes, one at random replaced, in a region of 32 MiB.\n" + part)
    part = sets(figures, kernel, ROOMY)
    if part:
        out.append("\nThe same in a region of 4/3 of the peak live bytes (%s); who has no row needs more.\n"
                   % bytes_of(figures, kernel, ROOMY) + part)
    for context, name in (("softirq", "In softirq"), ("hardirq", "In a hard interrupt")):
        part = table(figures, kernel, context, 64, INTERRUPT)
        if part:
            out.append(heading(name, "-") + part + "\nSingle operations.\n" +
                       table(figures, kernel, context, 64, TAILS))
        part = table(figures, kernel, context, 64, DRAIN)
        if part:
            out.append("\nAll taken until none is left.\n" + part)
    part = contention(figures, kernel)
    if part:
        out.append(heading("Contention", "-") + part)
    return "".join(out)


def readme_table(figures):
    """Markdown: the first kernel, 64 bytes."""
    kernel = figures.distinct("kernel")[0]
    lines = ["| instructions, 64 bytes | " + " | ".join(title for title, _ in BRIEF) + " |",
             "|---|" + "--:|" * len(BRIEF)]
    for what in BRIEF_ROWS:
        lines.append("| %s | " % what + " | ".join(
            show(figures.get(kernel, "task", 64, what, pattern)) for _, pattern in BRIEF) + " |")
    lines.append("")
    lines.append("Linux %s, one CPU, `init_on_alloc=0`, %s, `%s`; a pair of *deep* and *bulk* rows is a share."
                 % (kernel, figures.told("date", "task"), figures.told("command", "task")))
    return "\n".join(lines)


def main():
    """Write the page; put the table between its marks in the README."""
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    figures = Figures(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as file:
        text = file.read()
    tables = "".join(kernel_pages(figures, kernel, at == 0)
                     for at, kernel in enumerate(figures.distinct("kernel")))
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        file.write(text.replace("@TABLES@", tables.strip()))
    with open(sys.argv[4], encoding="utf-8") as file:
        text = file.read()
    marks = "<!-- bench -->\n", "<!-- end of bench -->"
    if not all(mark in text for mark in marks):
        sys.exit("%s has no marks for the table" % sys.argv[4])
    text = re.sub("(%s).*(%s)" % marks, lambda match: match[1] + readme_table(figures) + "\n" + match[2],
                  text, flags=re.S)
    with open(sys.argv[4], "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
