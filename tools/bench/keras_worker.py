#!/usr/bin/env python3
"""Keras on TensorFlow: its side of the benchmark, see worker.py: graph|xla THREADS."""
import os
import sys

VARIANT, THREADS = sys.argv[1], int(sys.argv[2])
# Before TensorFlow loads: the back end, and no talk on the standard error.
os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from worker import serve  # noqa: E402


def compiled(function):
    """A graph of TensorFlow's own kernels, or compiled by XLA."""
    return tf.function(function, jit_compile=VARIANT == "xla")


def spatial(channels, segments):
    """Keras' fastest layer for that many segments."""
    segments = min(segments, channels)
    if segments == channels:
        return layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    return layers.Conv2D(channels, 3, padding="same", groups=segments, use_bias=False)


def batch_norm():
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-3)


def module(x, channels, segments, relu=True):
    x = layers.ReLU()(x) if relu else x
    x = layers.Conv2D(channels, 1, use_bias=False)(x)
    return batch_norm()(spatial(channels, segments)(x))


def flow(x, mid_c, out_c, segments, relu=True):
    y = module(module(x, mid_c, segments, relu), out_c, segments)
    y = layers.MaxPooling2D(3, 2, padding="same")(y)
    skip = layers.Conv2D(out_c, 1, 2, use_bias=False)(x)
    return layers.Add()([y, batch_norm()(skip)])


def mini_xception(segments, side, sizes):
    image = layers.Input((side, side, sizes.image))
    x = layers.Conv2D(sizes.stem, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(batch_norm()(x))
    for stage, channels in enumerate(sizes.entry):
        x = flow(x, channels, channels, segments, relu=stage > 0)
    for _ in range(sizes.middle):
        y = x
        for _ in range(sizes.modules):
            y = module(y, channels, segments)
        x = layers.Add()([y, x])
    x = layers.ReLU()(flow(x, channels, sizes.exit, segments))
    return keras.Model(image, layers.Dense(sizes.classes)(layers.GlobalAveragePooling2D()(x)))


def chain(segments, side, channels, modules):
    image = layers.Input((side, side, channels))
    x = batch_norm()(image)
    for _ in range(modules):
        x = module(x, channels, segments)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def conv(request):
    x = tf.random.normal((request.batch, request.side, request.side, request.channels))
    grad_y = tf.random.normal(x.shape)
    layer = spatial(request.channels, request.segments)
    layer.build(x.shape)
    kernel = layer.kernel.value

    def gradient_of(pick):
        def run():
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            # Only what the result needs is computed: the graph is pruned.
            return tape.gradient(y, pick, grad_y)

        return compiled(run)

    runs = {"forward": compiled(lambda: layer(x)), "input": gradient_of(x), "weights": gradient_of(kernel)}
    return {part: traced(run) for part, run in runs.items()}, {}


def training(model, batch, classes, rate=None):
    """A function that does both passes, and with a learning rate also SGD with
    momentum."""
    optimizer = keras.optimizers.SGD(rate or 0.0, momentum=0.9)
    optimizer.build(model.trainable_variables)
    images = tf.random.normal((batch, *model.input_shape[1:]))
    labels = tf.range(batch) % classes

    def run():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        if rate:
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))
            return loss
        return loss, gradients

    facts = {"parameters": sum(values.numpy().size for values in model.trainable_variables)}
    return {"step" if rate else "passes": traced(compiled(run))}, facts


def traced(run):
    """`run`, traced and compiled by a first call. On a processor, a call of
    TensorFlow returns when its results are there."""
    run()
    return run


def inference(request):
    """A forward pass of Keras' Xception."""
    model = keras.applications.Xception(weights=None, classifier_activation=None)
    images = tf.random.normal((request.batch, request.side, request.side, request.network.image))
    facts = {"parameters": sum(values.numpy().size for values in model.trainable_variables)}
    return {"forward": traced(compiled(lambda: model(images, training=False)))}, facts


def prepare(request):
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()
    if request.work == "forward":
        return inference(request)
    if request.work == "conv":
        return conv(request)
    if request.work == "xception":
        model = keras.applications.Xception(weights=None, classifier_activation=None)
        return training(model, request.batch, 1000, rate=0.01)
    if request.work == "module":
        model = chain(request.segments, request.side, request.channels, request.chain)
        return training(model, request.batch, request.channels)
    model = mini_xception(request.segments, request.side, request.network)
    return training(model, request.batch, request.network.classes, rate=0.01)


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve("TensorFlow/Keras", f"{tf.__version__}/{keras.__version__}", prepare)
