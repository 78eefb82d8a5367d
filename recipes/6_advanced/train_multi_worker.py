"""Multi-worker training: a recipe in one process and in several, with the same accuracy; and their throughput.

Stage 6 (advanced) - Goyal et al. 2017, arXiv:1706.02677; TensorFlow's MultiWorkerMirroredStrategy
Run:     tfdl run train_multi_worker
Expect:  weights within 2e-7, the same test accuracy 0.725 after 2 epochs of digits (seed 0)
"""

import sys
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file

import tfdl
from tfdl.core.files import read_json
from tfdl.distribution.local_cluster import Launch, supervise
from tfdl.figures.curves import bars
from tfdl.train.checkpoints import newest_first


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare one process with several workers."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    model: str = "lenet"
    """key of an image classifier: tfdl list --stage 2"""
    variant: str = "lenet5"
    """row of the model's VARIANTS: tfdl show MODEL"""
    workers: int = 2
    """processes on this machine, which divide its cores or GPUs"""
    epochs: int = 2
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_multi_worker")
    run.open()

    # Train
    one, many = (trained(run, config, workers) for workers in (1, config.workers))

    # Compare
    speeds = {"1 worker": one["speed"], f"{config.workers} workers": many["speed"]}
    run.show("throughput", bars(speeds, y_label="examples/s", title="Throughput"))
    floats = [name for name, values in one["weights"].items() if values.dtype == np.float32]
    difference = max(np.abs(one["weights"][name] - many["weights"][name]).max() for name in floats)
    metrics = {
        "weights_differ": difference,
        "test_accuracy/1": one["accuracy"],
        f"test_accuracy/{config.workers}": many["accuracy"],
        "speed_ratio": many["speed"] / one["speed"],
    }
    return run.finish(None, metrics)


def trained(run, config, workers):
    """Weights, test accuracy and examples/s of a training by this many workers."""
    folder = run.folder / "variants" / f"{workers}_worker"
    flags = {
        "model": config.model,
        "variant": config.variant,
        "data": config.data,
        "epochs": config.epochs,
        "run.seed": run.seed,
        "run.precision": config.run.precision,
        "run.out": folder,
    }
    command = [sys.executable, "-m", "tfdl", "run", "classify_images"]
    for name, value in flags.items():
        command += [f"--{name}", str(value)]
    if config.run.smoke:
        command.append("--run.smoke")
    code = supervise(command, Launch(workers=workers))
    if code:
        raise RuntimeError(f"The run of {workers} workers ended with exit code {code}; see its output above.")
    newest = newest_first(folder / "checkpoints" / "last")[0]
    summary = read_json(folder / "summary.json")
    return {
        "weights": {name: values for name, values in load_file(newest).items() if name.startswith("model/")},
        "accuracy": summary["metrics"]["test_accuracy"],
        "speed": summary["examples_per_second"],
    }


if __name__ == "__main__":
    tfdl.launch(main, Config)
