#!/usr/bin/env python3
"""Compares exported networks with this program's own logits.

    python3 tools/check-export.py FOLDER

Each folder in FOLDER holds one network: model.onnx, network.py with
weights.safetensors, and the numbers that `decouple` read and computed
(images.f32, logits.f32 and the images' shape.txt). onnxruntime and PyTorch must
find the same logits to 1e-5 of the largest. A program that is not installed is
left out and said to be.
"""
import importlib.util
import pathlib
import sys

import numpy as np

TOLERANCE = 1e-5


def onnxruntime_logits(folder, images):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def torch_logits(folder, images):
    import torch

    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        return module.load(folder / "weights.safetensors")(torch.from_numpy(images)).numpy()


PROGRAMS = {"onnxruntime": onnxruntime_logits, "torch": torch_logits}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    programs = {name: run for name, run in PROGRAMS.items() if importlib.util.find_spec(name)}
    for name in PROGRAMS.keys() - programs.keys():
        print(f"{name} is not installed: not compared")
    failed = 0
    folders = sorted(path.parent for path in pathlib.Path(sys.argv[1]).glob("*/shape.txt"))
    for folder in folders:
        shape = [int(extent) for extent in (folder / "shape.txt").read_text().split()]
        images = np.fromfile(folder / "images.f32", "<f4").reshape(shape)
        expected = np.fromfile(folder / "logits.f32", "<f4").reshape(shape[0], -1)
        for name, logits in programs.items():
            found = logits(folder, images)
            error = np.abs(found - expected).max() / np.abs(expected).max() if found.shape == expected.shape else np.inf
            # A number that is not one compares as false.
            ok = error <= TOLERANCE
            failed += not ok
            print(f"{folder.name:28} {name:12} {error:.1e}{'' if ok else '  TOO FAR'}")
    if not folders:
        sys.exit(f"{sys.argv[1]}: no exported network")
    sys.exit(failed > 0)


main()
