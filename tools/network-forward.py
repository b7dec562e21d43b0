#!/usr/bin/env python3
"""Measures the forward pass of a network of timm, as crates/training/examples/
forward.rs does for this program: the best memory format of two.

    pip install torch==2.15.0 torchvision==0.29.2 timm==1.0.31
    python3 tools/network-forward.py legacy_xception 299 1 2

The arguments are timm's name, rows and columns of the images, the batch and the
threads.
"""
import resource
import statistics
import sys
import time

import timm
import torch

PASSES = 15

name, (side, batch, threads) = sys.argv[1], map(int, sys.argv[2:])
torch.set_num_threads(threads)
model = timm.create_model(name, pretrained=False).eval()
images = torch.full((batch, 3, side, side), 0.5)
for memory_format in [torch.contiguous_format, torch.channels_last]:
    model, images = model.to(memory_format=memory_format), images.to(memory_format=memory_format)
    times = []
    with torch.inference_mode():
        for _ in range(PASSES + 2):
            began = time.perf_counter()
            model(images)
            times.append((time.perf_counter() - began) * 1e3 / batch)
    times = times[2:]
    print(f"{name} {side}x{side}, batch {batch}, {memory_format}: median {statistics.median(times):.1f} ms an image, best {min(times):.1f} ms")
print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB")
