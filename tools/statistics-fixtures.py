#!/usr/bin/env python3
"""Prints the values that crates/reporting/tests/statistics.rs checks its formulas against.

    pip install numpy scipy statsmodels pandas scikit-learn
    tools/statistics-fixtures.py > crates/reporting/tests/fixtures/statistics.json

Each value comes from scipy, statsmodels, scikit-learn or plain matrices of numpy, never from our code.
"""
import itertools
import json
import warnings

import numpy
import scipy
import statsmodels
from scipy import interpolate, optimize, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower

# Points as they occur: alike, and with one that scatters ten times as much.
GROUPS = [
    [[0.879, 0.882, 0.871], [0.885, 0.888, 0.882], [0.892, 0.889, 0.884], [0.891, 0.893, 0.88]],
    [[0.71, 0.69, 0.735, 0.702], [0.771, 0.772, 0.769, 0.7735], [0.7742, 0.7731, 0.7752], [0.768, 0.7702]],
    [[0.5, 0.6], [0.55, 0.56]],
]


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


def differences():
    """Welch's test of every pair."""
    found = []
    for group in GROUPS:
        for a, b in itertools.combinations(group, 2):
            test = stats.ttest_ind(a, b, equal_var=False)
            ci = test.confidence_interval(0.95)
            found.append(
                {"a": a, "b": b, "df": test.df, "p": test.pvalue, "interval": [ci.low, ci.high]}
            )
    return found


def ranges():
    """The distribution of the studentized range. scipy's integral gives way at one degree of freedom far out."""
    found = []
    for k, df in [(2, 1.0), (2, 3.5), (3, 2.0), (4, 12.0), (5, 1.3), (9, 27.0), (10, 1.0), (10, 3.3), (10, 200.0)]:
        q = stats.studentized_range.ppf(0.95, k, df)
        found.append({"k": k, "df": df, "quantile": q, "at": [0.5, 2.0, 4.5], "tail": [stats.studentized_range.sf(x, k, df) for x in (0.5, 2.0, 4.5)]})
    return found


def all_pairs():
    """Tukey-Kramer and Games-Howell from their formulas with scipy's distribution, the former also from scipy.

    The second has the geometric mean of Satterthwaite's and the fewest degrees of freedom.
    """
    found = []
    for group in GROUPS:
        k = len(group)
        n = [len(values) for values in group]
        mean = [numpy.mean(values) for values in group]
        var = [numpy.var(values, ddof=1) for values in group]
        freedom = sum(n) - k
        pooled = sum((m - 1) * v for m, v in zip(n, var)) / freedom
        scipys = stats.tukey_hsd(*group)
        pairs = []
        for i, j in itertools.combinations(range(k), 2):
            shared = numpy.sqrt(pooled * (1 / n[i] + 1 / n[j]))
            parts = var[i] / n[i], var[j] / n[j]
            own = numpy.sqrt(sum(parts))
            welch = sum(parts) ** 2 / (parts[0] ** 2 / (n[i] - 1) + parts[1] ** 2 / (n[j] - 1))
            assert numpy.isclose(welch, stats.ttest_ind(group[i], group[j], equal_var=False).df)
            cautious = numpy.sqrt(welch * (min(n[i], n[j]) - 1))
            d = mean[i] - mean[j]
            p = stats.studentized_range.sf(2**0.5 * abs(d) / shared, k, freedom)
            assert numpy.isclose(p, scipys.pvalue[i, j], atol=1e-9)
            ppf = stats.studentized_range.ppf
            half = max(ppf(0.95, k, freedom) * shared, ppf(0.95, k, cautious) * own) / 2**0.5
            pairs.append({"a": i, "b": j, "difference": d, "half": half})
        found.append({"groups": group, "pairs": pairs})
    return found


def equivalences():
    """Two one-sided tests with the degrees of freedom that the others have."""
    found = []
    for a, b in [(GROUPS[0][2], GROUPS[0][3]), (GROUPS[1][1], GROUPS[1][2])]:
        test = stats.ttest_ind(a, b, equal_var=False)
        df = numpy.sqrt(test.df * (min(len(a), len(b)) - 1))
        d = numpy.mean(a) - numpy.mean(b)
        error = numpy.sqrt(numpy.var(a, ddof=1) / len(a) + numpy.var(b, ddof=1) / len(b))
        margin = 0.01
        p = max(stats.t.sf((d + margin) / error, df), stats.t.cdf((d - margin) / error, df))
        found.append({"a": a, "b": b, "margin": margin, "p": p, "least": abs(d) + stats.t.ppf(0.95, df) * error})
    return found


def corrected():
    lists = [[0.01, 0.04, 0.03, 0.005], [0.5, 0.6], [0.02], [0.001, 0.001, 0.2, 0.9, 0.04, 0.012]]
    return [{"p": p, "holm": list(multipletests(p, method="holm")[1])} for p in lists]


def interactions():
    """The ANOVA-type statistic from its definition with Kronecker products."""
    cells = [
        [[0.871, 0.874, 0.869, 0.875], [0.869, 0.870, 0.868, 0.871]],
        [[0.881, 0.886, 0.880, 0.884], [0.876, 0.879, 0.874]],
        [[0.889, 0.893, 0.838, 0.891], [0.878, 0.884, 0.879, 0.881]],
    ]
    a, b = len(cells), len(cells[0])
    flat = [cell for row in cells for cell in row]
    y = numpy.array([numpy.mean(cell) for cell in flat])
    s = numpy.diag([numpy.var(cell, ddof=1) / len(cell) for cell in flat])
    freedom = numpy.diag([1 / (len(cell) - 1) for cell in flat])
    t = numpy.kron(numpy.eye(a) - numpy.ones((a, a)) / a, numpy.eye(b) - numpy.ones((b, b)) / b)
    d = numpy.diag(numpy.diag(t))
    f = y @ t @ y / numpy.trace(t @ s)
    df1 = numpy.trace(d @ s) ** 2 / numpy.trace(t @ s @ t @ s)
    df2 = numpy.trace(d @ s) ** 2 / numpy.trace(d @ d @ s @ s @ freedom)
    return [{"cells": cells, "f": f, "numerator_df": df1, "denominator_df": df2, "p": stats.f.sf(f, df1, df2)}]


def seeds():
    """Two points of equal spread: a two-sample t test, so that statsmodels' power applies as it is."""
    found = []
    for sd, difference, alpha, chance in [(0.004, 0.005, 0.05, 0.8), (0.004, 0.002, 0.05, 0.8), (0.003, 0.004, 0.01, 0.9)]:
        power = lambda n: float(TTestIndPower().power(difference / sd, n, alpha))
        n = next(n for n in range(2, 10_000) if power(n) >= chance)
        found.append({"sd": sd, "difference": difference, "confidence": 1 - alpha, "chance": chance, "power_of_ten": power(10), "seeds": n})
    return found


def detectable():
    found = []
    for sds, n, confidence in [((0.004, 0.004), 3, 0.95), ((0.004, 0.012), 4, 0.99), ((0.01, 0.001), 8, 0.95)]:
        a, b = sds[0] ** 2, sds[1] ** 2
        df = (a + b) ** 2 / (a * a + b * b) * (n - 1)
        t = stats.t.ppf(0.5 + confidence / 2, df)
        # The far tail underflows to NaN for large shifts, where it is nothing.
        power = lambda shift: stats.nct.sf(t, df, shift) + numpy.nan_to_num(stats.nct.cdf(-t, df, shift))
        shift = optimize.brentq(lambda x: power(x) - 0.8, 1e-3, 30.0, xtol=1e-12)
        found.append({"sds": sds, "seeds": n, "confidence": confidence, "difference": shift * numpy.sqrt((a + b) / n)})
    return found


def wiener(s, t):
    low, high = numpy.minimum(s, t), numpy.maximum(s, t)
    return low**2 * (3 * high - low) / 6


def smooth():
    """A curve at a given bend is scipy's smoothing spline; its covariance comes from the matrices of natural splines
    (P. J. Green and B. W. Silverman, 1994, section 2.3), and the likelihood from contrasts that the line has no part in."""
    x = numpy.array([0.0, 0.6931, 1.3863, 2.0794, 2.7726, 4.1589])
    y = numpy.array([0.771, 0.7745, 0.773, 0.766, 0.751, 0.694])
    error = numpy.array([0.002, 0.003, 0.0025, 0.002, 0.003, 0.006]) ** 2
    place = (x - x[0]) / (x[-1] - x[0])
    n = len(x)
    h = numpy.diff(place)
    q, r = numpy.zeros((n, n - 2)), numpy.zeros((n - 2, n - 2))
    for j in range(n - 2):
        q[j : j + 3, j] = [1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]]
        r[j, j] = (h[j] + h[j + 1]) / 3
        if j + 1 < n - 2:
            r[j, j + 1] = r[j + 1, j] = h[j + 1] / 6
    penalty = q @ numpy.linalg.solve(r, q.T)
    line = numpy.column_stack([numpy.ones(n), place])
    contrasts = numpy.linalg.svd(line)[0][:, 2:]

    def likelihood(bend):
        v = contrasts.T @ (numpy.diag(error) + bend * wiener(place[:, None], place[None, :])) @ contrasts
        z = contrasts.T @ y
        rest = z @ numpy.linalg.solve(v, z) + numpy.linalg.slogdet(line.T @ line)[1]
        return -0.5 * (numpy.linalg.slogdet(v)[1] + rest)

    found = optimize.minimize_scalar(lambda log: -likelihood(numpy.exp(log)), bounds=(-20, 5), method="bounded", options={"xatol": 1e-9})
    bend = 0.05
    spline = interpolate.make_smoothing_spline(place, y, w=1 / error, lam=1 / bend)
    covariance = numpy.linalg.inv(numpy.diag(1 / error) + penalty / bend)
    at = [0.3, 1.0, 3.0]
    shaped = shape_fixture()
    return {
        "x": list(x), "y": list(y), "squared_error": list(error), "bend": bend,
        "at": at, "mean": [float(spline((a - x[0]) / (x[-1] - x[0]))) for a in at],
        "sd": list(numpy.sqrt(numpy.diag(covariance))), "log_likelihood": likelihood(bend),
        "best_bend": float(numpy.exp(found.x)), "shaped": shaped,
    }


def shape_fixture():
    """Curves whose shape changes with one more quantity, each at a level of its own: a Gaussian process with all but
    flat priors on levels and slopes. The levels lie on no straight line, as accuracies of growing networks do not."""
    rng = numpy.random.default_rng(3)
    x = numpy.tile(numpy.array([0.0, 1.0, 2.0, 3.0, 4.0]), 3)
    z = numpy.repeat([9.7, 11.1, 12.5], 5)
    y = numpy.repeat([0.66, 0.71, 0.73], 5) - 0.01 * (x / 4 - 0.2 - 0.15 * (z - 11)) ** 2 + 0.001 * rng.standard_normal(15)
    error = numpy.full(15, 0.001**2)
    bends = [0.03, 0.01]
    new = (2.5, 12.5)
    centre = z.mean()
    slopes = lambda x, z: numpy.array([x / 4, (z - centre) * x / 4])
    flat = lambda x, z, u, v: 1e4 * ((z == v) + slopes(x, z) @ slopes(u, v))
    kernel = lambda x, z, u, v: wiener(x / 4, u / 4) * (bends[0] + bends[1] * (z - centre) * (v - centre)) + flat(x, z, u, v)
    k = numpy.array([[kernel(a, b, c, d) for c, d in zip(x, z)] for a, b in zip(x, z)]) + numpy.diag(error)
    reach = numpy.array([kernel(*new, c, d) for c, d in zip(x, z)])
    solved = numpy.linalg.solve(k, numpy.column_stack([y, reach]))
    return {
        "x": list(x), "z": list(z), "y": list(y), "squared_error": list(error), "bends": bends, "at": new,
        "mean": reach @ solved[:, 0], "sd": numpy.sqrt(kernel(*new, *new) - reach @ solved[:, 1]),
    }


def scaling():
    sizes = numpy.array([17e3, 67e3, 268e3, 1.07e6])
    samples = [[0.42, 0.425, 0.418], [0.331, 0.329, 0.335], [0.268, 0.262, 0.265], [0.22, 0.2215, 0.219]]
    mean = [numpy.mean(v) for v in samples]
    error = [stats.sem(v) for v in samples]
    law = lambda p, c, a, alpha: c + a * (p / sizes[0]) ** -alpha
    found, _ = optimize.curve_fit(law, sizes, mean, p0=[0.1, 0.3, 0.4], sigma=error, xtol=1e-12, ftol=1e-12)
    return {"sizes": list(sizes), "samples": samples, "floor": found[0], "above": found[1], "exponent": found[2]}


warnings.simplefilter("ignore")
print(
    json.dumps(
        {
            "made_with": f"numpy {numpy.__version__}, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
            "samples": samples(),
            "differences": differences(),
            "ranges": ranges(),
            "all_pairs": all_pairs(),
            "equivalences": equivalences(),
            "corrected": corrected(),
            "interactions": interactions(),
            "seeds": seeds(),
            "detectable": detectable(),
            "smooth": smooth(),
            "scaling": scaling(),
        },
        indent=1,
    )
)
