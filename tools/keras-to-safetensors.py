#!/usr/bin/env python3
"""Converts Keras weights (.weights.h5, .h5 or .keras) to safetensors with Keras'
names and layouts, which `decouple weights import --from keras` reads.

    pip install numpy h5py safetensors
    python3 tools/keras-to-safetensors.py xception.h5 xception.safetensors

Each tensor is called `layer/variable`, as in `block1_conv1/kernel`. Layers that
Keras numbers by itself (`conv2d_37`) are numbered anew from the first of their
kind (`conv2d`, `conv2d_1`), because their numbers depend on what else the
process had built. Keras need not be installed.

The forms that Keras has used:
  * .h5 of Keras 1, 2 and 3, whole models and weights alone: groups named as the
    layers, with the names of the weights as attributes;
  * .keras and .weights.h5 of Keras 3: groups named by class and count
    (`layers/conv2d_4/vars/0`). Only the configuration within a .keras file tells
    which layer that is; a .weights.h5 of this form is refused.
"""
import argparse
import io
import json
import pathlib
import re
import sys
import zipfile

import h5py
import numpy as np
from safetensors.numpy import save_file

# The variables of a layer in the order in which Keras 3 numbers them.
BATCH_NORM = ["gamma", "beta", "moving_mean", "moving_variance"]
VARIABLES = {
    "Conv2D": ["kernel", "bias"],
    "Dense": ["kernel", "bias"],
    "DepthwiseConv2D": ["kernel", "bias"],
    "SeparableConv2D": ["depthwise_kernel", "pointwise_kernel", "bias"],
    "BatchNormalization": BATCH_NORM,
}
# What Keras 1 wrote.
OLD_VARIABLES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
    "depthwise_kernel": "depthwise_kernel",
    "pointwise_kernel": "pointwise_kernel",
}
OLD_KINDS = {"convolution2d": "conv2d", "batchnormalization": "batch_normalization"}


def text(name):
    return name.decode() if isinstance(name, bytes) else name


def by_layer(file):
    """`(layer, variable, values)` of a file with the layers' names."""
    root = file["model_weights"] if "model_weights" in file else file
    if "layer_names" not in root.attrs:
        sys.exit("the file does not name its layers: save the model as .keras, or as .h5 with save_weights of Keras 2")
    for layer in map(text, root.attrs["layer_names"]):
        paths = [text(path) for path in root[layer].attrs["weight_names"]]
        inner = {path: "/".join(part for part in path.split("/")[:-1] if part != layer) for path in paths}
        # A model that is a layer holds weights of several.
        is_nested = len(set(inner.values())) > 1
        for path in paths:
            variable = path.split("/")[-1].split(":")[0]
            for old, new in OLD_VARIABLES.items():
                if variable == f"{layer}_{old}":
                    variable = new
            yield inner[path] if is_nested and inner[path] else layer, variable, root[layer][path]


def snake_case(name):
    """As Keras' `to_snake_case`: SeparableConv2D is separable_conv2d."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def by_class(layers, group):
    """`(layer, variable, values)` of the layers of a .keras archive, and of the models among them."""
    counts = {}
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        count = counts[kind] = counts.get(kind, -1) + 1
        own = group.get("layers/" + snake_case(kind) + (f"_{count}" if count else ""))
        if own is None:
            continue
        if "layers" in config:
            yield from by_class(config["layers"], own)
            continue
        values = own.get("vars", {})
        # The variables of a kind of layer that is not known have numbers.
        names = [name for name in VARIABLES.get(kind, map(str, range(len(values)))) if used(config, name)]
        if values and len(names) != len(values):
            sys.exit(f"{config['name']}: expected {names}, found {len(values)} variables")
        for index, name in enumerate(names if values else []):
            yield config["name"], name, values[str(index)]


def all_tensors(file):
    found = []
    file.visititems(lambda name, item: found.append(f"/{name}") if isinstance(item, h5py.Dataset) else None)
    return found


def used(config, variable):
    key = {"bias": "use_bias", "gamma": "scale", "beta": "center"}.get(variable)
    return key is None or config[key]


def renumbered(layers):
    """A new name for each layer that Keras has numbered."""
    kinds = {}
    for layer in layers:
        match = re.fullmatch(r"(conv2d|convolution2d|batch_normalization|batchnormalization)(?:_(\d+))?", layer)
        if match:
            kind = OLD_KINDS.get(match[1], match[1])
            kinds.setdefault(kind, []).append((int(match[2] or 0), layer))
    names = {layer: layer for layer in layers}
    for kind, numbered in kinds.items():
        for index, (_, layer) in enumerate(sorted(numbered)):
            names[layer] = f"{kind}_{index}" if index else kind
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("target", type=pathlib.Path)
    arguments = parser.parse_args()

    if zipfile.is_zipfile(arguments.source):
        archive = zipfile.ZipFile(arguments.source)
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
        found = list(by_class(json.loads(archive.read("config.json"))["config"]["layers"], file))
    else:
        file = h5py.File(arguments.source, "r")
        found = list(by_layer(file))
    names = renumbered(dict.fromkeys(layer for layer, _, _ in found))
    tensors, places = {}, {}
    for layer, variable, values in found:
        name = f"{names[layer]}/{variable}"
        if name in tensors:
            sys.exit(f"{arguments.source}: {places[name]} and {values.name} would both be called {name}: rename a layer")
        tensors[name], places[name] = np.ascontiguousarray(values, dtype=np.float32), values.name
    # Nothing is dropped without a word, such as the state of an optimiser.
    for name in sorted(set(all_tensors(file)) - set(places.values())):
        print(f"not converted: {name}", file=sys.stderr)
    save_file(tensors, arguments.target)
    print(f"{arguments.target}: {len(tensors)} tensors, {sum(t.size for t in tensors.values())} values")


if __name__ == "__main__":
    main()
