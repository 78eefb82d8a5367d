"""What tfdl's exact step costs, as the ratio of its speed to plain Keras `fit` in the same process (`make bench`).

    python tools/bench_step.py [--variant v2_small_images] [--batch 64] [--size 32]

Both run the same network on the same data in turns; the ratio of the medians is printed, above 1 where ours is faster.
The last row is Keras as it comes against a tfdl `Run`, which also turns TensorFlow's graph optimizer off on CPUs.
"""

import statistics
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
import tyro

import tfdl
from tfdl.train.step import exact

ROUNDS, STEPS = 5, 8


@dataclass(frozen=True, kw_only=True)
class Config:
    variant: str = "v2_small_images"  # of mobilenet
    batch: int = 64
    size: int = 32


def main(config):
    random = np.random.default_rng(0)
    images = random.random((STEPS * config.batch, config.size, config.size, 3), dtype="float32")
    labels = random.integers(0, 10, len(images))
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(config.batch).cache().prefetch(2)
    models = {
        "keras": network(config),
        "exact": exact(network(config)),
        "exact, accumulate 2": exact(network(config), accumulate=2),
    }
    medians = measure(models, data)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    medians |= measure({"exact, no graph optimizer": exact(network(config))}, data)
    for name, seconds in medians.items():
        print(f"{name:<26} speed against plain Keras {medians['keras'] / seconds:5.2f}")


def network(config):
    keras.utils.set_random_seed(0)
    model = tfdl.build("mobilenet", config.variant, image_shape=(config.size, config.size, 3), num_classes=10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss, metrics=["accuracy"], jit_compile=False)
    return model


def measure(models, data):
    """Median seconds an epoch of each model, measured in turns so that a slow moment hits all of them."""
    seconds = {name: [] for name in models}
    for model in models.values():
        model.fit(data, verbose=0, shuffle=False)  # tracing
    for _ in range(ROUNDS):
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(data, verbose=0, shuffle=False)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
