#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Plots and maps of the fragmentation laboratory.

usage: plot.py [--table] FIGURES_DIRECTORY OUTPUT_DIRECTORY [WORKLOAD...]

fraglab-footprint.svg	smallest regions, all workloads and allocators
fraglab-NAME.svg	of a workload: fragmentation over time and a map each
(by default of each), where x is time and y is address: dark is in use.
--table writes fraglab.inc too, the table for the manual.
"""

import csv
import os
import sys

import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  pylint: disable=wrong-import-position

COLOURS = {"best-fit": "#D55E00", "first-fit": "#E69F00", "best-fit:bare": "#8c510a",
           "first-fit:bare": "#CC79A7", "slab-model": "#7570b3", "quarry_heap": "#0072B2",
           "quarry_heap:bounded": "#56B4E9"}


def read(path):
    """Rows of a CSV."""
    with open(path, encoding="ascii") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def distinct(rows, column):
    """Values in their order."""
    return list(dict.fromkeys(row[column] for row in rows))


def save(figure, directory, name):
    """The same bytes for the same figures, with a licence line."""
    path = os.path.join(directory, "%s.svg" % name)
    figure.savefig(path, dpi=80, metadata={"Date": None})
    with open(path, encoding="utf-8") as file:
        first, rest = file.read().split("\n", 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write("%s\n<!-- SPDX-License-Identifier: GPL-2.0-only -->\n%s\n"
                   % (first, "\n".join(line.rstrip() for line in rest.splitlines())))
    if os.environ.get("FRAGLAB_PNG"):
        figure.savefig(os.path.join(directory, "%s.png" % name), dpi=100)
    pyplot.close(figure)


def footprints(summary):
    """What is beyond the live bytes, in percent of them, on a logarithmic scale."""
    workloads = distinct(summary, "workload")
    allocators = distinct(summary, "allocator")
    figure, axis = pyplot.subplots(figsize=(8, 0.2 * len(workloads) * len(allocators) / 2 + 2))
    height = 0.8 / len(allocators)
    for at, allocator in enumerate(allocators):
        found = {row["workload"]: float(row["ratio"]) for row in summary if row["allocator"] == allocator}
        axis.barh([len(workloads) - i - height * (at - len(allocators) / 2) for i in range(len(workloads))],
                  [100 * (found.get(workload, 1) - 1) for workload in workloads], height=height * 0.95,
                  color=COLOURS.get(allocator, "#666666"), label=allocator)
    axis.set_yticks([len(workloads) - i for i in range(len(workloads))], workloads)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: "%g %%" % value)
    axis.set_xlabel("smallest region in which nothing is refused, beyond the peak of live bytes")
    axis.grid(axis="x", color="#dddddd")
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure


def read_map(path):
    """A PGM as rows of numbers."""
    with open(path, "rb") as file:
        data = file.read()
    _, size, _, pixels = data.split(b"\n", 3)
    width, height = (int(number) for number in size.split())
    return [list(pixels[row * width:(row + 1) * width]) for row in range(height)]


def over_time(directory, series, workload):
    """The index and the largest hole, and below them the maps."""
    rows = [row for row in series if row["workload"] == workload]
    allocators = distinct(rows, "allocator")
    figure = pyplot.figure(figsize=(9, 5.6))
    grid = figure.add_gridspec(2, len(allocators), height_ratios=[3, 2], hspace=0.35, wspace=0.08)
    curves = figure.add_subplot(grid[0, :])
    for allocator in allocators:
        mine = [row for row in rows if row["allocator"] == allocator]
        last = max(1, int(mine[-1]["operation"])) if mine else 1
        curves.plot([100 * int(row["operation"]) / last for row in mine], [float(row["index"]) for row in mine],
                    color=COLOURS.get(allocator, "#666666"), label=allocator,
                    linewidth=1.8 if allocator.startswith("quarry") else 1)
    curves.set_ylim(0, 1)
    curves.set_ylabel("1 - largest hole / free")
    curves.set_xlabel("operations, % of all")
    curves.set_title("%s: fragmentation in the smallest region, over time" % workload, fontsize=10)
    curves.legend(frameon=False, fontsize=7, ncol=3)
    curves.grid(color="#dddddd")
    for at, allocator in enumerate(allocators):
        axis = figure.add_subplot(grid[1, at])
        axis.imshow(read_map(os.path.join(directory, "%s.%s.pgm" % (workload, allocator))), cmap="Blues",
                    aspect="auto", vmin=0, vmax=255, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(allocator.replace(":", "\n:"), fontsize=7)
        if not at:
            axis.set_ylabel("address")
        axis.set_xlabel("time", fontsize=7)
    return figure


def table(summary, about):
    """For the manual: what is in the CSV, with shares in percent."""
    out = [".. SPDX-License-Identifier: GPL-2.0-only", "", about, "", ".. csv-table::", "   :header-rows: 1", "",
           '   "workload", "allocator", "operations", "peak live", "smallest region / peak", "mean index", '
           '"largest hole", "inner waste", "metadata"']
    for row in summary:
        share = ["%.2f %%" % (100 * int(row[name]) / int(row["peak_live"]))
                 for name in ("inner_waste_at_peak", "metadata_at_peak")]
        name = row["allocator"]
        cells = [row["workload"], "**%s**" % name if name.startswith("quarry") else name, row["operations"],
                 row["peak_live"], row["ratio"], "%.3f" % float(row["mean_index"]), row["largest_hole_at_end"]] + share
        out.append("   " + ", ".join('"%s"' % cell for cell in cells))
    return "\n".join(out) + "\n"


def main():
    """All plots."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--table"]
    if len(arguments) < 2:
        sys.exit(__doc__)
    source, output = arguments[:2]
    matplotlib.rcParams.update({"svg.hashsalt": "quarry", "svg.fonttype": "none", "font.size": 9})
    summary = read(os.path.join(source, "summary.csv"))
    series = read(os.path.join(source, "series.csv"))
    if "--table" in sys.argv:
        with open(os.path.join(output, "fraglab.inc"), "w", encoding="ascii") as file:
            file.write(table(summary, os.environ.get("FRAGLAB_ABOUT", "")))
    save(footprints(summary), output, "fraglab-footprint")
    for workload in arguments[2:] or distinct(summary, "workload"):
        save(over_time(source, series, workload), output, "fraglab-%s" % workload)


if __name__ == "__main__":
    main()
