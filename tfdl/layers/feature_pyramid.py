"""Feature pyramid: coarse maps know what is there, fine ones where; each map gets what the coarser ones know.

Paper: Lin et al. 2016, arXiv:1612.03144, section 3 and Fig. 3.
Shapes: B batch, H W height and width of a map, C channels.
"""

import keras
from keras import layers


def feature_pyramid(maps, channels=256, *, name="pyramid"):
    """Maps of a backbone -> as many of the same size with `channels`.  List of (B, H, W, C) -> same.

    `maps` go from the largest to the smallest; each is half as large as the one before, rounded up.
    """
    options = dict(kernel_initializer=keras.initializers.HeUniform())  # as torchvision; for lack of activations linear
    thin = [layers.Conv2D(channels, 1, name=f"{name}_thin{i}", **options)(x) for i, x in enumerate(maps)]
    joined = thin[-1:]
    for i in reversed(range(len(maps) - 1)):
        up = layers.UpSampling2D(name=f"{name}_up{i}")(joined[0])
        too_much = [a - b for a, b in zip(up.shape[1:3], thin[i].shape[1:3])]
        if any(too_much):  # odd sides
            up = layers.Cropping2D([(0, n) for n in too_much], name=f"{name}_crop{i}")(up)
        joined.insert(0, layers.Add(name=f"{name}_add{i}")([thin[i], up]))
    return [
        layers.Conv2D(channels, 3, padding="same", name=f"{name}_out{i}", **options)(x) for i, x in enumerate(joined)
    ]
