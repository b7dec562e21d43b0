#!/usr/bin/env python3
"""Checks tools/keras-to-safetensors.py on models that are layers of others, in both of
Keras' forms: every tensor of the file gets a name of its own, or the converter says which
do not. `just parity` runs it.

    pip install numpy h5py safetensors
"""
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import h5py
import numpy as np
from safetensors.numpy import load_file

CONVERTER = pathlib.Path(__file__).with_name("keras-to-safetensors.py")
KERNELS = {"left": (3, 3, 3, 4), "right": (3, 3, 4, 5), "top": (1, 1, 5, 2)}


def archive(path, names):
    """A Sequential of two convolutions in a Functional with a third; an optimiser's counter."""
    layer = lambda name: {"class_name": "Conv2D", "config": {"name": name, "use_bias": False}}
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [layer(name) for name in names[:2]]}}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        places = ["layers/sequential/layers/conv2d", "layers/sequential/layers/conv2d_1", "layers/conv2d"]
        for place, shape in zip(places, KERNELS.values()):
            file[f"{place}/vars/0"] = np.ones(shape, np.float32)
        file["optimizer/vars/0"] = np.zeros(1)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("config.json", json.dumps({"config": {"layers": [inner, layer(names[2])]}}))
        packed.writestr("model.weights.h5", buffer.getvalue())


def groups(path, names):
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [b"inner", names[2].encode()]
        shapes = list(KERNELS.values())
        for layer, inside in (("inner", names[:2]), (names[2], names[2:])):
            paths = [f"{name}/kernel:0" for name in inside]
            root.create_group(layer).attrs["weight_names"] = [path.encode() for path in paths]
            for path in paths:
                root[layer][path] = np.ones(shapes.pop(0), np.float32)


def convert(source):
    target = source.with_suffix(".safetensors")
    done = subprocess.run([sys.executable, CONVERTER, source, target], capture_output=True, text=True)
    return done, load_file(target) if done.returncode == 0 else {}


with tempfile.TemporaryDirectory() as folder:
    for name, write in (("model.keras", archive), ("model.h5", groups)):
        source = pathlib.Path(folder) / name
        write(source, list(KERNELS))
        done, tensors = convert(source)
        found = {name: tensor.shape for name, tensor in tensors.items()}
        assert found == {f"{name}/kernel": shape for name, shape in KERNELS.items()}, (found, done.stderr)
        assert ("not converted: /optimizer/vars/0" in done.stderr) == (write is archive), done.stderr
        # Two layers of one name in different models.
        write(source, ["left", "right", "left"])
        done, _ = convert(source)
        assert done.returncode == 1 and "would both be called left/kernel" in done.stderr, done.stderr
print("nested models keep every tensor")
