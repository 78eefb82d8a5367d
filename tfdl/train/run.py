"""`Run`: the flags that every recipe shares, and the folder that its run leaves behind.

runs/NAME/
  config.json   the recipe's flags            tb/                 TensorBoard
  env.json      versions, devices, commit     checkpoints/last    two newest states, for --run.resume
  metrics.jsonl one line an epoch             checkpoints/best    model.keras at the best validation value
  summary.json  every metric, seconds, hash   export/, MODEL_CARD.md   what the recipe exports
"""

import dataclasses
import sys
import warnings
from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

from tfdl.core.files import read_json, write_json
from tfdl.distribution import strategies
from tfdl.train import checkpoints
from tfdl.train.callbacks import Checkpoints, MetricsLog, StopAtNonFiniteLoss
from tfdl.train.environment import environment
from tfdl.train.precision import set_precision
from tfdl.train.step import exact
from tfdl.train.tensorboard import tensorboard_callbacks
from tfdl.train.tracking import tracker_callback

SMOKE_EXAMPLES = 48  # of each split in a smoke run
MAY_CHANGE = {"epochs", "run.resume", "run.out", "run.strategy", "run.tracker"}  # between a run and its resumption


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """How to run, the same in every recipe."""

    seed: int = 0
    """of weights, dropout, shuffling and augmentation"""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """dtype policy"""
    strategy: Literal["auto", "single", "mirrored", "tpu"] = "auto"
    """auto: all GPUs of this machine if there are several, else one device"""
    accumulate: int = 1
    """micro-batches per update: the same result with less memory"""
    out: str = ""
    """run folder; empty: runs/NAME"""
    resume: bool = False
    """go on from the newest checkpoint in the run folder"""
    smoke: bool = False
    """a few examples and one epoch, to see that everything works"""
    tracker: Literal["none", "wandb", "mlflow"] = "none"
    """mirror the metrics to Weights & Biases or MLflow (extra `track`)"""

    def start(self, config, *, name):
        """Seeds, precision, strategy and run folder.  Returns the `Session`.

        Args:
            config: the recipe's whole Config, for config.json.
            name: of the folder below runs/, unless `out` is given.

        Raises:
            ValueError: this machine can't do the strategy, or the flags differ from the run's that is resumed.
            FileExistsError: the folder isn't empty and `resume` is off.
        """
        return Session(self, config, name)


class Session:
    """A run under way.

    Attributes:
        name, folder: of the run.
        command: what was typed, for the model card.
        seed: for the data pipeline.
        position: tf.Variable (2,) int64, (epoch, step) where the training data goes on; the data pipeline reads it.
        initial_epoch: for `fit`.
        limit: examples of each split to use, None for all.
        verbose: for `fit`: a progress bar in a terminal, a line an epoch in a log file.
    """

    def __init__(self, run, config, name):
        self.run, self.name, self.seed, self.flags = run, name, run.seed, flatten(dataclasses.asdict(config))
        self.folder = Path(run.out or Path("runs") / name)
        self.strategy = strategies.create(run.strategy)
        if not tf.config.list_physical_devices("GPU"):
            # Without it MobileNetV2's first step comes 10 s earlier on two cores; later steps were not slower.
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        set_precision(run.precision)
        keras.utils.set_random_seed(run.seed)
        self.resumed = self.open_folder()
        self.position = tf.Variable([0, 0], dtype=tf.int64, trainable=False, name="position")
        if self.resumed is not None:
            self.position.assign([self.resumed.epoch, self.resumed.step])
        self.initial_epoch = self.resumed.epoch if self.resumed else 0
        self.limit = SMOKE_EXAMPLES if run.smoke else None
        self.verbose = 1 if sys.stdout.isatty() else 2

    def open_folder(self):
        """Makes the run folder, or finds the checkpoint to go on from."""
        config = self.folder / "config.json"
        resumed = None
        if self.run.resume:
            saved = read_json(config)
            changed = {k for k in saved.keys() | self.flags.keys() if saved.get(k) != self.flags.get(k)} - MAY_CHANGE
            if changed:
                differences = ", ".join(f"{k} was {saved.get(k)} and is {self.flags.get(k)}" for k in sorted(changed))
                raise ValueError(f"Cannot resume {self.folder}: {differences}. Use the first flags or a new --run.out.")
            resumed = checkpoints.read_newest(self.folder / "checkpoints" / "last")
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(
                f"The run folder {self.folder} is not empty. Go on with --run.resume, or give another with --run.out."
            )
        write_json(config, self.flags)
        self.environment = environment(self.strategy)
        write_json(self.folder / "env.json", self.environment)
        self.command = self.environment["command"]
        return resumed

    def scope(self):
        """Build and compile the model inside `with run.scope():`."""
        return self.strategy.scope()

    def epochs(self, wanted):
        """`wanted`, or 1 in a smoke run."""
        return 1 if self.run.smoke else wanted

    def prepare(self, model, data, *, epochs, monitor="val_loss", save_every=60.0):
        """Gives the compiled model the exact step, restores it when resuming, returns the callbacks for `fit`.

        Args:
            data: has `train`, `validation`, `counts` and `labels`, made with this session's `position`.
            epochs: as given to `fit`.
            monitor: the metric that picks the best epoch; lower is better if its name has "loss" or "error".
            save_every: seconds between checkpoints.

        Raises:
            ValueError: the checkpoint does not fit the model, or an option would be silently wrong (see `exact`).
        """
        with self.scope():
            model._symbolic_build(data_batch=data.train.element_spec)  # metrics and optimizer too: they are restored
        exact(model, accumulate=self.run.accumulate)
        if self.resumed is not None:
            checkpoints.restore(model, self.resumed)
            # The rest of an interrupted epoch is shorter than Keras expects.
            warnings.filterwarnings("ignore", message="Your input ran out of data")
            print(f"resumed from {self.resumed.path} (epoch {self.resumed.epoch + 1}, batch {self.resumed.step})")
        self.saver = Checkpoints(
            self.folder / "checkpoints", self.position, resumed=self.resumed, monitor=monitor, save_every=save_every
        )
        self.log = MetricsLog(
            self.folder / "metrics.jsonl", examples=data.counts["train"], initial_epoch=self.initial_epoch
        )
        tracker = tracker_callback(self.run.tracker, run_name=self.name, folder=self.folder, config=self.flags)
        stop = StopAtNonFiniteLoss(self.folder / "checkpoints")
        boards = tensorboard_callbacks(self.folder / "tb", data, epochs=epochs, flags=self.flags)
        return [stop, self.log, *boards, *([tracker] if tracker else []), self.saver]

    def load_best(self, model):
        """Notes the final weights' hash, then puts the best epoch's weights into `model`."""
        self.weights_sha256 = checkpoints.weights_sha256(model)
        model.load_weights(self.folder / "checkpoints" / "best" / "model.keras")

    def finish(self, model, metrics, **more):
        """Writes summary.json, prints what matters and where it lies, returns the summary.

        Args:
            metrics: the numbers to promise, for example {"test_accuracy": 0.98}.
            more: anything else worth keeping, JSON-ready.
        """
        history = self.log.history
        speeds = [row["examples_per_second"] for row in history if "examples_per_second" in row]
        summary = {
            "name": self.name,
            "command": self.command,
            "commit": self.environment["commit"],
            "seed": self.run.seed,
            "metrics": {name: float(value) for name, value in metrics.items()},
            "history": history[-1] if history else {},
            "parameters": model.count_params(),
            "seconds": round(self.saver.seconds, 1),
            "examples_per_second": round(max(speeds), 1) if speeds else None,
            "weights_sha256": self.weights_sha256,
            "versions": self.environment["versions"],
            "config": self.flags,
            **more,
        }
        write_json(self.folder / "summary.json", summary)
        numbers = {**summary["metrics"], "parameters": summary["parameters"], "seconds of training": summary["seconds"]}
        print("\n".join(f"{name:<24}{value:>12,.4g}" for name, value in numbers.items()))
        print(f"everything is in {self.folder}; to look at it:  tensorboard --logdir {self.folder / 'tb'}")
        return summary


def flatten(flags, prefix=""):
    """{"run": {"seed": 0}} -> {"run.seed": 0}."""
    flat = {}
    for name, value in flags.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
