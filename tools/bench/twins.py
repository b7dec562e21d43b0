"""PyTorch twins of this program's networks, equal to the last parameter.

`MiniXception` has the layers of crates/spectrum/src/networks/mini_xception.rs
under the same names, and `state_by_name` lists its state under the names that
the program gives (`entry.0.module0.spatial.weight`, `stem.norm.mean`).

    pip install torch==2.15.0
"""
import torch
from torch import nn

BATCH_NORM = {"eps": 1e-3, "momentum": 0.1}
# The program's word for what PyTorch calls it.
BATCH_NORM_NAMES = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


def batch_norm(channels):
    return nn.BatchNorm2d(channels, **BATCH_NORM)


class SegmentedConv(nn.Module):
    """A convolution over `segments` segments of sizes that differ by at most
    one, larger ones first: at most two grouped convolutions, side by side.

    More segments than channels mean one a channel."""

    def __init__(self, channels, segments, kernel=3):
        super().__init__()
        segments = min(segments, channels)
        size, larger = divmod(channels, segments)
        groups = [(size + 1, larger), (size, segments - larger)]
        self.parts = nn.ModuleList(
            nn.Conv2d(size * count, size * count, kernel, padding=kernel // 2, groups=count, bias=False)
            for size, count in groups
            if count > 0
        )

    def forward(self, x):
        if len(self.parts) == 1:
            return self.parts[0](x)
        first = self.parts[0].in_channels
        return torch.cat([self.parts[0](x[:, :first]), self.parts[1](x[:, first:])], 1)


class SpectrumModule(nn.Module):
    """[ReLU,] 1x1, 3x3 over segments, batch norm."""

    def __init__(self, in_c, out_c, segments, relu=True):
        super().__init__()
        self.relu = relu
        self.pointwise = nn.Conv2d(in_c, out_c, 1, bias=False)
        self.spatial = SegmentedConv(out_c, segments)
        self.norm = batch_norm(out_c)

    def forward(self, x):
        x = torch.relu(x) if self.relu else x
        return self.norm(self.spatial(self.pointwise(x)))


class ConvNorm(nn.Module):
    """A convolution without bias and its batch norm."""

    def __init__(self, in_c, out_c, kernel, stride):
        super().__init__()
        self.conv = nn.Conv2d(in_c, out_c, kernel, stride, kernel // 2, bias=False)
        self.norm = batch_norm(out_c)

    def forward(self, x):
        return self.norm(self.conv(x))


def halve(x):
    """Max pool 3x3/2 padded as Keras' "same": an even extent gets its one row
    or column of padding at the far side, which is what `ceil_mode` adds."""
    height, width = x.shape[2:]
    return nn.functional.max_pool2d(x, 3, 2, (height % 2, width % 2), ceil_mode=True)


class Flow(nn.Module):
    """Two modules, halved, plus the strided skip: an entry stage or the exit."""

    def __init__(self, in_c, mid_c, out_c, segments, relu=True):
        super().__init__()
        self.module0 = SpectrumModule(in_c, mid_c, segments, relu)
        self.module1 = SpectrumModule(mid_c, out_c, segments)
        self.skip = ConvNorm(in_c, out_c, 1, 2)

    def forward(self, x):
        return halve(self.module1(self.module0(x))) + self.skip(x)


class MiddleBlock(nn.Module):
    def __init__(self, channels, modules, segments):
        super().__init__()
        for index in range(modules):
            self.add_module(f"module{index}", SpectrumModule(channels, channels, segments))

    def forward(self, x):
        y = x
        for module in self.children():
            y = module(y)
        return y + x


class MiniXception(nn.Module):
    """The graph of `NetworkSpec` with its defaults for order, activation, norm
    and residual connections. Images are (n, c, h, w), at least 2x2 pixels
    before every halving."""

    def __init__(self, segments, in_c, classes, stem, entry, middle, modules, exit):
        super().__init__()
        self.stem = ConvNorm(in_c, stem, 3, 1)
        widths = [stem, *entry]
        self.entry = nn.ModuleList(
            Flow(before, after, after, segments, relu=stage > 0)
            for stage, (before, after) in enumerate(zip(widths, entry))
        )
        self.middle = nn.ModuleList(MiddleBlock(widths[-1], modules, segments) for _ in range(middle))
        self.exit = Flow(widths[-1], widths[-1], exit, segments)
        self.head = nn.ModuleDict({"logits": nn.Linear(exit, classes)})

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block in [*self.entry, *self.middle]:
            x = block(x)
        x = torch.relu(self.exit(x))
        return self.head["logits"](x.mean((2, 3)))


def state_by_name(network):
    """The network's state as (the program's name, the tensors that hold it one
    after the other): parameters and running statistics."""
    for path, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, theirs in BATCH_NORM_NAMES.items():
                yield f"{path}.{name}", [getattr(module, theirs)]
        elif isinstance(module, SegmentedConv):
            yield f"{path}.weight", [part.weight for part in module.parts]
        elif isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and ".parts." not in path):
            yield f"{path}.weight", [module.weight]
            if module.bias is not None:
                yield f"{path}.bias", [module.bias]
