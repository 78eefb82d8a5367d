"""One transformer on several devices, every matrix in parts or every layer elsewhere: the same numbers, less memory.

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
from tfdl.train.command_line import launch

DEVICES = [f"CPU:{i}" for i in range(8)]
STACK = ViTConfig(patch=2, width=64, depth=2, heads=8)  # 16 patches of a digit


@dataclass(frozen=True, kw_only=True)
class Config:
    devices: tuple[int, ...] = (2, 4)  # logical CPUs; they divide the 8 heads
    micro_batches: int = 4  # of the pipelines
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    strategies.split_cpu(max(config.devices))  # before TensorFlow computes anything
    run, counts = config.run.start(config, name="parallel"), config.devices[: 1 if config.run.smoke else None]
    images, labels = (x[: run.limit or 640] for x in digits()[0]["train"])  # data: ten steps
    images = images.astype("float32") / 255
    # model: whole, and split in three ways
    make = partial(Pipeline, micro_batches=2 if config.run.smoke else config.micro_batches)
    ways = {"tensor": tensor_parallel.split, "pipeline": make, "remat": partial(make, remat=True)}
    whole, merged = (vit(STACK, image_shape=(8, 8, 1), num_classes=10, normalize=None) for _ in range(2))
    models = {("whole", 1): whole} | {(way, n): ways[way](whole, DEVICES[:n]) for way in ways for n in counts}
    # train each, and compare with the whole
    memory, gaps = {}, []
    for key, model in models.items():
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(True))
        memory[key] = placement.memory_per_device(DEVICES[: key[1]], model, images[:64], labels[:64])
        model.fit(images, labels, batch_size=64, shuffle=False, verbose=0)
        pairs = zip(placement.copy_weights(model, merged).get_weights(), whole.get_weights())
        gaps.append(max(abs(a - b).max() for a, b in pairs))
    # figures
    mb = {f"{way}_{n}_{d[4:]}": sum(row.values()) / 1e6 for (way, n), of in memory.items() for d, row in of.items()}
    top = {key: max(sum(row.values()) for row in of.values()) / 1e6 for key, of in memory.items()}
    lines = {way: ((1, *counts), [top[key] for key in top if key[0] in ("whole", way)]) for way in ways}
    run.show("fullest", curves(lines, x_label="devices", y_label="MB on the fullest device"))
    run.show("devices", bars(mb, y_label="MB of weights, momenta and activations"))
    return run.finish(None, {"weights_from_whole": max(gaps)} | {f"mb_{name}": size for name, size in mb.items()})


if __name__ == "__main__":
    launch(main, Config)
