"""What statistics that belong to the weights are worth and what they cost; writes results/bench_statistics.json.

    python tools/bench_statistics.py [--seeds 0 1 2] [--only clothing digits fashion_mnist]

One training answers for both: after each epoch validation is measured by the moving averages and by statistics taken
anew, and the moving averages are put back before training goes on.  The cost is that of the passes after the first,
which is traced, as a share of the epochs' seconds; it is 3 % at most in long epochs.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tyro

import tfdl
from tfdl.data import augment, images
from tfdl.train.replicas import batch_norms
from tfdl.train.statistics import Statistics
from tfdl.train.step import exact

RESULT = Path(__file__).resolve().parent.parent / "results" / "bench_statistics.json"


@dataclass(frozen=True, kw_only=True)
class Set:
    """A data set and how long it is trained on."""

    name: str
    epochs: int
    batch_size: int
    options: dict


SETS = {
    "clothing": Set(  # 384 photographs for training, 81 for validation
        name="clothing_small", epochs=12, batch_size=64, options={"classes": (1, 3, 8), "image_size": 32}
    ),
    "digits": Set(name="digits", epochs=12, batch_size=64, options={"image_size": 32}),
    "fashion_mnist": Set(name="fashion_mnist", epochs=2, batch_size=64, options={"image_size": 32}),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    only: tuple[str, ...] = tuple(SETS)


def main(config):
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # as a run does without a GPU
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    rows = {(row["data"], row["seed"]): row for row in found.get("rows", [])}
    for name in config.only:
        for seed in config.seeds:
            row = measure(name, seed)
            rows[name, seed] = row
            print(json.dumps(row), flush=True)
            write({"command": "python tools/bench_statistics.py", "cores": 2, "rows": list(rows.values())})


def measure(name, seed):
    """One training: validation accuracy of each epoch with both kinds of statistics, and what the passes took."""
    keras.utils.set_random_seed(seed)
    chosen = SETS[name]
    position = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    data = images.load(
        chosen.name,
        batch_size=chosen.batch_size,
        seed=seed,
        position=position,
        augment=augment.random_shift(2),
        **chosen.options,
    )
    model = network(data, chosen)
    watch = Watch(data, position)
    model.fit(data.train, epochs=chosen.epochs, callbacks=[watch], verbose=0, shuffle=False)
    return {
        "data": name,
        "seed": seed,
        "images": data.counts["train"],
        "commonest_class": round(float(max(class_shares(data))), 4),
        "training_accuracy": watch.training,
        "moving_averages": watch.stale,
        "taken_anew": watch.fresh,
        "test_moving_averages": watch.test_stale,
        "test_taken_anew": watch.test_fresh,
        "steps": len(data.train),
        "batches_of_a_pass": watch.batches,
        "epoch_seconds": round(statistics.median(watch.epochs[1:]), 2),
        "pass_seconds": round(statistics.median(watch.passes[1:]), 3),
        "tracing_seconds": round(watch.passes[0], 2),
        "cost": round(sum(watch.passes[1:]) / sum(watch.epochs[1:]), 4),
    }


def network(data, chosen):
    """A compiled MobileNetV2 as `classify_images` trains it."""
    model = tfdl.build("mobilenet", "v2_small_images", image_shape=data.image_shape, num_classes=data.num_classes)
    updates = chosen.epochs * len(data.train)
    rate = keras.optimizers.schedules.CosineDecay(0.0, updates, warmup_target=3e-3, warmup_steps=updates // 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.05), loss, metrics=["accuracy"], jit_compile=False)
    return exact(model)


def class_shares(data):
    counts = np.bincount(np.concatenate([labels for _, labels in data.validation]))
    return counts / counts.sum()


class Watch(keras.callbacks.Callback):
    """Validates by both kinds of statistics, and puts the moving averages back."""

    def __init__(self, data, position):
        super().__init__()
        self.data, self.position, self.statistics = data, position, Statistics(data)
        self.training, self.stale, self.fresh, self.epochs, self.passes = [], [], [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.position.assign([epoch, 0])
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(time.perf_counter() - self.started)
        self.training.append(round(float(logs["accuracy"]), 4))
        self.stale.append(self.accuracy(self.data.validation))
        self.test_stale = self.accuracy(self.data.test)
        variables = [v for layer in batch_norms(self.model) for v in (layer.moving_mean, layer.moving_variance)]
        before = [v.numpy() for v in variables]
        start = time.perf_counter()
        self.statistics.refresh(self.model, epoch)
        self.passes.append(time.perf_counter() - start)
        self.batches = self.statistics.used
        self.fresh.append(self.accuracy(self.data.validation))
        self.test_fresh = self.accuracy(self.data.test)
        for variable, value in zip(variables, before):
            variable.assign(value)

    def accuracy(self, split):
        return round(float(self.model.evaluate(split, verbose=0, return_dict=True)["accuracy"]), 4)


def write(result):
    RESULT.with_suffix(".new").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    RESULT.with_suffix(".new").replace(RESULT)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
