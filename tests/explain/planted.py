"""Images whose class is one colored square on gray noise, and two small networks that have learned it."""

import functools

import keras
import numpy as np
from keras import layers

from tfdl.models.vision_transformers.vit import ViTConfig, vit

SIDE, SIZE = 8, 28  # of the square and of the image: by chance a point lies in the square in 8 % of the images


def planted(count, seed):
    """Images (N, 28, 28, 3), their classes (N), and the square's top left corner (N, 2)."""
    rng = np.random.default_rng(seed)
    images, classes = rng.uniform(0.2, 0.5, (count, SIZE, SIZE, 3)), rng.integers(0, 3, count)
    corners = rng.integers(0, SIZE - SIDE + 1, (count, 2))
    steps = np.arange(SIZE) - corners[..., None]  # (N, 2, 28)
    down, across = ((steps >= 0) & (steps < SIDE)).swapaxes(0, 1)
    square = (down[:, :, None] & across[:, None])[..., None]
    color = np.eye(3)[classes][:, None, None]  # red, green or blue
    return np.where(square, 0.3 * images + 0.7 * color, images).astype("float32"), classes, corners


def found(points, corners):
    """Share of the points (N, 2) that lie in their image's square."""
    return ((points >= corners - 0.5) & (points <= corners + SIDE - 0.5)).all(-1).mean()


@functools.cache
def trained(kind):
    """A "convnet" or a "vit" that tells the colors apart; built and trained once."""
    keras.utils.set_random_seed(0)
    if kind == "convnet":
        first, second = (
            [layers.Conv2D(channels, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
            for channels in (8, 16)
        )
        head = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
        model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *first, layers.MaxPooling2D(), *second, *head])
    else:
        config = ViTConfig(patch=4, width=24, depth=2, heads=3, expansion=2.0)
        model = vit(config, image_shape=(SIZE, SIZE, 3), num_classes=3, normalize="unit")
    rate, epochs = {"convnet": (2e-2, 2), "vit": (4e-3, 5)}[kind]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    images, classes, _ = planted(512, 0)
    history = model.fit(images, classes, batch_size=32, epochs=epochs, verbose=0).history["loss"]
    assert history[-1] < 0.2, history
    return model
