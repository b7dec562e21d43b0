#!/usr/bin/env python3
"""Writes crates/training/tests/fixtures/logits/*.json: logits and a few inner
maps of the networks of timm and of Keras for one image, in double precision.

    pip install numpy==2.4.6 torch==2.15.0 torchvision==0.29.2 timm==1.0.31 \\
        keras==3.15.1 jax==0.10.2
    python3 tools/network-fixtures.py [--check] [NAME...]

With --check, nothing is written: what is computed is compared with what is
committed.

Weights and image come from `uniform`, a formula in integers that the test
repeats bit for bit under the names and in the layouts of the framework, so
that the fixtures hold results alone, and the test proves names, layouts and
numerics at once. A second image shows that the weights let the image through:
logits that hardly depend on it would prove nothing about the first layers.

Each framework has a process of its own, so that the memory of one is free
before the other begins.
"""
import json
import math
import os
import pathlib
import re
import subprocess
import sys

import numpy as np

from made_up import uniform

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "crates/training/tests/fixtures/logits"
# The least relative change of the logits under another image, a thousand
# times the error that the test allows.
SENSITIVITY = 0.01
SQUARE = 32
CHECK = "--check" in sys.argv

# Fixture: the framework's name of the network, rows and columns of the image,
# and the program's name for some of the framework's layers.
TIMM = {
    "xception-timm": (
        "legacy_xception",
        299,
        {"bn1": "stem.norm1", "block1": "block1.add", "block4": "block4.add", "block12": "block12.add", "bn4": "tail.module1.norm"},
    ),
    "inception-v3-timm": (
        "inception_v3",
        299,
        {"Conv2d_1a_3x3": "stem.conv2d_1a_3x3.relu"} | {f"Mixed_{name}": f"mixed_{name}.concat" for name in ["5b", "6a", "6b", "7a", "7c"]},
    ),
    "vgg-16-timm": ("vgg16", 224, {"features.4": "block1.pool", "features.30": "block5.pool"}),
    "resnet-50-timm": (
        "resnet50",
        224,
        {"maxpool": "stem.pool", "layer1.0": "stage1.block0.relu", "layer2.0": "stage2.block0.relu", "layer4.2": "stage4.block2.relu"},
    ),
}
KERAS = {
    "xception-keras": (
        "Xception",
        299,
        {"block1_conv1_bn": "stem.norm1", "block2_pool": "block1.pool", "block5_sepconv3_bn": "block4.module2.norm", "block13_pool": "block12.pool", "block14_sepconv2_bn": "tail.module1.norm"},
    ),
    "inception-v3-keras": (
        "InceptionV3",
        299,
        {"mixed0": "mixed_5b.concat", "mixed3": "mixed_6a.concat", "mixed4": "mixed_6b.concat", "mixed8": "mixed_7a.concat", "mixed10": "mixed_7c.concat"},
    ),
    "vgg-16-keras": ("VGG16", 224, {"block1_pool": "block1.pool", "block5_pool": "block5.pool", "fc1": "head.relu1"}),
    "resnet-50-keras": (
        "ResNet50",
        224,
        {"pool1_pool": "stem.pool", "conv2_block1_out": "stage1.block0.relu", "conv3_block1_out": "stage2.block0.relu", "conv5_block3_out": "stage4.block2.relu"},
    ),
}


def values(name, shape, fan_in):
    """The values of the tensor `name`. Weights that read a rectified map have
    variance 2 / fan-in, and 1 / fan-in where nothing rectifies before them, so
    that neither image nor rounding error grows or fades from layer to layer."""
    u = uniform(name, math.prod(shape))
    if fan_in:
        gain = 3.0 if "pointwise" in name else 6.0
        u = u * math.sqrt(gain / fan_in)
    elif name.endswith(("gamma", "variance", "running_var", "bn_weight")):
        u = u * 0.25 + 1.0
    else:
        u = u * 0.25
    return u.astype(np.float32).reshape(shape)


def image(name, side):
    """One image as (1, h, w, 3): squares of `SQUARE` pixels, a quarter noise.
    All pixels are in single precision, in which the test adds."""
    squares = -(-side // SQUARE)
    coarse = uniform(f"{name}'s squares", squares * squares * 3).reshape(squares, squares, 3)
    coarse = coarse.repeat(SQUARE, 0).repeat(SQUARE, 1)[:side, :side]
    fine = uniform(name, side * side * 3).reshape(side, side, 3)
    return (0.75 * coarse + 0.25 * fine).astype(np.float32)[None].astype(np.float64)


def digest(array):
    """First value and root mean square of a map."""
    return [float(array.reshape(-1)[0]), float(np.sqrt(np.mean(np.square(array))))]


def write(fixture, side, tensors, count, logits, other, inner):
    change = np.abs(logits - other).max() / np.abs(logits).max()
    print(f"{fixture}: {tensors} tensors, logits up to {np.abs(logits).max():.3g}, of which the image {change:.1%}")
    assert change > SENSITIVITY, f"{fixture}: the image changes the logits by {change:.1e} only"
    assert len(logits) == 1000
    path = FIXTURES / f"{fixture}.json"
    if CHECK:
        committed = json.loads(path.read_text())
        error = np.abs(logits - np.array(committed["logits"])).max() / np.abs(logits).max()
        assert (committed["tensors"], committed["values"]) == (tensors, count), fixture
        assert error < 1e-9, f"{fixture}: the logits differ from the committed ones by {error:.1e}"
        for layer, made in inner.items():
            assert np.allclose(made, committed["inner"][layer], rtol=1e-9), f"{fixture}: {layer}"
        return
    shown = {"side": side, "tensors": tensors, "values": count, "inner": inner, "logits": logits.tolist()}
    FIXTURES.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in shown.items())
    path.write_text("{\n" + text + "\n}\n")


def run_timm(wanted):
    import timm
    import torch

    for fixture, (model_name, side, layers) in TIMM.items():
        if wanted and fixture not in wanted:
            continue
        options = {"aux_logits": False} if model_name == "inception_v3" else {}
        model = timm.create_model(model_name, pretrained=False, **options).eval()
        state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
        norms = {name[: -len("running_var")] + "weight" for name in state if name.endswith("running_var")}
        for name, tensor in state.items():
            # What timm calls `weight` is a scale in a batch norm.
            fan_in = math.prod(tensor.shape[1:]) if tensor.ndim > 1 else 0
            made = values(name, tensor.shape, fan_in)
            if name in norms:
                made = (uniform(name, math.prod(tensor.shape)) * 0.25 + 1.0).astype(np.float32)
            tensor.copy_(torch.from_numpy(made))
        model = model.double()

        inner = {}

        def keep(ours):
            def hook(_module, _inputs, output):
                inner[ours] = digest(output.detach().permute(0, 2, 3, 1).numpy())

            return hook

        @torch.no_grad()
        def logits(image_name):
            x = torch.from_numpy(image(image_name, side)).permute(0, 3, 1, 2)
            return model(x)[0].numpy()

        other = logits("other image")
        modules = dict(model.named_modules())
        for layer, ours in layers.items():
            modules[layer].register_forward_hook(keep(ours))
        found = logits("image")
        count = sum(tensor.numel() for tensor in state.values())
        write(fixture, side, len(state), count, found, other, inner)


def renumbered(model):
    """Layers by the name that they have in a process that builds only this
    model: Keras numbers nameless layers of one kind over all models."""
    kinds = {}
    for layer in model.layers:
        if match := re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", layer.name):
            kinds.setdefault(match[1], []).append((int(match[2] or 0), layer))
    names = {layer.name: layer for layer in model.layers}
    for kind, numbered in kinds.items():
        for index, (_, layer) in enumerate(sorted(numbered, key=lambda pair: pair[0])):
            del names[layer.name]
            names[(kind, index)] = layer
    return {name if isinstance(name, str) else name[0] + (f"_{name[1]}" if name[1] else ""): layer for name, layer in names.items()}


def run_keras(wanted):
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["JAX_ENABLE_X64"] = "1"
    import keras

    keras.config.set_floatx("float64")
    for fixture, (model_name, side, layers) in KERAS.items():
        if wanted and fixture not in wanted:
            continue
        model = getattr(keras.applications, model_name)(weights=None, classifier_activation=None)
        named = renumbered(model)
        tensors, count = 0, 0
        for layer_name, layer in named.items():
            for weight in layer.weights:
                name = f"{layer_name}/{weight.name}"
                shape = tuple(weight.shape)
                fan_in = 0
                if weight.name == "depthwise_kernel":
                    fan_in = math.prod(shape[:2])
                elif weight.name.endswith("kernel"):
                    fan_in = math.prod(shape[:-1])
                weight.assign(values(name, shape, fan_in).astype(np.float64))
                tensors, count = tensors + 1, count + math.prod(shape)

        kept = [named[layer].output for layer in layers]
        read = keras.Model(model.inputs, [*kept, model.outputs[0]])
        *maps, found = (np.asarray(y) for y in read.predict(image("image", side), verbose=0))
        other = model.predict(image("other image", side), verbose=0)
        inner = {ours: digest(y) for ours, y in zip(layers.values(), maps)}
        write(fixture, side, tensors, count, found[0], other[0], inner)


def main():
    frameworks = {"--timm": run_timm, "--keras": run_keras}
    wanted = {name for name in sys.argv[1:] if not name.startswith("--")}
    assert wanted <= TIMM.keys() | KERAS.keys(), f"names are {', '.join(TIMM | KERAS)}"
    for framework, run in frameworks.items():
        if framework in sys.argv:
            run(wanted)
            return
    for framework in frameworks:
        subprocess.run([sys.executable, __file__, framework, *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
