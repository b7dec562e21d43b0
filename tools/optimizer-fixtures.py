#!/usr/bin/env python3
"""Writes crates/training/tests/fixtures/optimizers.json: what PyTorch's and
TensorFlow's own optimisers make of the same values and gradients.

    pip install numpy torch==2.15.0 tensorflow-cpu==2.21.0
    python3 tools/optimizer-fixtures.py

The learning rate changes from step to step, because that is where the two
forms of RMSprop (and of momentum) differ. Values and gradients come from a
formula, so that the fixture holds every number that the test needs.
"""
import json
import pathlib
import subprocess
import sys

import numpy as np

STEPS, LENGTH = 6, 5
RATES = [0.1, 0.1, 0.05, 0.05, 0.02, 0.01]
START = np.array([np.cos(1.0 + i) for i in range(LENGTH)], np.float32)
GRADIENTS = [np.array([np.sin(0.7 * s + 1.3 * i) for i in range(LENGTH)], np.float32) for s in range(STEPS)]


def pytorch(make):
    import torch

    values = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer, after = make([values]), []
    for rate, gradient in zip(RATES, GRADIENTS):
        for group in optimizer.param_groups:
            group["lr"] = rate
        values.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        after.append(values.detach().numpy().tolist())
    return after


def tensorflow_rmsprop(decay, momentum, epsilon):
    """TF 1's RMSPropOptimizer, the one the paper was trained with."""
    import tensorflow as tf

    values = tf.Variable(START)
    rate = tf.Variable(RATES[0])
    optimizer = tf.compat.v1.train.RMSPropOptimizer(rate, decay=decay, momentum=momentum, epsilon=epsilon)
    after = []
    for step, gradient in enumerate(GRADIENTS):
        rate.assign(RATES[step])
        optimizer.apply_gradients([(tf.constant(gradient), values)])
        after.append(values.numpy().tolist())
    return after


def sgd(momentum, nesterov, decay=0.0):
    spec = {"optimizer": {"kind": "sgd", "momentum": momentum, "nesterov": nesterov}, "weight-decay": decay}
    import torch

    made = pytorch(lambda p: torch.optim.SGD(p, lr=1.0, momentum=momentum, nesterov=nesterov, weight_decay=decay))
    return {"name": f"pytorch SGD momentum {momentum} nesterov {nesterov} decay {decay}", **spec, "after": made}


def in_a_process_of_its_own():
    """PyTorch and TensorFlow do not load into one process: each brings an LLVM."""
    made = subprocess.run([sys.executable, __file__, "--tensorflow"], check=True, capture_output=True, text=True)
    return json.loads(made.stdout)


def main():
    import torch

    tensorflow = in_a_process_of_its_own()
    rms = {"decay": 0.9, "momentum": 0.9}
    cases = [
        sgd(0.0, False),
        sgd(0.9, False),
        sgd(0.9, True),
        sgd(0.9, True, 0.01),
        {
            "name": "pytorch RMSprop",
            "optimizer": {"kind": "rmsprop", "form": "pytorch", **rms, "epsilon": 1e-3},
            "weight-decay": 0.01,
            "after": pytorch(
                lambda p: torch.optim.RMSprop(p, lr=1.0, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=0.01)
            ),
        },
        {
            "name": "tensorflow RMSPropOptimizer",
            "optimizer": {"kind": "rmsprop", "form": "tensorflow", **rms, "epsilon": 1e-3},
            "weight-decay": 0.0,
            "after": tensorflow["after"],
        },
        {
            "name": "pytorch AdamW",
            "optimizer": {"kind": "adamw", "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-6},
            "weight-decay": 0.1,
            "weight-decay-kind": "decoupled",
            "after": pytorch(
                lambda p: torch.optim.AdamW(p, lr=1.0, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1)
            ),
        },
    ]
    fixture = {
        "made-by": f"tools/optimizer-fixtures.py with torch {torch.__version__.split('+')[0]}, tensorflow {tensorflow['version']}",
        "start": START.tolist(),
        "rates": RATES,
        "gradients": [g.tolist() for g in GRADIENTS],
        "cases": cases,
    }
    root = pathlib.Path(__file__).resolve().parent.parent
    path = root / "crates/training/tests/fixtures/optimizers.json"
    path.write_text(json.dumps(fixture, indent=1) + "\n")


if __name__ == "__main__":
    if "--tensorflow" in sys.argv:
        import tensorflow

        print(json.dumps({"version": tensorflow.__version__, "after": tensorflow_rmsprop(0.9, 0.9, 1e-3)}))
    else:
        main()
