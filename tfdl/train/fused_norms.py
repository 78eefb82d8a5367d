"""BatchNorm of images as one operation in training: the same numbers as Keras's seven, in less time.

Keras computes mean, variance and the normalized maps by separate operations, each of which walks over the maps, and
keeps float32 copies of low-precision maps for the way back.  TensorFlow's fused kernel reads them twice.  `python
tools/bench_step.py` gives the ratio.  Source: Ioffe & Szegedy 2015, arXiv:1502.03167, Algorithm 1.
"""

import types

import keras
import tensorflow as tf

DTYPES = (tf.float32, tf.bfloat16, tf.float16)  # of maps; statistics are float32 with all of them


def fuse_batch_norms(model):
    """Every BatchNormalization of `model` over the last axis of (B, H, W, C) trains by the fused kernel.

    For one replica only: the kernel knows nothing of other replicas' images.  Inference, files and exports stay as
    they are, because only these layer objects change, not their class.
    """
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.BatchNormalization and not layer.renorm and "call" not in vars(layer):
            layer.call = types.MethodType(fused_call, layer)


def unfuse_batch_norms(model):
    """Takes `fuse_batch_norms` back."""
    for layer in model._flatten_layers():
        if getattr(vars(layer).get("call"), "__func__", None) is fused_call:
            del layer.call


def fused_call(layer, inputs, training=None, mask=None):
    """What `BatchNormalization.call` gives.  (B, H, W, C) -> the same shape and dtype."""
    fits = inputs.shape.rank == 4 and layer.axis in (-1, 3) and inputs.dtype in DTYPES and mask is None
    if not (fits and training and layer.trainable):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    old_mean, old_variance = (tf.convert_to_tensor(v.value) for v in (layer.moving_mean, layer.moving_variance))
    maps, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value if layer.scale else tf.ones_like(old_mean),
        offset=layer.beta.value if layer.center else tf.zeros_like(old_mean),
        mean=(),
        variance=(),
        epsilon=layer.epsilon,
        is_training=True,
    )
    count = tf.cast(tf.size(inputs) / inputs.shape[-1], variance.dtype)
    biased = variance * (count - 1) / count  # the kernel's is the unbiased one, Keras's moving average is not
    layer.moving_mean.assign(old_mean * layer.momentum + mean * (1 - layer.momentum))
    layer.moving_variance.assign(old_variance * layer.momentum + biased * (1 - layer.momentum))
    return maps
