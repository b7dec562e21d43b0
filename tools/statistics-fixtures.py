#!/usr/bin/env python3
"""Prints the values that crates/reporting/tests/statistics.rs checks its formulas against.

    pip install numpy scipy
    tools/statistics-fixtures.py > crates/reporting/tests/fixtures/statistics.json

Each value comes from scipy, from numpy's least squares or from counting every resample, never from our code.
"""
import itertools
import json

import numpy
import scipy
from scipy import optimize, stats


def interval(values, confidence):
    n = len(values)
    return list(stats.t.interval(confidence, n - 1, loc=numpy.mean(values), scale=stats.sem(values)))


def samples():
    lists = [[0.879, 0.882], [0.879, 0.882, 0.871], [0.9, 0.9, 0.9, 0.91, 0.87, 0.885, 0.9, 0.861]]
    return [
        {"values": v, "mean": numpy.mean(v), "sd": numpy.std(v, ddof=1), "confidence": c, "interval": interval(v, c)}
        for v in lists
        for c in (0.95, 0.99)
    ]


def pairs():
    a = [0.8915, 0.887, 0.894, 0.8885, 0.8905]
    b = [0.889, 0.8835, 0.8945, 0.884, 0.8865]
    test = stats.ttest_rel(a, b)
    ci = test.confidence_interval(0.95)
    difference = numpy.subtract(a, b)
    return [
        {
            "a": a,
            "b": b,
            "mean": numpy.mean(difference),
            "sd": numpy.std(difference, ddof=1),
            "interval": [ci.low, ci.high],
            "correlation": stats.pearsonr(a, b).statistic,
        }
    ]


TABLES = [
    [[0.879, 0.882, 0.871], [0.885, 0.888, 0.882], [0.892, 0.889, 0.884], [0.891, 0.893, 0.88]],
    [[0.879, None, 0.871, 0.874], [0.885, 0.888, None, 0.879], [None, 0.889, 0.884, 0.881]],
    # Two parts that share no seed.
    [[0.87, 0.88, None, None], [0.86, 0.89, None, None], [None, None, 0.81, 0.83], [None, None, 0.80, 0.835]],
]


def residuals():
    """The additive model value = point + seed, by least squares on indicator columns."""
    found = []
    for table in TABLES:
        rows, values = [], []
        for point, row in enumerate(table):
            for seed, value in enumerate(row):
                if value is not None:
                    design = [0.0] * (len(table) + len(row))
                    design[point] = design[len(table) + seed] = 1.0
                    rows.append(design)
                    values.append(value)
        fit, _, rank, _ = numpy.linalg.lstsq(numpy.array(rows), numpy.array(values), rcond=None)
        rest = numpy.array(values) - numpy.array(rows) @ fit
        df = len(values) - int(rank)
        found.append({"table": table, "sd": float(numpy.sqrt(rest @ rest / df)), "degrees_of_freedom": df})
    return found


def best():
    """Every one of the n^n resamples of the seeds, ties shared."""
    table = numpy.array(TABLES[0])
    wins = numpy.zeros(len(table))
    for draw in itertools.product(range(table.shape[1]), repeat=table.shape[1]):
        means = table[:, draw].mean(axis=1)
        winners = means > means.max() - 1e-12
        wins += winners / winners.sum()
    return [{"table": TABLES[0], "probability": list(wins / wins.sum())}]


def detectable():
    found = []
    for sd, pairs, df, confidence in [(0.004, 3, 2, 0.95), (0.004, 3, 10, 0.99), (0.01, 8, 56, 0.95), (0.01, 2, 1, 0.95)]:
        t = stats.t.ppf(0.5 + confidence / 2, df)
        # The far tail underflows to NaN for large shifts, where it is nothing.
        power = lambda shift: stats.nct.sf(t, df, shift) + numpy.nan_to_num(stats.nct.cdf(-t, df, shift))
        shift = optimize.brentq(lambda x: power(x) - 0.8, 1e-3, 30.0, xtol=1e-12)
        found.append(
            {
                "residual_sd": sd,
                "pairs": pairs,
                "degrees_of_freedom": df,
                "confidence": confidence,
                "difference": shift * sd * 2**0.5 / pairs**0.5,
            }
        )
    return found


print(
    json.dumps(
        {
            "made_with": f"numpy {numpy.__version__}, scipy {scipy.__version__}",
            "samples": samples(),
            "pairs": pairs(),
            "residuals": residuals(),
            "best": best(),
            "detectable": detectable(),
        },
        indent=1,
    )
)
