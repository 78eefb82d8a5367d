"""Batch normalization of images as one fused operation: the same result as Keras's, in less time.

In training Keras computes mean, variance and the normalized maps by separate operations, each of which reads the maps
once, and keeps float32 copies of low-precision maps for the backward pass; TensorFlow's fused kernel reads them twice.
In inference Keras multiplies and adds; TensorFlow fuses the kernel with the convolution before it and the ReLU after
it.  `python tools/bench_step.py` and `bench_vision.py` measure the speedup.  Source: Ioffe & Szegedy 2015,
arXiv:1502.03167, Algorithms 1 and 2.
"""

import types

import keras
import tensorflow as tf

DTYPES = (tf.float32, tf.bfloat16, tf.float16)  # of maps; the statistics are always float32


def fuse_batch_norms(model):
    """Makes every BatchNormalization of `model` over the last axis of (B, H, W, C) use the fused kernel.

    Exception: training with layers whose `_moments` are replaced (see `synchronize_batch_norms`), as the kernel cannot
    see other replicas' images.  Saved files do not change, because only the layer objects do, not their class.
    """
    for layer in model._flatten_layers():
        plain = type(layer) is keras.layers.BatchNormalization and "call" not in vars(layer)  # not frozen, not fused
        if plain and not (layer.renorm or layer.synchronized):
            layer.call = types.MethodType(fused_call, layer)


def fused_call(layer, inputs, training=None, mask=None):
    """The result of `BatchNormalization.call`.  (B, H, W, C) -> the same shape and dtype."""
    learns = bool(training and layer.trainable)
    fits = inputs.shape.rank == 4 and layer.axis in (-1, 3) and inputs.dtype in DTYPES and mask is None
    if not fits or (learns and "_moments" in vars(layer)):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    old_mean, old_variance = (tf.convert_to_tensor(v.value) for v in (layer.moving_mean, layer.moving_variance))
    maps, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value if layer.scale else tf.ones_like(old_mean),
        offset=layer.beta.value if layer.center else tf.zeros_like(old_mean),
        mean=() if learns else old_mean,
        variance=() if learns else old_variance,
        epsilon=layer.epsilon,
        is_training=learns,
    )
    if learns:
        count = tf.cast(tf.size(inputs) / inputs.shape[-1], variance.dtype)
        biased = variance * (count - 1) / count  # the kernel returns the unbiased variance; Keras averages the biased
        layer.moving_mean.assign(old_mean * layer.momentum + mean * (1 - layer.momentum))
        layer.moving_variance.assign(old_variance * layer.momentum + biased * (1 - layer.momentum))
    return maps
