#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Plots, maps and tables of the fragmentation laboratory.

usage: plot.py [--docs] FIGURES_DIRECTORY OUTPUT_DIRECTORY [WORKLOAD...]
       plot.py --print KERNEL_CSV

fraglab-footprint.svg	smallest regions, all workloads and allocators
fraglab-cost.svg	instructions an operation, from the run in the kernel if there was one
fraglab-reserved.svg	memory that the kernel's allocators took in it, metadata included
fraglab-NAME.svg	of a workload: fragmentation over time and a map each
(by default of each), where x is time and y is address: dark is in use.
--docs writes fraglab.inc too, the tables for the manual.
"""

import csv
import os
import sys

COLOURS = {"best-fit": "#D55E00", "first-fit": "#E69F00", "best-fit:bare": "#8c510a",
           "first-fit:bare": "#CC79A7", "best-fit:nodes": "#999933", "slab-model": "#7570b3",
           "pools-model": "#009E73", "quarry_heap": "#0072B2", "quarry_heap:bounded": "#56B4E9",
           "quarry_heap:roomy": "#004C78", "quarry_heap:no-front": "#6699CC", "quarry_router": "#D55E00",
           "quarry_router:strict": "#E69F00", "quarry_pools": "#009E73",
           "kmalloc": "#7570b3", "drm_mm:best": "#999933", "gen_pool:first": "#CC79A7",
           "gen_pool:best": "#8c510a"}
# The bare variants would hide the others' curves, and look the same on a map.
DRAWN = ("best-fit", "first-fit", "slab-model", "pools-model", "quarry_heap", "quarry_heap:bounded")


def read(path):
    """Rows of a CSV."""
    with open(path, encoding="ascii") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def about(path):
    """What the lines with # in front say, by name."""
    with open(path, encoding="ascii") as file:
        lines = [line[1:].strip().split(": ", 1) for line in file if line.startswith("#")]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def distinct(rows, column):
    """Values in their order."""
    return list(dict.fromkeys(row[column] for row in rows))


def bold(name):
    """Quarry's own stand out."""
    return "**%s**" % name if name.startswith("quarry") else name


def pair(row):
    """Instructions of an alloc and a free."""
    return float(row["alloc"]) + float(row["free"])


def whole(row):
    """It was not refused anything: its costs are of all that it was to do."""
    return row["outcome"] in ("whole", "part")


def operations(row):
    """How many, and whether that is less than all."""
    return row["operations"] + {"whole": "", "part": ", the first"}.get(row["outcome"], ", then " + row["outcome"])


def save(figure, directory, name):
    """The same bytes for the same figures, with a licence line."""
    path = os.path.join(directory, "%s.svg" % name)
    figure.savefig(path, dpi=80, metadata={"Date": None})
    with open(path, encoding="utf-8") as file:
        first, rest = file.read().split("\n", 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write("%s\n<!-- SPDX-License-Identifier: GPL-2.0-only -->\n%s\n"
                   % (first, "\n".join(line.rstrip() for line in rest.splitlines())))


def dots(pyplot, workloads, allocators, figures, label):
    """A row a workload, a dot an allocator, on a logarithmic scale."""
    figure, axis = pyplot.subplots(figsize=(8, 0.5 * len(workloads) + 2.1))
    for nr, allocator in enumerate(allocators):
        ours = allocator.startswith("quarry")
        found = [(figures[workload, allocator], len(workloads) - at + 0.62 * (0.5 - (nr + 0.5) / len(allocators))) for at, workload in enumerate(workloads)
                 if (workload, allocator) in figures]
        axis.plot([x for x, _ in found], [y for _, y in found], linestyle="none", label=allocator,
                  marker="D" if ours else "o", markersize=6 if ours else 5, alpha=0.9,
                  color=COLOURS.get(allocator, "#666666"), markeredgecolor="white", markeredgewidth=0.6,
                  zorder=3 if ours else 2)
    for at in range(len(workloads) - 1):
        axis.axhline(at + 1.5, color="#dddddd", linewidth=0.8)
    axis.set_yticks([len(workloads) - at for at in range(len(workloads))], workloads)
    axis.set_ylim(0.4, len(workloads) + 0.6)
    axis.set_xscale("log")
    axis.set_xlabel(label)
    axis.grid(axis="x", color="#dddddd")
    axis.tick_params(axis="y", length=0)
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8, ncol=5, loc="lower center", bbox_to_anchor=(0.45, 1.0))
    return figure, axis


def footprints(pyplot, summary):
    """What is beyond the live bytes, in percent of them."""
    figures = {(row["workload"], row["allocator"]): max(100 * (float(row["ratio"]) - 1), 1) for row in summary}
    figure, axis = dots(pyplot, distinct(summary, "workload"), distinct(summary, "allocator"), figures,
                        "smallest region in which nothing is refused, beyond the peak of live bytes")
    axis.set_xlim(0.9, 3000)
    axis.set_xticks([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], ["≤1 %", "2 %", "5 %", "10 %", "20 %", "50 %",
                                                                "100 %", "200 %", "500 %", "1000 %"])
    axis.minorticks_off()
    figure.tight_layout()
    return figure


def costs(pyplot, kernel):
    """Instructions of an alloc and a free together, means."""
    figures = {(row["workload"], row["allocator"]): pair(row) for row in kernel if whole(row)}
    figure, axis = dots(pyplot, distinct(kernel, "workload"), distinct(kernel, "allocator"), figures,
                        "instructions of an alloc and a free, mean")
    axis.xaxis.set_major_formatter(lambda value, _: "{:,.0f}".format(value))
    figure.tight_layout()
    return figure


def reserved(pyplot, kernel):
    """All that was taken for a workload, beyond the live bytes; gen_pool's was not searched for, and small
    workloads find room in kmalloc's slabs."""
    figures = {(row["workload"], row["allocator"]): max(100 * (int(row["reserved"]) / int(row["peak_live"]) - 1), 1)
               for row in kernel if whole(row) and int(row["reserved"]) > int(row["peak_live"])
               and ":roomy" not in row["allocator"] and "gen_pool" not in row["allocator"]}
    figure, axis = dots(pyplot, distinct(kernel, "workload"), distinct([{"a": name} for _, name in figures], "a"),
                        figures, "memory that was taken, metadata included, beyond the peak of live bytes")
    axis.xaxis.set_major_formatter(lambda value, _: "{:,.0f} %".format(value))
    figure.tight_layout()
    return figure


def read_map(path):
    """A PGM as rows of numbers."""
    with open(path, "rb") as file:
        data = file.read()
    _, size, _, pixels = data.split(b"\n", 3)
    width, height = (int(number) for number in size.split())
    return [list(pixels[row * width:(row + 1) * width]) for row in range(height)]


def draw_curves(axis, rows, allocators, workload):
    """The fragmentation index of each."""
    for allocator in allocators:
        mine = [row for row in rows if row["allocator"] == allocator]
        last = max(1, int(mine[-1]["operation"])) if mine else 1
        axis.plot([100 * int(row["operation"]) / last for row in mine], [float(row["index"]) for row in mine],
                  color=COLOURS.get(allocator, "#666666"), label=allocator,
                  linewidth=1.6 if allocator.startswith("quarry") else 0.9)
    axis.set_ylim(0, 1)
    axis.set_xlim(0, 100)
    axis.set_ylabel("1 - largest hole / free")
    axis.set_xlabel("operations, % of all")
    axis.set_title("%s: fragmentation over time, each in its smallest region" % workload, fontsize=10, pad=24)
    axis.legend(frameon=False, fontsize=8, ncol=6, loc="lower center", bbox_to_anchor=(0.5, 0.99),
                columnspacing=1.2, handlelength=1.4)
    axis.grid(color="#dddddd")


def over_time(pyplot, directory, rows, summary, workload):
    """The index, and below it the maps."""
    rows = [row for row in rows if row["workload"] == workload]
    allocators = [name for name in distinct(rows, "allocator") if name in DRAWN]
    ratio = {row["allocator"]: float(row["ratio"]) for row in summary if row["workload"] == workload}
    figure = pyplot.figure(figsize=(9.6, 7))
    figure.subplots_adjust(left=0.07, right=0.985, top=0.91, bottom=0.05)
    grid = figure.add_gridspec(2, len(allocators), height_ratios=[1, 1], hspace=0.42, wspace=0.07)
    draw_curves(figure.add_subplot(grid[0, :]), rows, allocators, workload)
    for at, allocator in enumerate(allocators):
        axis = figure.add_subplot(grid[1, at])
        axis.imshow(read_map(os.path.join(directory, "%s.%s.pgm" % (workload, allocator))), cmap="Blues",
                    aspect="auto", vmin=0, vmax=255, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title("%s\n%.3f × peak" % (allocator, ratio[allocator]), fontsize=8)
        if not at:
            axis.set_ylabel("address, up")
        axis.set_xlabel("time", fontsize=8)
    return figure


def csv_table(header, rows):
    """In reStructuredText."""
    out = [".. csv-table::", "   :header-rows: 1", ""]
    out += ["   " + ", ".join('"%s"' % cell for cell in row) for row in [header] + rows]
    return out + [""]


def user_table(summary):
    """What the run in user space gave, with shares in percent."""
    rows = []
    for row in summary:
        share = ["%.2f %%" % (100 * int(row[name]) / int(row["peak_live"]))
                 for name in ("inner_waste_at_peak", "metadata_at_peak")]
        rows.append([row["workload"], bold(row["allocator"]), row["operations"], row["peak_live"], row["ratio"],
                     "%.3f" % float(row["mean_index"]), row["largest_hole_at_end"]] + share)
    return csv_table(["workload", "allocator", "operations", "peak live", "smallest region / peak", "mean index",
                      "largest hole", "inner waste", "metadata"], rows)


def memory_table(kernel):
    """What the run in the kernel took."""
    rows = []
    for row in kernel:
        smallest, peak = int(row["smallest_region"]), int(row["peak_live"])
        kmalloc = row["allocator"] == "kmalloc"
        rows.append([row["workload"], bold(row["allocator"]), operations(row),
                     "%.4f" % (smallest / peak) if smallest else "-", "%.4f" % (int(row["reserved"]) / peak),
                     row["mean_index"] or "-", row["largest_hole_at_end"] or "-",
                     "%.2f %%" % (100 * int(row["inner_waste_at_peak"]) / peak),
                     "-" if kmalloc else "%.2f %%" % (100 * int(row["metadata_at_peak"]) / peak),
                     row["elsewhere"] if row["allocator"] == "quarry_router" else "-"])
    return csv_table(["workload", "allocator", "operations", "smallest region / peak", "reserved / peak",
                      "mean index", "largest hole", "inner waste", "metadata", "fell back"], rows)


def cost_table(kernel):
    """And what it cost."""
    rows = [[row["workload"], bold(row["allocator"]), operations(row), row["alloc"], row["free"], "%.1f" % pair(row),
             row["worst_alloc"], row["worst_free"], row["flushes"] if "heap" in row["allocator"] else "-"]
            for row in kernel]
    return csv_table(["workload", "allocator", "operations", "alloc", "free", "both", "worst alloc", "worst free",
                      "flushes"], rows)


def ratio_of(row, name):
    """Of a row that there may not be, over the peak."""
    return int(row[name]) / int(row["peak_live"]) if row and whole(row) and int(row[name]) else 0


def footprint_targets(summary, kernel, traces):
    """Of each trace: the heap against exact best fit, in user space and in the kernel."""
    ratio = {(row["workload"], row["allocator"]): float(row["ratio"]) for row in summary}
    found = {(row["workload"], row["allocator"]): row for row in kernel}
    rows = []
    for trace in traces:
        best = ratio[trace, "best-fit"]
        cells = [trace, "%.4f" % best]
        for ours in (ratio[trace, "quarry_heap"], ratio_of(found.get((trace, "quarry_heap:no-front")), "smallest_region"),
                     ratio_of(found.get((trace, "quarry_heap")), "smallest_region")):
            cells += ["**%.4f**" % ours, "%+.2f %%, %s" % (100 * (ours / best - 1), "yes" if ours <= best * 1.01 else "no")
                      ] if ours else ["-", "-"]
        rows.append(cells)
    return csv_table(["trace", "best fit", "heap's core, user space", "within 1 %", "heap in the kernel, no front",
                      "within 1 %", "heap in the kernel, default", "within 1 %"], rows)


def cost_targets(kernel, traces):
    """Of each trace: the heap's instructions beside the cheapest in a region, and beside kmalloc."""
    rows = []
    for trace in traces:
        cost = {row["allocator"]: pair(row) for row in kernel if row["workload"] == trace and whole(row)}
        ours = [cost.get("quarry_heap" + variant) for variant in ("", ":roomy", ":no-front")]
        cells = [trace] + ["**%.1f**" % number if number else "-" for number in ours]
        for peers in ([name for name in cost if name.startswith(("drm_mm", "gen_pool"))],
                      [name for name in cost if name == "kmalloc"]):
            peer = min(peers, key=cost.get, default=None)
            cells += ["%s %.1f" % (peer, cost[peer]), "yes" if ours[0] and ours[0] < cost[peer] else "no"
                      ] if peer else ["-", "-"]
        peer = cost.get("kmalloc")
        cells.append("yes" if ours[1] and peer and ours[1] < peer else "no")
        rows.append(cells)
    return csv_table(["trace", "heap, default", "heap, roomy", "heap, no front", "cheapest peer in a region", "default is fewer",
                      "kmalloc", "default is fewer", "roomy is fewer"], rows)


def slab_table(summary, kernel, given, traces):
    """What slabs take: modelled, measured, recorded."""
    ratio = {(row["workload"], row["allocator"]): row["ratio"] for row in summary}
    measured = {row["workload"]: row for row in kernel if row["allocator"] == "kmalloc"}
    gave = {row["trace"]: row for row in given}
    rows = [[trace, ratio[trace, "slab-model"],
             "%.4f" % ratio_of(measured[trace], "reserved") if trace in measured else "-",
             "%.4f" % (int(gave[trace]["given_at_peak"]) / int(gave[trace]["peak_live"])) if trace in gave else "-"]
            for trace in traces]
    return csv_table(["trace", "slab model", "kmalloc, measured", "recorded kernel, objects alone"], rows)


def write_tables(path, source, summary, kernel, traces):
    """fraglab.inc"""
    said = about(os.path.join(source, "about"))
    given = os.path.join(source, "given.csv")
    given = read(given) if os.path.exists(given) else []
    out = [".. SPDX-License-Identifier: GPL-2.0-only", "",
           "Targets, on the traces", "----------------------", "",
           "The smallest region over the peak of live bytes, and whether it is at most 1 % above that of",
           "exact best fit:", ""] + footprint_targets(summary, kernel, traces)
    out += ["Instructions of an alloc and a free together, in the kernel:", ""] + cost_targets(kernel, traces)
    out += ["What slabs take over the peak of live bytes:", ""] + slab_table(summary, kernel, given, traces)
    out += ["In user space", "-------------", "",
            "``make fraglab``, %s, Quarry %s." % (said["date"], said["quarry"]), ""] + user_table(summary)
    if kernel:
        said = about(os.path.join(source, "kernel.csv"))
        out += ["In the kernel", "-------------", "",
                "``make fraglab``, %s, Quarry %s, Linux %s, one CPU, ``-icount shift=0``, ``init_on_alloc=0``."
                % (said["date"], said["quarry"], said["kernel"]), "", "Memory:", ""] + memory_table(kernel)
        out += ["Instructions, means and the worst single call:", ""] + cost_table(kernel)
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(out))


def show(path):
    """The kernel's figures, for a terminal."""
    line = "%-16s %-20s %18s %10s %9s %9s %6s %9s %9s %8s %8s"
    print(line % ("workload", "allocator", "ops", "peak live", "smallest", "reserved", "index", "alloc", "free",
                  "worst", "worst"))
    for row in read(path):
        smallest = ratio_of(row, "smallest_region")
        print(line % (row["workload"], row["allocator"], operations(row), row["peak_live"],
                      "%.4f" % smallest if smallest else "-", "%.4f" % ratio_of(row, "reserved"),
                      row["mean_index"] or "-", row["alloc"], row["free"], row["worst_alloc"], row["worst_free"]))


def plots():
    """matplotlib, which a table on the terminal does not need."""
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    matplotlib.rcParams.update({"svg.hashsalt": "quarry", "svg.fonttype": "none", "font.size": 9})
    return pyplot


def main():
    """All of them."""
    if len(sys.argv) == 3 and sys.argv[1] == "--print":
        show(sys.argv[2])
        return
    arguments = [argument for argument in sys.argv[1:] if argument != "--docs"]
    if len(arguments) < 2:
        sys.exit(__doc__)
    source, output = arguments[:2]
    pyplot = plots()
    summary = read(os.path.join(source, "summary.csv"))
    series = read(os.path.join(source, "series.csv"))
    in_kernel = os.path.join(source, "kernel.csv")
    kernel = read(in_kernel) if os.path.exists(in_kernel) else []
    if "--docs" in sys.argv:
        write_tables(os.path.join(output, "fraglab.inc"), source, summary, kernel, arguments[2:5])
    save(footprints(pyplot, summary), output, "fraglab-footprint")
    if kernel:
        save(costs(pyplot, kernel), output, "fraglab-cost")
        save(reserved(pyplot, kernel), output, "fraglab-reserved")
    for workload in arguments[2:] or distinct(summary, "workload"):
        figure = over_time(pyplot, source, series, summary, workload)
        save(figure, output, "fraglab-%s" % workload)
        pyplot.close(figure)


if __name__ == "__main__":
    main()
