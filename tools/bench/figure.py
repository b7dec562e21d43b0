"""Draws time-vs-segments.svg and .png from FOLDER/results.csv."""
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

import results
import tables

# Okabe and Ito 2008: told apart by colour-blind people; the markers tell them
# apart in grey. Program, colour, marker.
LINES = [
    ("decouple", "#0072b2", "o"),
    ("PyTorch", "#d55e00", "s"),
    ("Keras", "#009e73", "^"),
    ("candle", "#cc79a7", "D"),
    ("burn", "#e69f00", "v"),
]
PANELS = {
    "conv": "One 3x3 convolution:\nforward and both gradients",
    "module": "A module (ReLU, 1x1, 3x3, norm):\nforward and backward",
    "step": "A training step of mini-xception",
}
ROOFLINE = "#999999"


def main():
    folder = results.Results(sys.argv[1])
    rows = folder.rows()
    spectrum, roof = tables.measured(rows, "spectrum"), tables.roof_of(rows)
    plt.rcParams.update({"font.size": 10, "svg.fonttype": "none", "font.family": "sans-serif", "axes.titlesize": 11})
    works = [work for work in PANELS if any(m.item.work == work for m in spectrum)]
    if not works:
        return
    figure, axes = plt.subplots(1, len(works), figsize=(4.2 * len(works), 5.2), squeeze=False, layout="constrained")
    for axis, work in zip(axes[0], works):
        panel(axis, work, sorted((m for m in spectrum if m.item.work == work), key=lambda m: m.item.segments), roof)
        axis.set_xlabel("segments of the 3x3 convolution")
    axes[0][0].set_ylabel("milliseconds (lower is faster)")
    environment = folder.environment()
    figure.suptitle("Time against segment count", fontsize=14, fontweight="bold", x=0.008, ha="left")
    threads = f"{environment['threads']} thread{'s' if environment['threads'] > 1 else ''}"
    note = f"{environment['cpu']}, {threads}, f32. Of each program its fastest variant."
    if roof:
        note += "\nRoofline: the multiply-adds of direct convolution at the measured peak, or the maps copied once."
    figure.supxlabel(note, fontsize=9, color="#6e6e6e", x=0.008, ha="left")
    for kind in ("svg", "png"):
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(pathlib.Path(sys.argv[1]) / f"time-vs-segments.{kind}", dpi=160, metadata=metadata)


def panel(axis, work, of_work, roof):
    """Time against segments of one piece of work, a line a program."""
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    ends = []
    for family, colour, marker in LINES:
        points = [(m.item.segments, m.median(m.best(family))) for m in of_work if m.best(family)]
        if not points:
            continue
        x, y = zip(*points)
        first = family == LINES[0][0]
        axis.plot(x, y, color=colour, marker=marker, markersize=5, linewidth=2.4 if first else 1.4, zorder=3 if first else 2)
        ends.append((y[-1], family, colour, x[-1]))
    floor = [(m.item.segments, m.floor_ms(roof)) for m in of_work if m.floor_ms(roof)]
    if floor:
        x, y = zip(*floor)
        axis.plot(x, y, color=ROOFLINE, linewidth=0.9, zorder=1)
        ends.append((y[-1], "roofline", ROOFLINE, x[-1]))
    counts = [m.item.segments for m in of_work]
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="y", color="#e0e0e0", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(PANELS[work], loc="left")
    label(axis, ends)


def label(axis, ends):
    """Names each line at its right end, labels moved apart where they touch."""
    axis.set_xlim(right=axis.get_xlim()[1] * 4)
    axis.figure.canvas.draw()
    gap = 13.0 * axis.figure.dpi / 72
    place = None
    for y, name, colour, x in sorted(ends):
        wanted = axis.transData.transform((x, y))[1]
        place = wanted if place is None else max(wanted, place + gap)
        offset = (place - wanted) * 72 / axis.figure.dpi
        axis.annotate(
            name, (x, y), xytext=(7, offset), textcoords="offset points", color=colour, va="center", fontsize=10,
            fontweight="bold" if name == LINES[0][0] else "normal",
        )


if __name__ == "__main__":
    main()
