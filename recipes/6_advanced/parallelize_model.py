"""One transformer on several devices, its matrices or its layers distributed: the same weights with less memory each.

Stage 6 (advanced) - Shoeybi et al. 2019, arXiv:1909.08053 (Megatron-LM); Huang et al. 2019, arXiv:1811.06965 (GPipe)
Run:     tfdl run parallelize_model
Expect:  weights within 1e-6; 18.2 MB on one device, on the fullest of 4: 8.4 tensor, 6.4 pipeline, 2.3 remat; 1 minute
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data.embedded import digits
from tfdl.distribution import placement, strategies, tensor_parallel
from tfdl.distribution.pipeline import Pipeline
from tfdl.figures.curves import bars, curves
from tfdl.models.vision_transformers.vit import ViTConfig, vit


@dataclass(frozen=True, kw_only=True)
class Config:
    """Split a transformer over devices in three ways."""

    devices: tuple[int, ...] = (2, 4)
    """numbers of logical CPUs to split over; each divides the number of heads"""
    width: int = 64
    """of the transformer's tokens"""
    depth: int = 2
    """blocks of the transformer"""
    heads: int = 8
    """attention heads"""
    micro_batches: int = 4
    """of the pipelines"""
    batch_size: int = 64
    """images per update"""
    samples: int = 640
    """images in total: an epoch of ten updates"""
    learning_rate: float = 0.1
    """of SGD with momentum 0.9"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    strategies.split_cpu(max(config.devices))  # before TensorFlow computes anything
    run = config.run.start(config, name="parallel")
    counts = config.devices[:1] if config.run.smoke else config.devices
    devices = [f"CPU:{i}" for i in range(max(counts))]

    # Data: digits (N, 8, 8, 1), 16 patches each
    images, labels = (values[: run.limit or config.samples] for values in digits()[0]["train"])
    images = images.astype("float32") / 255

    # Model: whole, and split in three ways
    transformer = ViTConfig(patch=2, width=config.width, depth=config.depth, heads=config.heads)
    whole, merged = (vit(transformer, image_shape=(8, 8, 1), num_classes=10, normalize=None) for _ in range(2))
    pipeline = partial(Pipeline, micro_batches=2 if config.run.smoke else config.micro_batches)
    ways = {"tensor": tensor_parallel.split, "pipeline": pipeline, "remat": partial(pipeline, remat=True)}
    models = {("whole", 1): whole}
    for way, split in ways.items():
        for count in counts:
            models[way, count] = split(whole, devices[:count])

    # Train each, and compare with the whole one
    memory, differences = {}, []
    for (way, count), model in models.items():
        optimizer = keras.optimizers.SGD(config.learning_rate, momentum=0.9)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        first = slice(config.batch_size)
        memory[way, count] = placement.memory_per_device(devices[:count], model, images[first], labels[first])
        model.fit(images, labels, batch_size=config.batch_size, shuffle=False, verbose=0)
        pairs = zip(placement.copy_weights(model, merged).get_weights(), whole.get_weights())
        differences.append(max(abs(ours - theirs).max() for ours, theirs in pairs))
        print(f"trained {way} on {count} devices", flush=True)

    # Figures
    megabytes, fullest = {}, {}
    for (way, count), per_device in memory.items():
        sizes = {device.removeprefix("CPU:"): sum(row.values()) / 1e6 for device, row in per_device.items()}
        megabytes |= {f"{way}_{count}_{device}": size for device, size in sizes.items()}
        fullest[way, count] = max(sizes.values())
    lines = {way: ((1, *counts), [fullest["whole", 1], *(fullest[way, n] for n in counts)]) for way in ways}
    title = "More devices, less memory on each"
    run.show("fullest", curves(lines, x_label="devices", y_label="MB on the fullest device", title=title))
    title = "Weights, momenta and activations on each device"
    run.show("devices", bars(megabytes, y_label="MB", title=title))
    metrics = {"weights_from_whole": max(differences)}
    return run.finish(None, metrics | {f"mb_{name}": size for name, size in megabytes.items()})


if __name__ == "__main__":
    tfdl.launch(main, Config)
