"""Pixel normalization inside the model, so that callers pass plain images in [0, 1].

Sources: channel statistics of ImageNet as published with fb.resnet.torch and used by torchvision; "caffe" as
Simonyan & Zisserman 2014, arXiv:1409.1556, trained VGG, and keras.applications still does for VGG and ResNet.
"""

import math
from numbers import Integral

import keras
import numpy as np
from keras import layers, ops

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)  # of pixels from 0 to 255
PIXELS = 32  # normalized at once; 16 are as fast, and 1 takes up to twice the time in a small network


def image_input(image_shape):
    """The input of a network on images: (B, H, W, C).

    Args:
        image_shape: (H, W, C); None for a height or width that is left open.

    Raises:
        ValueError: another shape, among them one with its channels first.
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras is set to channels first, and tfdl's networks read channels last: call"
            " keras.config.set_image_data_format('channels_last') first."
        )
    shape = tuple(image_shape) if isinstance(image_shape, (tuple, list)) else image_shape
    if isinstance(shape, tuple) and len(shape) == 2:
        raise ValueError(f"image_shape is {shape}; give the channels too, such as {(*shape, 3)}.")
    if not isinstance(shape, tuple) or len(shape) != 3 or not all(map(is_size, shape)) or shape[2] is None:
        raise ValueError(f"image_shape is {image_shape!r}; give (height, width, channels), such as (224, 224, 3).")
    if shape[0] in (1, 3) and shape[2] > 4:
        raise ValueError(
            f"image_shape is {shape}, which looks like channels first; give (height, width, channels), such as"
            f" {(*shape[1:], shape[0])}."
        )
    return keras.Input(shape, name="images")


def is_size(value):
    """Whether it is a number of pixels or channels, or None."""
    return value is None or isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def normalize_pixels(images, mode, name="normalize"):
    """Images (B, H, W, C) in [0, 1] -> same shape, normalized in float32 under every dtype policy.

    "imagenet": minus the mean, divided by the standard deviation, per channel (gray images: the average over the three
    channels).  "caffe": scaled to 0 to 255, minus the mean, in the order blue, green, red.  "unit": scaled to [-1, 1].
    None: unchanged.

    Raises:
        ValueError: unknown mode, or a number of channels that it has no statistics for.
    """
    if mode is None:
        return images
    if mode == "unit":
        return layers.Rescaling(2.0, offset=-1.0, dtype="float32", name=name)(images)
    if mode not in ("imagenet", "caffe"):
        raise ValueError(f'normalize must be "imagenet", "caffe", "unit" or None, not {mode!r}.')
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f'normalize="{mode}" needs images of 1 or 3 channels, not {images.shape[-1]}; use "unit" or None.'
        )
    scale, offset = scale_and_offset(mode, images.shape[-1])
    images = scale_channels(images, scale, offset, name)
    return ops.flip(images, axis=-1) if mode == "caffe" else images


def scale_and_offset(mode, channels):
    """(scale, offset), one number per channel each, such that pixels * scale + offset normalizes pixels in [0, 1]."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    if mode == "caffe":
        mean, std = np.array(CAFFE_MEAN) / 255, np.full(3, 1 / 255)
    if channels == 1:
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    return 1 / std, -mean / std


def normalization_of(model, name="normalize"):
    """The mode that `normalize_pixels` was called with when `model` was built; None if it does not normalize."""
    layer = next((layer for layer in model.layers if layer.name == name), None)
    if not isinstance(layer, layers.Rescaling):
        return None
    channels = model.input_shape[-1]
    for mode in ("imagenet", "caffe") if channels in (1, 3) else ():
        if np.allclose(np.ravel(layer.scale)[:channels], scale_and_offset(mode, channels)[0]):
            return mode
    return "unit"


def scale_channels(images, scale, offset, name):
    """images * scale + offset, with one scale and offset per channel.  (B, H, W, C) -> same, in float32.

    Several pixels are computed at once where W is divisible: three numbers at a time leave a CPU's vector units idle.
    On one CPU thread this takes MobileNetV3-small in int8 from 2.3 to 1.3 ms, and MobileNetV2 in float from 8.1 to 7.2.
    Only layers of Keras itself are used, so that saved models load without tfdl.
    """
    *_, height, width, channels = images.shape
    pixels = math.gcd(width, PIXELS) if width and channels > 1 else 1
    scaling = layers.Rescaling(
        np.tile(scale, pixels).tolist(), np.tile(offset, pixels).tolist(), dtype="float32", name=name
    )
    if pixels == 1:
        return scaling(images)
    rows = layers.Reshape((-1, pixels * channels), dtype="float32", name=f"{name}_rows")(images)
    return layers.Reshape((height or -1, width, channels), dtype="float32", name=f"{name}_images")(scaling(rows))
