"""Makes crates/training/tests/fixtures/ranking.json: average precisions by scikit-learn.

    python3 -m venv target/ranking && target/ranking/bin/pip install scikit-learn==1.8.0
    target/ranking/bin/python tools/ranking-fixtures.py

`map_at_100` is put together from scikit-learn's precision_recall_curve: the precision at the
threshold of each label of an image, which counts equal scores together. For up to a hundred
classes of one weight the script compares it with label_ranking_average_precision_score.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import label_ranking_average_precision_score, precision_recall_curve

COUNTED = 100


def of_image(scores, truth, weights):
    labels = np.flatnonzero(truth)
    attainable = np.sort(weights[labels])[::-1][:COUNTED].sum()
    if attainable == 0:
        return None
    precision, _, thresholds = precision_recall_curve(truth, scores)
    found = 0.0
    for label in labels:
        if (scores >= scores[label]).sum() <= COUNTED:
            found += weights[label] * precision[np.searchsorted(thresholds, scores[label])]
    return found / attainable


def case(name, rng, images, classes, labels, weighted=False, levels=None):
    scores = rng.normal(size=(images, classes)).astype(np.float32)
    if levels:
        scores = np.round(scores * levels) / levels
    truth = rng.random((images, classes)) < labels / classes
    # Where labels are, scores are a little higher, so that precisions are not all near zero.
    scores = (scores + truth).astype(np.float32)
    weights = rng.pareto(1.0, classes) if weighted else np.ones(classes)
    each = [of_image(s.astype(np.float64), t, weights) for s, t in zip(scores, truth)]
    counted = [value for value in each if value is not None]
    if classes <= COUNTED and not weighted:
        has_labels = truth.any(axis=1)
        expected = label_ranking_average_precision_score(truth[has_labels], scores[has_labels])
        assert abs(expected - np.mean(counted)) < 1e-12, name
    return {
        "name": name,
        "scores": [[float(value) for value in row] for row in scores],
        "labels": [[int(label) for label in np.flatnonzero(row)] for row in truth],
        "weights": [float(weight) for weight in weights] if weighted else None,
        "each": each,
        "mean": float(np.mean(counted)),
    }


rng = np.random.default_rng(0)
cases = [
    case("fewer than a hundred classes", rng, 12, 20, 4),
    case("equal scores", rng, 12, 30, 5, levels=2),
    case("some images without a label", rng, 12, 8, 1),
    case("more than a hundred classes", rng, 8, 250, 12),
    case("weighted classes", rng, 8, 250, 12, weighted=True),
    case("weights, equal scores and more labels than count", rng, 3, 300, 140, weighted=True, levels=4),
]
target = Path(__file__).parent.parent / "crates/training/tests/fixtures/ranking.json"
target.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
