#!/usr/bin/env python3
"""Writes crates/training/tests/fixtures/parity.json: ten training steps of
mini-xception in PyTorch, for every optimiser and several segment counts.

    pip install numpy torch==2.15.0
    python3 tools/training-parity.py

Start values, images and labels come from `uniform`, a formula in integers that
the test repeats bit for bit, so that the fixture holds results alone: the loss
of every step, a digest of each batch norm's final running statistics, and the
loss of one more batch in inference, which those statistics decide.

Where the argument of a rectifier, or the lead of a maximum, is as small as a
rounding error, two right programs fall to different sides, and from there their
gradients differ by far more than rounding. Each case therefore has the first
seed whose run in double precision keeps a distance of `MARGIN` from every such
kink in all ten steps.
"""
import itertools
import json
import math
import pathlib
import re
import sys

import numpy as np
import torch

from made_up import uniform

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools/bench"))
from twins import MiniXception, state_by_name

# Rows and columns go 10 -> 5 -> 3 -> 2, so that the pools meet even and odd
# extents. Three segments do not divide 16 channels, eight do not divide 12.
NETWORK = {"stem": 8, "entry": [12, 16], "middle": 1, "modules": 2, "exit": 24}
SIDE, IN_C, CLASSES, BATCH, STEPS = 10, 3, 10, 8, 10
SEGMENTS = [1, 3, 8, "per-channel"]
# More segments than any layer has channels.
PER_CHANNEL = 1 << 20
SMOOTHING, DECAY = 0.1, 0.01
MARGIN = 2e-5


class TensorflowRmsprop(torch.optim.Optimizer):
    """TensorFlow 1's RMSPropOptimizer: the mean square starts at one, epsilon
    stands inside the root and the learning rate inside the momentum."""

    def __init__(self, groups, lr, alpha, momentum, eps):
        super().__init__(groups, {"lr": lr, "alpha": alpha, "momentum": momentum, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for values in group["params"]:
                state = self.state[values]
                square = state.setdefault("square", torch.ones_like(values))
                velocity = state.setdefault("velocity", torch.zeros_like(values))
                gradient = values.grad + group["weight_decay"] * values
                square.mul_(group["alpha"]).add_((1 - group["alpha"]) * gradient**2)
                update = group["lr"] * gradient / (square + group["eps"]).sqrt()
                velocity.mul_(group["momentum"]).add_(update)
                values.sub_(velocity)


# Name, the program's [trial.training] keys, first learning rate, PyTorch's class and arguments.
OPTIMIZERS = [
    (
        "SGD",
        {"optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True}},
        0.05,
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    (
        "RMSprop of PyTorch",
        {"optimizer": {"kind": "rmsprop", "form": "pytorch", "decay": 0.9, "momentum": 0.9, "epsilon": 1e-3}},
        0.001,
        torch.optim.RMSprop,
        {"alpha": 0.9, "momentum": 0.9, "eps": 1e-3},
    ),
    (
        "RMSprop of TensorFlow",
        {"optimizer": {"kind": "rmsprop", "form": "tensorflow", "decay": 0.9, "momentum": 0.9, "epsilon": 1e-3}},
        0.02,
        TensorflowRmsprop,
        {"alpha": 0.9, "momentum": 0.9, "eps": 1e-3},
    ),
    (
        "AdamW",
        {
            "optimizer": {"kind": "adamw", "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-5},
            "weight-decay-kind": "decoupled",
        },
        0.003,
        torch.optim.AdamW,
        {"betas": (0.9, 0.99), "eps": 1e-5},
    ),
]


def start_values(name, count, outputs):
    """Weights have variance 2 / fan-in, the rest lies around its usual start."""
    u = uniform(name, count)
    if name.endswith(".weight"):
        fan_in = (count + outputs // 2) // outputs
        return u * math.sqrt(6.0 / fan_in)
    return 0.25 * u + (1.0 if name.endswith((".gamma", ".variance")) else 0.0)


def start(network, seed):
    """Gives every tensor its start value, in single precision also where the
    network computes in double."""
    with torch.no_grad():
        for name, tensors in state_by_name(network):
            outputs = sum(t.shape[0] for t in tensors)
            values = start_values(f"{seed} {name}", sum(t.numel() for t in tensors), outputs)
            values = torch.from_numpy(values.astype(np.float32))
            for tensor, part in zip(tensors, values.split([t.numel() for t in tensors])):
                tensor.copy_(part.view_as(tensor))


def batch(seed, step, dtype):
    """Images (the program's channels-last order, moved to PyTorch's) and labels."""
    images = uniform(f"{seed} images {step}", BATCH * SIDE * SIDE * IN_C).reshape(BATCH, SIDE, SIDE, IN_C)
    labels = (uniform(f"{seed} labels {step}", BATCH) + 1.0) * (CLASSES / 2)
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(dtype), torch.from_numpy(labels).long()


def rates(first):
    """Falling, because the two forms of RMSprop differ in how the rate enters."""
    return [first * 0.9**step for step in range(STEPS)]


class Kinks(torch.overrides.TorchFunctionMode):
    """Notes how near the arguments of rectifiers and maxima come to a kink."""

    nearest = math.inf

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function is torch.relu:
            self.note(arguments[0].detach().abs())
        elif function is torch.max_pool2d:
            x = arguments[0].detach()
            height, width = x.shape[2:]
            x = torch.nn.functional.pad(x.flatten(0, 1)[:, None], (width % 2, 1, height % 2, 1), value=-math.inf)
            first, second = torch.nn.functional.unfold(x, 3, stride=2).topk(2, 1).values.unbind(1)
            self.note(first - second)
        return function(*arguments, **(keywords or {}))

    def note(self, distances):
        self.nearest = min(self.nearest, distances.min().item())


def train(seed, segments, first, make, arguments, dtype):
    network = MiniXception(PER_CHANNEL if segments == "per-channel" else segments, IN_C, CLASSES, **NETWORK)
    network.to(dtype).train()
    start(network, seed)
    weights = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() == 1]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = make(groups, lr=first, **arguments)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    losses = []
    for step, rate in enumerate(rates(first)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        images, labels = batch(seed, step, dtype)
        optimizer.zero_grad()
        loss = loss_of(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    network.eval()
    images, labels = batch(seed, STEPS, dtype)
    with torch.no_grad():
        inference = loss_of(network(images), labels).item()
    return losses, inference, running_statistics(network)


def running_statistics(network):
    """First value and root mean square of each running mean and variance."""
    digest = {}
    for name, (tensor, *_) in state_by_name(network):
        if name.endswith((".mean", ".variance")):
            values = tensor.double()
            digest[name] = [float(f"{v.item():.8g}") for v in (values[0], values.square().mean().sqrt())]
    return digest


def case(name, training, segments, *rule):
    """The case with its first seed that keeps away from kinks."""
    for seed in itertools.count():
        with Kinks() as kinks:
            exact, _, _ = train(seed, segments, *rule, torch.float64)
        if kinks.nearest >= MARGIN:
            break
    losses, inference, statistics = train(seed, segments, *rule, torch.float32)
    apart = max(abs(a / b - 1) for a, b in zip(losses, exact))
    print(f"{name}, segments {segments}, seed {seed}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, "
          f"inference {inference:.4f}, {apart:.1e} from double precision", flush=True)
    return {
        "name": f"{name}, segments {segments}",
        "seed": seed,
        "segments": segments,
        "training": {**training, "weight-decay": DECAY, "label-smoothing": SMOOTHING},
        "rates": rates(rule[0]),
        "losses": losses,
        "inference-loss": inference,
        "running-statistics": statistics,
    }


def main():
    torch.set_num_threads(1)
    fixture = {
        "made-by": f"tools/training-parity.py with torch {torch.__version__.split('+')[0]}",
        "network": NETWORK,
        "input": [SIDE, SIDE, IN_C],
        "classes": CLASSES,
        "batch": BATCH,
        "cases": [
            case(name, training, segments, *rule)
            for name, training, *rule in OPTIMIZERS
            for segments in SEGMENTS
        ],
    }
    path = ROOT / "crates/training/tests/fixtures/parity.json"
    # A list of numbers stays on one line.
    text = re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), json.dumps(fixture, indent=1))
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
