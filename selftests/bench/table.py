#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The figures of `make bench` on the terminal, with the ratio to the best peer.

usage: table.py bench.csv
"""

import sys

from figures import Figures, host_was_busy, peer, show

# Title, pattern; a table each.
SHAPE = [("first", "first-alloc"), ("pair", "pair"), ("alloc", "alloc"), ("free", "free"),
         ("fifo64", "fifo64"), ("lifo64", "lifo64"), ("rnd64", "random64"),
         ("fifo1k", "fifo1024"), ("lifo1k", "lifo1024"), ("rnd1k", "random1024"),
         ("bulk64", "bulk64"), ("miss", "miss")]
TAILS = [(short + end, pattern + suffix)
         for short, pattern in (("al", "single-alloc"), ("fr", "single-free"))
         for end, suffix in ((" p50", ""), (" p99", ".p99"), (" p99.9", ".p999"), (" max", ".max"))]
FULL = [(short + end, pattern + suffix)
        for short, pattern in (("al", "full95-alloc"), ("fr", "full95-free"))
        for end, suffix in ((" p50", ""), (" p99", ".p99"), (" max", ".max"))]
LIVE = [(short + end, pattern + suffix)
        for short, pattern in (("al", "live10k-alloc"), ("fr", "live10k-free"))
        for end, suffix in ((" mean", ".mean"), (" p50", ""), (" p99", ".p99"), (" max", ".max"))]
SIZED = [(title, pattern.replace("live10k", "sizes10k")) for title, pattern in LIVE]
INTERRUPT = [("pair", "pair"), ("p99", "pair.p99"), ("max", "pair.max"), ("alloc", "alloc"), ("free", "free")]


# What a row of ours stands beside: page_frag frees no block by itself either, and for a
# stack the kernel has nothing but what one would write by compare-and-swap.
def any_peer(what):
    """A peer that gives any block back at any time."""
    return peer(what) and what != "page_frag"


def linear(what):
    """A peer of what is given back all at once."""
    return what == "page_frag"


VERSUS = [("quarry", "best peer", any_peer),
          ("quarry_inline", "best peer", any_peer),
          ("quarry_bump", "page_frag", linear),
          ("quarry_percpu", "page_frag", linear),
          ("quarry_arena", "page_frag", linear),
          ("quarry_arena:inline", "page_frag", linear),
          ("quarry_stack:inline", "floor:cmpxchg", lambda what: what == "floor:cmpxchg")]
VERSUS_SIZED = [("quarry_heap", "best peer", peer), ("quarry_router", "best peer", peer)]


def best(figures, kernel, context, size, pattern, whose, pick=min):
    """The best figure of a set of rows, or None."""
    found = [row["figure"] for row in figures.rows
             if row["kernel"] == kernel and row["context"] == context and row["size"] == size
             and row["pattern"] == pattern and whose(row["what"])]
    return pick(found) if found else None


def table(figures, kernel, title, context, size, columns):
    """Rows by allocator, then the best peer, also as a multiple of ours: above 1, ours is better."""
    names = [what for what in figures.distinct("what", kernel=kernel, context=context, size=size)
             if any(figures.get(kernel, context, size, what, pattern) is not None
                    for _, pattern in columns)]
    if not names:
        return
    widths = [max(8, len(short) + 1) for short, _ in columns]

    def line(name, cells):
        print("%-22s" % name + "".join("%*s" % (width, cell) for width, cell in zip(widths, cells)))

    print("\n%s" % title)
    line("", [short for short, _ in columns])
    for what in names:
        line(what, [show(figures.get(kernel, context, size, what, pattern)) for _, pattern in columns])
    versus = VERSUS_SIZED if size == 0 else VERSUS
    for mine, beside, peers in versus:
        own = [figures.get(kernel, context, size, mine, pattern) for _, pattern in columns]
        if not any(own):
            continue
        others = [best(figures, kernel, context, size, pattern, peers) for _, pattern in columns]
        line(beside, [show(figure) for figure in others])
        line("  / %s" % mine, ["%.2f" % (other / figure) if other and figure else "-"
                                  for other, figure in zip(others, own)])


def contention(figures, kernel):
    """Rates and what they are as multiples of others in the same run."""
    columns = [("pairs", "1-cpu"), ("pairs", "2-cpus"), ("pipe", "2-cpus")]
    names = figures.distinct("what", kernel=kernel, context="2-cpus")
    if not names:
        return
    print("\nContention, 64 bytes: thousands of operations a second (median), and ratios within the run")
    print("%-22s%10s%10s%10s%8s%12s%12s%14s%12s" %
          ("", "1 CPU", "2 CPUs", "pipe", "2/1", "2/1 : floor", "2 : cache", "2 : objpool", "pipe:cache"))

    def rates(what):
        return [figures.get(kernel, context, 64, what, pattern) for pattern, context in columns]

    def ratio(a, b):
        return "%.2f" % (a / b) if a and b else "-"

    if host_was_busy(figures, kernel):
        print("The host had other work (an empty loop: %.2f times as fast on two CPUs): rely on nothing here"
              % host_was_busy(figures, kernel))
    floor, cache, objpool = rates("floor:percpu"), rates("kmem_cache"), rates("objpool")
    for what in names:
        one, two, pipe = rates(what)
        scaling = two / one if one and two else None
        bare = floor[1] / floor[0] if floor[0] and floor[1] else None
        print("%-22s%10s%10s%10s%8s%12s%12s%14s%12s" %
              (what, show(one), show(two), show(pipe), ratio(two, one), ratio(scaling, bare),
               ratio(two, cache[1]), ratio(two, objpool[1]), ratio(pipe, cache[2])))


def hit_paths(figures, kernel):
    """Kinds of instruction on the hit path, by objdump."""
    names = figures.distinct("what", kernel=kernel, configuration="objdump")
    units = figures.distinct("unit", kernel=kernel, configuration="objdump")
    if not names:
        return
    print("\nOn the hit path, by kind")
    print("%-24s" % "" + "".join("%14s" % unit for unit in units))
    for what in names:
        print("%-24s" % what + "".join(
            "%14s" % show(row["figure"]) for row in figures.rows
            if row["kernel"] == kernel and row["configuration"] == "objdump" and row["what"] == what))


def main():
    """Print all."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    figures = Figures(sys.argv[1])
    for kernel in figures.distinct("kernel"):
        units = figures.distinct("unit", kernel=kernel, context="task")
        print("\n== Linux %s, %s, net of the loop; %s" %
              (kernel, ", ".join(units), ", ".join(figures.distinct("configuration", kernel=kernel))))
        for size in sorted(set(figures.distinct("size", kernel=kernel, context="task")) - {0}):
            table(figures, kernel, "%d bytes, by pattern (deep rows: a pair's share)" % size,
                  "task", size, SHAPE)
            table(figures, kernel, "%d bytes, single operations, refills and flushes included" % size,
                  "task", size, TAILS)
            table(figures, kernel, "%d bytes, 95 %% full" % size, "task", size, FULL)
            table(figures, kernel, "%d bytes, 10000 live, one at random replaced" % size, "task", size, LIVE)
        table(figures, kernel, "17 to 4096 bytes, 10000 live, one at random replaced", "task", 0, SIZED)
        for context in ("softirq", "hardirq"):
            table(figures, kernel, "64 bytes in %s" % context, context, 64, INTERRUPT)
        contention(figures, kernel)
        hit_paths(figures, kernel)


if __name__ == "__main__":
    main()
