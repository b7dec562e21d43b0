#!/usr/bin/env python3
"""Prints the values that crates/reporting/tests/statistics.rs checks its formulas against.

    pip install numpy scipy statsmodels pandas
    tools/statistics-fixtures.py > crates/reporting/tests/fixtures/statistics.json

Each value comes from scipy, statsmodels, numpy's least squares or from counting every resample, never from our
code.
"""
import itertools
import json

import numpy
import pandas
import scipy
import statsmodels
from scipy import optimize, stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired


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
            "p": test.pvalue,
            "margin": 0.006,
            "equivalence_p": ttost_paired(numpy.array(a), numpy.array(b), -0.006, 0.006)[0],
            "equivalence_margin": max(abs(end) for end in test.confidence_interval(0.90)),
        }
    ]


def corrected():
    lists = [[0.01, 0.04, 0.03, 0.005], [0.5, 0.6], [0.02], [0.001, 0.001, 0.2, 0.9, 0.04, 0.012]]
    return [{"p": p, "holm": list(multipletests(p, method="holm")[1])} for p in lists]


def bootstraps():
    """BCa by counting every resample; scipy draws them, so it only agrees up to its scatter."""
    found = []
    for values in [[0.879, 0.882, 0.871, 0.8835], [0.9, 0.91, 0.87, 0.885, 0.861, 0.897, 0.92]]:
        x, n = numpy.array(values), len(values)
        means = numpy.array([x[list(draw)].mean() for draw in itertools.product(range(n), repeat=n)])
        means.sort()
        equal = numpy.abs(means - x.mean()) < 1e-12
        below = (means < x.mean() - 1e-12).mean() + equal.mean() / 2
        jack = numpy.array([numpy.delete(x, i).mean() for i in range(n)])
        u = jack.mean() - jack
        a = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
        z0 = stats.norm.ppf(below)
        ends = []
        for z in stats.norm.ppf([0.025, 0.975]):
            share = stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))
            ends.append(means[int(numpy.ceil(share * len(means) - 1e-9)) - 1])
        drawn = stats.bootstrap((x,), numpy.mean, n_resamples=99_999, method="BCa", rng=1).confidence_interval
        assert numpy.allclose(ends, [drawn.low, drawn.high], atol=2e-3), (ends, drawn)
        found.append({"values": values, "interval": ends, "drawn": [drawn.low, drawn.high]})
    return found


def interactions():
    """Three by two points over four seeds: analysis of variance with the seeds as blocks."""
    cells = [
        [[0.871, 0.874, 0.869, 0.875], [0.869, 0.870, 0.868, 0.871]],
        [[0.881, 0.886, 0.880, 0.884], [0.876, 0.879, 0.874, 0.880]],
        [[0.889, 0.893, 0.888, 0.891], [0.878, 0.884, 0.879, 0.881]],
    ]
    rows = [
        {"a": i, "b": j, "seed": k, "y": y}
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        for k, y in enumerate(cell)
    ]
    table = anova_lm(ols("y ~ C(a) * C(b) + C(seed)", pandas.DataFrame(rows)).fit(), typ=2)
    found = table.loc["C(a):C(b)"]
    return [
        {
            "cells": cells,
            "f": found["F"],
            "numerator_df": int(found["df"]),
            "denominator_df": int(table.loc["Residual", "df"]),
            "p": found["PR(>F)"],
        }
    ]


def seeds():
    """Two points: a paired t test, so that statsmodels' power applies as it is."""
    found = []
    for sd, difference, alpha, chance in [(0.004, 0.005, 0.05, 0.8), (0.004, 0.002, 0.05, 0.8), (0.003, 0.004, 0.01, 0.9)]:
        effect = difference / (sd * 2**0.5)
        n = next(n for n in range(2, 10_000) if TTestPower().power(effect, n, alpha) >= chance)
        found.append(
            {
                "residual_sd": sd,
                "difference": difference,
                "confidence": 1 - alpha,
                "chance": chance,
                "power_of_ten": float(TTestPower().power(effect, 10, alpha)),
                "seeds": n,
            }
        )
    return found


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
            "made_with": f"numpy {numpy.__version__}, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
            "samples": samples(),
            "pairs": pairs(),
            "residuals": residuals(),
            "best": best(),
            "detectable": detectable(),
            "corrected": corrected(),
            "bootstraps": bootstraps(),
            "interactions": interactions(),
            "seeds": seeds(),
        },
        indent=1,
    )
)
