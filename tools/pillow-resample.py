#!/usr/bin/env python3
"""Prints the checksums that crates/datasets/src/resize.rs is held to.

    pip install numpy pillow==12.0.0   # version 13 scales columns first where that is quicker
    python3 tools/pillow-resample.py
"""
import zlib

import numpy as np
from PIL import Image

FILTERS = {"Bilinear": Image.BILINEAR, "Bicubic": Image.BICUBIC}
SIZES = [(40, 60, 20, 30), (31, 17, 64, 48), (200, 90, 33, 32), (16, 16, 24, 16), (7, 300, 9, 5)]


def picture(h, w):
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return ((x * 37 + y * 101 + c * 59 + x * y * 7) % 256).astype(np.uint8)


for h, w, to_h, to_w in SIZES:
    for name, kind in FILTERS.items():
        scaled = Image.fromarray(picture(h, w)).resize((to_w, to_h), kind)
        print(f"        ([{h}, {w}, {to_h}, {to_w}], Filter::{name}, {zlib.crc32(scaled.tobytes()):#010x}),")
