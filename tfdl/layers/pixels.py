"""Pixel normalization inside the model, so that whoever calls it hands over plain images in [0, 1].

Sources: channel statistics of ImageNet as published with fb.resnet.torch and used by torchvision; "caffe" as
Simonyan & Zisserman 2014, arXiv:1409.1556, trained VGG, and keras.applications still does for VGG and ResNet.
"""

import math

import numpy as np
from keras import layers, ops

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)  # of 0 to 255
PIXELS = 32  # normalized at a time; 16 measure the same, and 1 up to twice the time of a small network


def normalize_pixels(images, mode, name="normalize"):
    """Images (B, H, W, C) in [0, 1] -> same shape, normalized in float32 whatever the dtype policy.

    "imagenet": minus the mean, over the deviation, per channel (a gray image gets the mean of the three).
    "caffe": 0 to 255 minus the mean, blue first.  "unit": to [-1, 1].  None: as they are.
    """
    if mode is None:
        return images
    if mode == "unit":
        return layers.Rescaling(2.0, offset=-1.0, dtype="float32", name=name)(images)
    if mode not in ("imagenet", "caffe"):
        raise ValueError(f'normalize must be "imagenet", "caffe", "unit" or None, not {mode!r}.')
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f'normalize="{mode}" knows images of 1 or 3 channels, not {images.shape[-1]}; use "unit" or None.'
        )
    scale, offset = scale_and_offset(mode, images.shape[-1])
    images = scale_channels(images, scale, offset, name)
    return ops.flip(images, axis=-1) if mode == "caffe" else images


def scale_and_offset(mode, channels):
    """Of pixels in [0, 1], a number of each for a channel: pixels * scale + offset."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    if mode == "caffe":
        mean, std = np.array(CAFFE_MEAN) / 255, np.full(3, 1 / 255)
    if channels == 1:
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    return 1 / std, -mean / std


def normalization_of(model, name="normalize"):
    """The mode that `normalize_pixels` was called with when `model` was built; None where it does not normalize."""
    layer = next((layer for layer in model.layers if layer.name == name), None)
    if not isinstance(layer, layers.Rescaling):
        return None
    channels = model.input_shape[-1]
    for mode in ("imagenet", "caffe") if channels in (1, 3) else ():
        if np.allclose(np.ravel(layer.scale)[:channels], scale_and_offset(mode, channels)[0]):
            return mode
    return "unit"


def scale_channels(images, scale, offset, name):
    """images * scale + offset, a number of each for a channel.  (B, H, W, C) -> same, in float32.

    Computed on rows of several pixels, where W can be divided so: three numbers at a time leave a CPU's vector units
    idle.  MobileNetV3-small in int8 took 2.3 ms on one thread of a CPU without and takes 1.3 with them, MobileNetV2 in
    float 8.1 and 7.2.  Keras's own layers, so that saved models need no code of ours.
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
