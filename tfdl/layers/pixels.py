"""Pixel normalization inside the model, so that whoever calls it hands over plain images in [0, 1].

Source: channel statistics of ImageNet as published with fb.resnet.torch and used by torchvision.
"""

import numpy as np
from keras import layers

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize_pixels(images, mode, name="normalize"):
    """Images (B, H, W, C) in [0, 1] -> same shape, normalized in float32 whatever the dtype policy.

    "imagenet": minus the mean, over the deviation, per channel (a gray image gets the mean of the three).
    "unit": to [-1, 1].  None: as they are.
    """
    if mode is None:
        return images
    if mode == "unit":
        return layers.Rescaling(2.0, offset=-1.0, dtype="float32", name=name)(images)
    if mode != "imagenet":
        raise ValueError(f'normalize must be "imagenet", "unit" or None, not {mode!r}.')
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    if images.shape[-1] == 1:
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    elif images.shape[-1] != 3:
        raise ValueError(
            f'normalize="imagenet" knows images of 1 or 3 channels, not {images.shape[-1]}; use "unit" or None.'
        )
    return layers.Rescaling((1 / std).tolist(), offset=(-mean / std).tolist(), dtype="float32", name=name)(images)
