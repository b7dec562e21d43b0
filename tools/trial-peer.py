#!/usr/bin/env python3
"""Training images a second of PyTorch on the networks of an ablation, one thread.

    tools/trial-peer.py SEGMENTS VARIANT WIDTHS SIDE CHANNELS SECONDS
    tools/trial-peer.py 3 cl '(9, (9, 17, 34), 71, 2, 3)' 28 1 4

SEGMENTS is a number, or C for one a channel; VARIANT is nchw, cl (channels last),
compile or cl-compile; WIDTHS are the channels of stem, entry stages and exit, then
middle blocks and modules a block, as `decouple describe` shows them. The batch of 64
lies in memory; what is timed is a whole step of SGD with momentum. Prints the lower
quartile and the median.
"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

BATCH = 64
torch.set_num_threads(1)
segments, variant = sys.argv[1:3]
stem, entry, exit_channels, middle, modules = eval(sys.argv[3])
side, channels, seconds = int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])


class Module(nn.Module):
    """1x1, then 3x3 over segments: uneven ones as two grouped convolutions, over the larger and the smaller."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        count = outputs if segments == "C" else min(int(segments), outputs)
        base, larger = divmod(outputs, count)
        self.cut = larger * (base + 1)
        self.larger = None
        if larger:
            self.larger = nn.Conv2d(self.cut, self.cut, 3, padding=1, groups=larger, bias=False)
        rest = outputs - self.cut
        self.smaller = nn.Conv2d(rest, rest, 3, padding=1, groups=count - larger, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = self.pointwise(x)
        if self.larger is None:
            return self.norm(self.smaller(x))
        parts = [self.larger(x[:, : self.cut]), self.smaller(x[:, self.cut :])]
        return self.norm(torch.cat(parts, 1))


def halving(inputs, outputs, first):
    skip = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
    return nn.ModuleList([Module(inputs, first), Module(first, outputs), skip, nn.BatchNorm2d(outputs)])


def pool(x):
    """Keras' "same" maximum, 3x3 at stride 2."""
    padding = 1 if x.shape[-1] % 2 == 0 else 2
    before, after = padding // 2, padding - padding // 2
    return F.max_pool2d(F.pad(x, (before, after, before, after), value=float("-inf")), 3, 2)


class Network(nn.Module):
    """mini-xception."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem)
        widths = [stem, *entry]
        self.entry = nn.ModuleList(halving(a, b, b) for a, b in zip(widths, entry))
        last = widths[-1]
        block = lambda: nn.ModuleList(Module(last, last) for _ in range(modules))
        self.middle = nn.ModuleList(block() for _ in range(middle))
        self.exit = halving(last, exit_channels, last)
        self.logits = nn.Linear(exit_channels, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        for stage, (first, second, skip, norm) in enumerate(self.entry):
            y = second(F.relu(first(x if stage == 0 else F.relu(x))))
            x = pool(y) + norm(skip(x))
        for block in self.middle:
            y = x
            for module in block:
                y = module(F.relu(y))
            x = x + y
        first, second, skip, norm = self.exit
        x = pool(second(F.relu(first(F.relu(x))))) + norm(skip(x))
        return self.logits(F.relu(x).mean((2, 3)))


network = Network()
x, y = torch.randn(BATCH, channels, side, side), torch.randint(0, 10, (BATCH,))
if "cl" in variant.split("-"):
    network, x = network.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
forward = torch.compile(network) if "compile" in variant else network
optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)


def step():
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(forward(x), y).backward()
    optimizer.step()


for _ in range(4):
    step()
times, began = [], time.perf_counter()
while time.perf_counter() - began < seconds:
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
times.sort()
quartile, median = BATCH / times[len(times) // 4], BATCH / times[len(times) // 2]
parameters = sum(parameter.numel() for parameter in network.parameters())
print(f"{segments} {variant}: {parameters} parameters, {quartile:.0f} images/s (median {median:.0f})")
