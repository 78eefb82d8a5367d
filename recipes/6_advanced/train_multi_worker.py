"""A recipe in one process, then in several that train one network together: the same accuracy, and how fast.

Stage 6 (advanced) - Goyal et al. 2017, arXiv:1706.02677; TensorFlow's MultiWorkerMirroredStrategy
Run:     tfdl run train_multi_worker
Expect:  weights within 3e-7, the same test accuracy 0.739 after 2 epochs of digits (seed 0)
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
from tfdl.train.command_line import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    workers: int = 2  # processes on this machine, with its cores or GPUs shared out
    epochs: int = 2
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_multi_worker")

    # train
    def trained(workers):
        folder = run.folder / "arms" / f"{workers}_worker"
        flags = {"model": "lenet", "variant": "lenet5", "data": config.data, "epochs": config.epochs,
                 "run.seed": run.seed, "run.precision": config.run.precision, "run.out": folder}  # fmt: skip
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "tfdl", "run", "classify_images", *words]
        code = supervise([*command, "--run.smoke"] if config.run.smoke else command, Launch(workers=workers))
        if code:
            raise RuntimeError(f"The run of {workers} workers ended with {code}; see what it printed.")
        (newest, *_), summary = newest_first(folder / "checkpoints" / "last"), read_json(folder / "summary.json")
        weights = {name: x for name, x in load_file(newest).items() if name.startswith("model/")}
        return weights, summary["metrics"]["test_accuracy"], summary["examples_per_second"]

    (one, accuracy, speed), (many, other_accuracy, other_speed) = trained(1), trained(config.workers)

    # compare
    run.show("throughput", bars({"1 worker": speed, f"{config.workers} workers": other_speed}, y_label="examples/s"))
    difference = max(np.abs(one[name] - many[name]).max() for name in one if one[name].dtype == np.float32)
    accuracies = {"test_accuracy/1": accuracy, f"test_accuracy/{config.workers}": other_accuracy}
    return run.finish(None, {"weights_differ": difference, **accuracies, "speed_ratio": other_speed / speed})


if __name__ == "__main__":
    launch(main, Config)
