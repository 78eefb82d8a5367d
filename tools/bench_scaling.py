"""What several workers cost and bring on this machine, as ratios measured in one run: results/bench_scaling.json.

    python tools/bench_scaling.py

| what       | measured                                                                                           |
|------------|----------------------------------------------------------------------------------------------------|
| throughput | images per second of two workers with one core each, over those of one worker with one core         |
| all-reduce | time that a train step of two workers takes longer than that of one with as many images per worker |
| checkpoint | time to write a checkpoint of weights and optimizer state, and to read it                          |
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WIDTHS = (64, 256, 1024, 2048)  # of an MLP with two hidden layers: 0.06 to 6 million weights
STEPS, SAVES, PER_WORKER = 40, 5, 64


def main():
    from tfdl.distribution.local_cluster import free_ports

    found = {}
    for count in (1, 2):
        hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
        with tempfile.TemporaryDirectory() as folder:
            processes = [start(hosts, index, Path(folder) / f"{index}.json") for index in range(count)]
            codes = [process.wait() for process in processes]
            if any(codes):
                sys.exit(f"error: workers ended with {codes}; what they printed above says why.")
            found[count] = json.loads((Path(folder) / "0.json").read_text())
    result = {"command": "python tools/bench_scaling.py", "cores": os.cpu_count(), "images_per_worker": PER_WORKER,
              "rows": [row(found[1][name], found[2][name]) for name in found[1]]}  # fmt: skip
    (ROOT / "results" / "bench_scaling.json").write_text(json.dumps(result, indent=2) + "\n")
    for row_ in result["rows"]:
        print("  ".join(f"{name} {value}" for name, value in row_.items()))


def row(one, two):
    """One network: the same number of images per worker and step, so two workers do twice the work in a step."""
    return {
        "network": one["network"],
        "parameters": one["parameters"],
        "throughput_ratio": round(2 * one["step"] / two["step"], 3),
        "step_ms_of_one": round(1e3 * one["step"], 2),
        "extra_ms_of_two": round(1e3 * (two["step"] - one["step"]), 2),
        "megabytes_reduced": round(4e-6 * one["parameters"], 3),
        "save_ms": round(1e3 * one["save"], 1),
        "read_ms": round(1e3 * one["read"], 1),
        "checkpoint_megabytes": round(one["bytes"] / 1e6, 2),
    }


def start(hosts, index, path):
    """A worker with one core to itself."""
    config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2"}
    environment = os.environ | threads | {"TF_CONFIG": json.dumps(config), "PYTHONPATH": str(ROOT)}
    core = {index % os.cpu_count()}
    return subprocess.Popen([sys.executable, __file__, str(path)], env=environment,
                            preexec_fn=lambda: os.sched_setaffinity(0, core))  # fmt: skip


def worker(path):
    """Measures every network as one of the workers, in the same order as the others."""
    import keras

    import tfdl
    from tfdl.distribution import strategies
    from tfdl.models.foundation.mlp import MLPConfig, mlp
    from tfdl.train.step import exact

    strategy = strategies.create("multi_worker")
    networks = {f"mlp {w}": lambda w=w: mlp(MLPConfig(hidden=(w, w))) for w in WIDTHS}
    for name in ("vit small_images", "resnet cifar20"):  # without and with BatchNorm, which every layer reduces
        networks[name] = lambda name=name: tfdl.build(*name.split(), image_shape=(32, 32, 3), num_classes=10)
    found = {}
    for name, build in networks.items():
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = build()
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(1e-3), loss)
        exact(model)
        costs = {"step": step_time(model, strategy), **checkpoint_cost(model, path.with_suffix(""))}
        found[name] = {"network": name, "parameters": model.count_params(), **costs}
    path.write_text(json.dumps(found))


def step_time(model, strategy):
    """Median seconds of a step in fit."""
    import keras
    import tensorflow as tf

    size, random, ends = PER_WORKER * strategy.num_replicas_in_sync, np.random.default_rng(0), []
    batch = random.random((size, *model.input_shape[1:]), dtype="float32"), random.integers(0, 10, size)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = tf.data.Dataset.from_tensors(batch).repeat(STEPS).with_options(options)
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter()))
    model.fit(data, verbose=0, shuffle=False, callbacks=[clock])
    return statistics.median(np.diff(ends[STEPS // 4 :]))  # the first steps trace and warm up


def checkpoint_cost(model, folder):
    """Median seconds to write and to read a checkpoint, and its size."""
    from tfdl.train import checkpoints

    saves, reads = [], []
    for step in range(SAVES):
        started = time.perf_counter()
        path = checkpoints.save(folder / str(model.count_params()), model, epoch=0, step=step)
        saves.append(time.perf_counter() - started)
        started = time.perf_counter()
        checkpoints.read(path)
        reads.append(time.perf_counter() - started)
    return {"save": statistics.median(saves), "read": statistics.median(reads), "bytes": path.stat().st_size}


if __name__ == "__main__":
    worker(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
