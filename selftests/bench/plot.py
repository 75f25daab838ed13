#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Plots of `make bench` as SVG: latencies, depth, scaling.

usage: plot.py bench.csv DIRECTORY [png]
"""

import os
import sys

import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  pylint: disable=wrong-import-position

from figures import FLOOR, Figures, host_was_busy, ours  # noqa: E402  pylint: disable=wrong-import-position

OURS = ["#0072B2", "#56B4E9", "#009E73", "#004c78", "#22a7c4", "#2c6e49", "#8dbe3f", "#5a6bd4", "#7fc8a9"]
MARKERS = "osD^v"
PEERS = ["#D55E00", "#E69F00", "#CC79A7", "#8c510a", "#b2182b", "#7570b3", "#a6761d", "#666666"]
FLOORS = {"floor:percpu": dict(color="#222222", linestyle=":", linewidth=1.4),
          "floor:cmpxchg": dict(color="#555555", linestyle="--", linewidth=1.2),
          "floor:spinlock": dict(color="#888888", linestyle="-.", linewidth=1.2)}
# Of variants, those that a reader would choose between.
SHOWN = ["quarry", "quarry_inline", "kmem_cache", "kmalloc", "mempool", "objpool", "page_frag",
         "gen_pool:first", "gen_pool:best", "drm_mm", "floor:percpu", "floor:cmpxchg", "floor:spinlock"]
# Nothing of theirs is freed by itself: how deep makes no difference.
LINEAR = ("quarry_bump", "quarry_percpu", "quarry_arena")


def shown(names):
    """What is plotted, in the order of the CSV: those above, and later kinds of ours."""
    return [name for name in names
            if name in SHOWN or (ours(name) and name not in ("quarry_strict", "quarry_exact"))]


def styles(names):
    """Colour and line of each: ours blue and green, peers warm, floors grey, each dashed in its way."""
    found = {}
    own = peers = 0
    for name in names:
        if ours(name):
            found[name] = dict(color=OURS[own % len(OURS)], linestyle="-", linewidth=2.2,
                               marker=MARKERS[own % len(MARKERS)], markersize=4)
            own += 1
        elif name.startswith(FLOOR):
            found[name] = FLOORS[name]
        else:
            found[name] = dict(color=PEERS[peers % len(PEERS)], linestyle="-", linewidth=1.2, marker=".")
            peers += 1
    return found


def save(figure, directory, name, formats):
    """The same bytes for the same figures, with a licence line."""
    for form in formats:
        path = os.path.join(directory, "%s.%s" % (name, form))
        figure.savefig(path, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)
        if form == "svg":
            with open(path, encoding="utf-8") as file:
                first, rest = file.read().split("\n", 1)
            lines = [line.rstrip() for line in rest.splitlines()]
            with open(path, "w", encoding="utf-8") as file:
                file.write("%s\n<!-- SPDX-License-Identifier: GPL-2.0-only -->\n%s\n"
                           % (first, "\n".join(lines)))
    pyplot.close(figure)


def latencies(figures, kernel, size=64):
    """Single operations by percentile: each step to the right is a tenth of those that are left."""
    points = [("", "50"), (".p90", "90"), (".p99", "99"), (".p999", "99.9"), (".p9999", "99.99"), (".max", "all")]
    names = [name for name in shown(figures.distinct("what", kernel=kernel, pattern="single-alloc.max", size=size))
             if not name.endswith((":any", "inline"))]
    if not names:
        return None
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 5), sharey=True)
    for axis, way in zip(axes, ("alloc", "free")):
        for name, style in styles(names).items():
            values = [figures.get(kernel, "task", size, name, "single-%s%s" % (way, end)) for end, _ in points]
            # What frees nothing by itself costs nothing
            if any(values):
                axis.plot(range(len(points)), [value or None for value in values], label=name, **style)
        axis.set_xticks(range(len(points)), [label for _, label in points])
        axis.set_yscale("log")
        axis.set_title("single %s, %d bytes" % (way, size), fontsize=10)
        axis.set_xlabel("% of the operations")
        axis.grid(color="#dddddd")
    axes[0].set_ylabel("take at most so many instructions")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.83, 1))
    return figure


def depth(figures, kernel):
    """A pair's share by how many are taken before any is given back, and by size."""
    columns = [("pair", "1"), ("fifo64", "64"), ("fifo1024", "1024"), ("random1024", "1024,\nrandom")]
    sizes = [size for size in (64, 1024, 4096) if figures.distinct("what", kernel=kernel, pattern="pair", size=size)]
    if not sizes:
        return None
    figure, axes = pyplot.subplots(1, len(sizes), figsize=(10, 4.2), sharey=True, squeeze=False)
    axes = axes[0]
    names = [name for name in shown(figures.distinct("what", kernel=kernel, pattern="fifo1024"))
             if not name.startswith(LINEAR)]
    for axis, size in zip(axes, sizes):
        for name, style in styles(names).items():
            values = [figures.get(kernel, "task", size, name, pattern) for pattern, _ in columns]
            axis.plot(range(len(columns)), values, label=name, **style)
        axis.set_xticks(range(len(columns)), [label for _, label in columns], fontsize=8)
        axis.set_title("%d bytes" % size, fontsize=10)
        axis.set_yscale("log")
        axis.grid(axis="y", color="#dddddd")
        axis.set_xlabel("blocks taken, then freed")
    axes[0].set_ylabel("instructions for an alloc and its free")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.85, 1))
    return figure


def scaling(figures, kernel):
    """Rates on one CPU and on two, and when one allocates and the other frees."""
    names = [name for name in shown(figures.distinct("what", kernel=kernel, context="2-cpus")) if name != "empty"]
    if not names or host_was_busy(figures, kernel):
        return None
    rows = [("pairs", "1-cpu", "pairs on one CPU", "#bbbbbb"), ("pairs", "2-cpus", "pairs on two", "#0072B2"),
            ("pipe", "2-cpus", "one allocates, the other frees", "#E69F00")]
    base = figures.get(kernel, "1-cpu", 64, "kmem_cache", "pairs") or 1
    figure, axis = pyplot.subplots(figsize=(8, 0.42 * len(names) + 1.2))
    for offset, (pattern, context, label, colour) in enumerate(rows):
        axis.barh([len(names) - at - 0.28 * (offset - 1) for at in range(len(names))],
                  [(figures.get(kernel, context, 64, name, pattern) or 0) / base for name in names],
                  height=0.26, label=label, color=colour)
    axis.set_yticks([len(names) - at for at in range(len(names))], names)
    axis.set_xlabel("rate, as a multiple of kmem_cache on one CPU (emulated CPUs: ratios only)")
    axis.set_xscale("log")
    axis.grid(axis="x", color="#dddddd")
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    return figure


def main():
    """All plots of the first kernel in the file."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    figures = Figures(sys.argv[1])
    formats = ["svg"] + sys.argv[3:]
    matplotlib.rcParams.update({"svg.hashsalt": "quarry", "svg.fonttype": "none", "font.size": 9})
    kernel = figures.distinct("kernel")[0]
    os.makedirs(sys.argv[2], exist_ok=True)
    for name, make in (("bench-latency", latencies), ("bench-depth", depth), ("bench-scaling", scaling)):
        figure = make(figures, kernel)
        if figure:
            save(figure, sys.argv[2], name, formats)


if __name__ == "__main__":
    main()
