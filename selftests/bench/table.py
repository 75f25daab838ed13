#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The figures of `make bench` on the terminal, with the ratio to the best peer.

usage: table.py bench.csv
"""

import sys

from figures import Figures, host_was_busy, many_cpus, peer, show

# Title, pattern; a table each. Kinds of instruction of a pair beside its count.
SHAPE = [("first", "first-alloc"), ("pair", "pair"), ("locked", "pair.locked"), ("cli/sti", "pair.cli"),
         ("memory", "pair.memory"), ("alloc", "alloc"), ("free", "free"),
         ("fifo64", "fifo64"), ("lifo64", "lifo64"), ("rnd64", "random64"),
         ("fifo1k", "fifo1024"), ("lifo1k", "lifo1024"), ("rnd1k", "random1024"),
         ("bulk64", "bulk64"), ("miss", "miss")]
KINDS = [("%s %s" % (way[:2], kind), "%s.%s" % (way, kind)) for way in ("alloc", "free")
         for kind in ("stepped", "locked", "cmpxchg", "cli", "memory", "branches", "nops")]


def ways(name):
    """Percentiles of single operations."""
    return [("%s %s" % (way[:2], end), "%s-%s%s" % (name, way, suffix)) for way in ("alloc", "free")
            for end, suffix in (("p50", ""), ("p99", ".p99"), ("p99.9", ".p999"), ("max", ".max"))]


def live(name):
    """The same after the mean of a pair."""
    return [("mean", name + "-pair.mean")] + ways(name)


TAILS = ways("single")
DRAIN = ways("drain")
FULL = ways("full95")
LIVE = live("live10k")
INTERRUPT = [("pair", "pair"), ("p99", "pair.p99"), ("p99.9", "pair.p999"), ("max", "pair.max"),
             ("alloc", "alloc"), ("free", "free"), ("fifo1k", "fifo1024"), ("bulk64", "bulk64")]
# Sizes that differ: the sets, by region.
SETS = [("halving10", "10"), ("halving1k", "1,000"), ("halving10k", "10,000"), ("halving100k", "100,000"),
        ("loguni10k", "10,000 log-uniform")]
ROOMY = [("roomy-" + name, title) for name, title in SETS]


# What a row of ours stands beside: page_frag frees no block by itself either, and for a
# stack the kernel has nothing but what one would write by compare-and-swap.
def any_peer(what):
    """A peer that gives any block back at any time."""
    return peer(what) and what != "page_frag"


def any_size(what):
    """One that takes any size, as the heap and the router do."""
    return what in ("kmalloc", "gen_pool:first", "gen_pool:best", "drm_mm")


def linear(what):
    """A peer of what is given back all at once."""
    return what == "page_frag"


VERSUS = [("quarry", "best peer", any_peer),
          ("quarry_inline", "best peer", any_peer),
          ("quarry_bump", "page_frag", linear),
          ("quarry_percpu", "page_frag", linear),
          ("quarry_arena", "page_frag", linear),
          ("quarry_arena:inline", "page_frag", linear),
          ("quarry_stack:inline", "floor:cmpxchg", lambda what: what == "floor:cmpxchg"),
          ("quarry_heap", "best of any size", any_size),
          ("quarry_router", "best of any size", any_size)]
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
    for mine, beside, peers in versus if columns is not KINDS else []:
        own = [figures.get(kernel, context, size, mine, pattern) for _, pattern in columns]
        if not any(own):
            continue
        others = [best(figures, kernel, context, size, pattern, peers) for _, pattern in columns]
        line(beside, [show(figure) for figure in others])
        line("  / %s" % mine, ["%.2f" % (other / figure) if other and figure else "-"
                                  for other, figure in zip(others, own)])
    print("%s; %s" % (figures.told("qemu", context), figures.told("machine", context)))


def region(figures, kernel, name):
    """Bytes in which the sizes of a set have to fit."""
    return figures.get(kernel, "any", 0, "region", name + "-alloc")


def contention(figures, kernel):
    """Rates and what they are as multiples of others in the same run."""
    many = many_cpus(figures, kernel)
    columns = [("pairs", "1-cpu"), ("pairs", "2-cpus"), ("pipe", "2-cpus"), ("pairs", many)]
    names = figures.distinct("what", kernel=kernel, context="2-cpus")
    if not names:
        return
    print("\nContention, 64 bytes: thousands of operations a second (median), and ratios within the run")
    print("%-22s%10s%10s%10s%8s%12s%12s%14s%12s%s" %
          ("", "1 CPU", "2 CPUs", "pipe", "2/1", "2/1 : floor", "2 : cache", "2 : objpool", "pipe:cache",
           "%12s%12s" % (many, many[:-5] + "/1") if many else ""))

    def rates(what):
        return [figures.get(kernel, context, 64, what, pattern) for pattern, context in columns]

    def ratio(a, b):
        return "%.2f" % (a / b) if a and b else "-"

    if host_was_busy(figures, kernel):
        print("The host had other work (floor:percpu: %.2f times as fast on two CPUs): rely on nothing here"
              % host_was_busy(figures, kernel))
    floor, cache, objpool = rates("floor:percpu"), rates("kmem_cache"), rates("objpool")
    for what in names:
        one, two, pipe, most = rates(what)
        scaling = two / one if one and two else None
        bare = floor[1] / floor[0] if floor[0] and floor[1] else None
        print("%-22s%10s%10s%10s%8s%12s%12s%14s%12s%s" %
              (what, show(one), show(two), show(pipe), ratio(two, one), ratio(scaling, bare),
               ratio(two, cache[1]), ratio(two, objpool[1]), ratio(pipe, cache[2]),
               "%12s%12s" % (show(most), ratio(most, one)) if many else ""))
    print("%s; %s" % (figures.told("qemu", "2-cpus"), figures.told("machine", "2-cpus")))


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
            table(figures, kernel, "%d bytes, single operations, all taken until none is left" % size,
                  "task", size, DRAIN)
            table(figures, kernel, "%d bytes, 95 %% full" % size, "task", size, FULL)
            table(figures, kernel, "%d bytes, 10,000 live, one at random replaced" % size, "task", size, LIVE)
            table(figures, kernel, "%d bytes, what a hot alloc and a hot free are made of" % size, "task", size, KINDS)
        for name, title in SETS + ROOMY:
            table(figures, kernel, "17 to 4096 bytes, %s live, one at random replaced, in %s bytes" % (
                title, show(region(figures, kernel, name))), "task", 0, live(name))
        for context in ("softirq", "hardirq"):
            table(figures, kernel, "64 bytes in %s" % context, context, 64, INTERRUPT)
            table(figures, kernel, "64 bytes in %s, single operations" % context, context, 64, TAILS)
            table(figures, kernel, "64 bytes in %s, all taken until none is left" % context, context, 64, DRAIN)
        contention(figures, kernel)


if __name__ == "__main__":
    main()
