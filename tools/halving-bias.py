#!/usr/bin/env python3
"""How often successive halving would have dropped the best of recorded runs, by where its rung stands.

    tools/halving-bias.py results/weight-decay training.weight-decay

A cell is a point with a seed; its candidates are the values of the axis. At a rung the better half by validation
log-loss stays (the larger half of an odd number). Needs nothing but Python.
"""
import csv
import pathlib
import sys


def curve(run):
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    return [float(row.get("averaged_validation_loss") or row["validation_loss"]) for row in rows]


def cells(results, axis):
    found = {}
    for run in sorted((pathlib.Path(results) / "runs").iterdir()):
        if not (run / "status.json").exists():
            continue
        name = run.name.rsplit("-", 1)[0]
        parts = dict(part.split("=", 1) for part in name.split(","))
        value = parts.pop(axis)
        found.setdefault(tuple(parts.items()), {})[value] = curve(run)
    return [cell for cell in found.values() if len(cell) > 1]


def main(results, axis):
    all_cells = cells(results, axis)
    epochs = len(next(iter(all_cells[0].values())))
    print(f"{len(all_cells)} cells of {len(all_cells[0])} candidates, {epochs} epochs")
    print("after | best dropped | log-loss added, mean")
    for rung in range(1, epochs):
        dropped, lost = 0, 0.0
        for cell in all_cells:
            best = min(cell, key=lambda value: cell[value][-1])
            kept = sorted(cell, key=lambda value: cell[value][rung - 1])[: (len(cell) + 1) // 2]
            dropped += best not in kept
            lost += min(cell[value][-1] for value in kept) - cell[best][-1]
        print(f"{rung:5} | {dropped:4} of {len(all_cells)} | {lost / len(all_cells):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
