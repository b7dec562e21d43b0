#!/usr/bin/env python3
"""PyTorch's side of the benchmark, see worker.py: nchw|nhwc|compiled THREADS."""
import sys

import torch
from torch import nn

from twins import MiniXception, SpectrumModule, batch_norm
from worker import Missing, serve

VARIANT, THREADS = sys.argv[1], int(sys.argv[2])
FORMAT = torch.contiguous_format if VARIANT == "nchw" else torch.channels_last


def random(*shape):
    return torch.randn(*shape).contiguous(memory_format=FORMAT)


def conv(request):
    """One 3x3 convolution and its two gradients."""
    if VARIANT == "compiled":
        raise Missing("a single convolution is one library call, compiled or not")
    shape = request.batch, request.channels, request.side, request.side
    x, grad_y = random(*shape), random(*shape)
    weights = random(request.channels, request.channels // request.segments, 3, 3)

    def backward(*outputs):
        torch.ops.aten.convolution_backward(
            grad_y, x, weights, None, [1, 1], [1, 1], [1, 1], False, [0, 0], request.segments, [*outputs, False]
        )

    return {
        "forward": lambda: nn.functional.conv2d(x, weights, padding=1, groups=request.segments),
        "input": lambda: backward(True, False),
        "weights": lambda: backward(False, True),
    }


class Chain(nn.Module):
    """A batch norm, modules one after the other, and the mean of each channel."""

    def __init__(self, channels, modules, segments):
        super().__init__()
        chain = [SpectrumModule(channels, channels, segments) for _ in range(modules)]
        self.layers = nn.Sequential(batch_norm(channels), *chain)

    def forward(self, x):
        return self.layers(x).mean((2, 3))


def executable(network):
    return torch.compile(network) if VARIANT == "compiled" else network


def warmed(run):
    """`run`, called once where that compiles it, which takes longer than any run."""
    if VARIANT == "compiled":
        run()
    return run


def facts_of(network):
    return {"parameters": sum(values.numel() for values in network.parameters())}


def training(network, images, classes, rate=None):
    """A function that does both passes, and with a learning rate also SGD with
    momentum."""
    network.to(memory_format=FORMAT).train()
    # `fused` is its fastest form.
    optimizer = torch.optim.SGD(network.parameters(), lr=rate or 0.0, momentum=0.9, fused=True)
    labels = torch.arange(len(images)) % classes
    forward = executable(network)

    def run():
        optimizer.zero_grad()
        nn.functional.cross_entropy(forward(images), labels).backward()
        if rate:
            optimizer.step()

    return {"step" if rate else "passes": warmed(run)}, facts_of(network)


def xception():
    """timm's."""
    import timm

    return timm.create_model("legacy_xception", pretrained=False)


def inference(request):
    """A forward pass of Xception."""
    network = xception().eval().to(memory_format=FORMAT)
    images = random(request.batch, request.network.image, request.side, request.side)
    forward = executable(network)

    def run():
        with torch.inference_mode():
            forward(images)

    return {"forward": warmed(run)}, facts_of(network)


def prepare(request):
    torch.manual_seed(0)
    torch.compiler.reset()
    if request.work == "forward":
        return inference(request)
    if request.work == "conv":
        return conv(request), {}
    if request.work == "xception":
        images = random(request.batch, request.network.image, request.side, request.side)
        return training(xception(), images, 1000, rate=0.01)
    if request.work == "module":
        images = random(request.batch, request.channels, request.side, request.side)
        return training(Chain(request.channels, request.chain, request.segments), images, request.channels)
    sizes = request.network
    images = random(request.batch, sizes.image, request.side, request.side)
    network = MiniXception(
        request.segments, sizes.image, sizes.classes, sizes.stem, sizes.entry, sizes.middle, sizes.modules, sizes.exit
    )
    return training(network, images, sizes.classes, rate=0.01)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    serve("PyTorch", torch.__version__, prepare)
