"""`Run`: the flags that every recipe shares, and the folder that its run leaves behind.

runs/NAME/
  config.json   the recipe's flags            tb/                 TensorBoard
  env.json      versions, devices, commit     checkpoints/last    two newest states, for --run.resume
  metrics.jsonl one line an epoch             checkpoints/best    model.keras at the best validation value
  summary.json  every metric, seconds, hash   export/, MODEL_CARD.md   what the recipe exports
  figures/      PNG files                     arms/ARM/           the same for each training of a comparison
"""

import atexit
import copy
import dataclasses
import json
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

from tfdl.core import static
from tfdl.core.files import read_json, write_bytes, write_json
from tfdl.distribution import multi_worker, strategies
from tfdl.figures.style import write_png
from tfdl.train import checkpoints
from tfdl.train.callbacks import Checkpoints, MetricsLog, StopAtNonFiniteLoss, heartbeats
from tfdl.train.precision import set_precision
from tfdl.train.reports.environment import environment
from tfdl.train.reports.tensorboard import image_tensor, tensorboard_callbacks
from tfdl.train.reports.tracking import tracker_callback
from tfdl.train.step import exact

SMOKE_EXAMPLES = 48  # of each split in a smoke run
STATIC_SMOKE_EXAMPLES = 512  # where a batch must be full: at least one
MAY_CHANGE = {"epochs", "run.resume", "run.out", "run.strategy", "run.tracker"}  # between a run and its resumption


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """How to run, the same in every recipe."""

    seed: int = 0
    """of weights, dropout, shuffling and augmentation"""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """dtype policy"""
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"
    """auto: the cluster this process belongs to, or all GPUs of this machine if there are several, or one device"""
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
        name, folder: of the run.  Of several workers the chief has the folder; the others get a temporary one.
        board: its TensorBoard folder.
        command: what was typed, for the model card.
        seed: for the data pipeline.
        position: tf.Variable (2,) int64, (epoch, step) where the training data goes on; the data pipeline reads it.
        initial_epoch: for `fit`.
        limit: examples of each split to use, None for all.
        verbose: for `fit`: a progress bar in a terminal, a line an epoch in a log file.
    """

    def __init__(self, run, config, name):
        self.run, self.name, self.seed, self.flags = run, name, run.seed, flatten(dataclasses.asdict(config))
        self.is_arm, self.arm_seconds, self.started = False, {}, time.perf_counter()
        self.strategy = strategies.create(run.strategy)
        self.is_chief = multi_worker.is_chief(self.strategy)
        self.folder = Path(run.out or Path("runs") / name) if self.is_chief else silent_folder()
        self.board = self.folder / "tb"
        if not tf.config.list_physical_devices("GPU"):
            # Without it MobileNetV2's first step comes 10 s earlier on two cores; later steps were not slower.
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        is_tpu = strategies.is_tpu(self.strategy)
        static.require(self.strategy.num_replicas_in_sync if is_tpu else 0)
        set_precision(run.precision, is_tpu=is_tpu)
        keras.utils.set_random_seed(run.seed)
        self.position = tf.Variable([0, 0], dtype=tf.int64, trainable=False, name="position")
        self.environment = environment(self.strategy)
        self.command = self.environment["command"]
        self.resumes = run.resume or self.was_launched_before()
        self.go_on_from(self.from_chief(self.open_folder))
        self.writer = tf.summary.create_file_writer(str(self.board))
        self.limit = (STATIC_SMOKE_EXAMPLES if is_tpu else SMOKE_EXAMPLES) if run.smoke else None
        self.verbose = 1 if sys.stdout.isatty() else 2

    def from_chief(self, find):
        """The `Checkpoint` or None that `find()` returns on the chief, on all workers."""
        content = multi_worker.from_chief(self.strategy, lambda: checkpoints.to_bytes(find()))
        return checkpoints.from_bytes(content, self.folder / "checkpoints" / "last")

    def open_folder(self):
        """Makes the run folder, or finds the checkpoint to go on from."""
        config = self.folder / "config.json"
        resumed = None
        if self.resumes:
            saved = read_json(config)
            changed = {k for k in saved.keys() | self.flags.keys() if saved.get(k) != self.flags.get(k)} - MAY_CHANGE
            if changed:
                differences = ", ".join(f"{k} was {saved.get(k)} and is {self.flags.get(k)}" for k in sorted(changed))
                raise ValueError(f"Cannot resume {self.folder}: {differences}. Use the first flags or a new --run.out.")
            last = self.folder / "checkpoints" / "last"
            if not (self.folder / "arms").exists() and (self.run.resume or checkpoints.newest_first(last)):
                resumed = checkpoints.read_newest(last)
        elif self.folder.exists() and any(self.folder.iterdir()):
            last, arms = self.folder / "checkpoints" / "last", self.folder / "arms"
            if arms.exists() or checkpoints.newest_first(last):
                remedy = "Go on with --run.resume, or give another with --run.out."
            else:
                remedy = "Give another with --run.out, or delete this one."
            raise FileExistsError(f"The run folder {self.folder} is not empty. {remedy}")
        write_json(config, self.flags)
        write_json(self.folder / "env.json", self.environment)
        return resumed

    def was_launched_before(self):
        """Whether the launcher that started this process started this very run before, and does so again."""
        launch, last = self.environment["launch"], self.folder / "env.json"
        return launch is not None and last.exists() and read_json(last).get("launch") == launch

    def earlier(self, name):
        """A JSON file that this run left in its folder before it was interrupted, as the chief has it; {} without."""
        path = self.folder / name
        find = lambda: path.read_bytes() if self.resumes and path.exists() else b"{}"  # noqa: E731
        return json.loads(multi_worker.from_chief(self.strategy, find))

    def go_on_from(self, checkpoint):
        """Where training begins: at a `Checkpoint`, or at the beginning for None."""
        self.resumed = checkpoint
        epoch, step = (checkpoint.epoch, checkpoint.step) if checkpoint else (0, 0)
        self.position.assign([epoch, step])
        self.initial_epoch = epoch

    def arm(self, name):
        """A session for one of several trainings: the same flags, seed and data position, in arms/NAME and tb/NAME.

        Raises:
            ValueError: `name` can't be a folder.
        """
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"{name!r} can't name an arm's folder: use letters and digits, then also . + - _ inside.")
        arm = copy.copy(self)
        arm.is_arm = True
        arm.name, arm.folder, arm.board = f"{self.name}/{name}", self.folder / "arms" / name, self.board / name
        arm.folder.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(self.seed)  # every arm starts alike, whatever came before it
        last = arm.folder / "checkpoints" / "last"
        arm.go_on_from(
            arm.from_chief(lambda: checkpoints.read_newest(last) if self.resumes and last.exists() else None)
        )
        return arm

    def scope(self):
        """Build and compile the model inside `with run.scope():`."""
        return self.strategy.scope()

    def epochs(self, wanted):
        """`wanted`, or 1 in a smoke run."""
        return 1 if self.run.smoke else wanted

    def prepare(self, model, data, *, epochs, monitor="val_loss", patience=None, save_every=60.0):
        """Gives the compiled model the exact step, restores it when resuming, returns the callbacks for `fit`.

        Args:
            data: has `train`, `validation`, `counts` and `labels`, made with this session's `position`.
            epochs: as given to `fit`.
            monitor: the metric that picks the best epoch; lower is better if its name has "loss" or "error".
            patience: early stopping, after so many epochs without a better `monitor`; `load_best` gives the best back.
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
            self.folder / "checkpoints", self.position, strategy=self.strategy, resumed=self.resumed,
            best=self.earlier("checkpoints/best/best.json"), monitor=monitor, patience=patience, save_every=save_every,
        )  # fmt: skip
        if self.saver.out_of_patience:
            self.initial_epoch = epochs  # it was stopped early and then interrupted: there is nothing left to train
        self.log = MetricsLog(
            self.folder / "metrics.jsonl", examples=data.counts["train"], initial_epoch=self.initial_epoch
        )
        callbacks = [StopAtNonFiniteLoss(self.folder / "checkpoints"), self.log, *heartbeats(), self.saver]
        if not self.is_chief:
            return callbacks
        tracker = tracker_callback(self.run.tracker, run_name=self.name, folder=self.folder, config=self.flags)
        boards = tensorboard_callbacks(self.board, data, epochs=epochs, flags=self.flags, pictures=not self.is_arm)
        return [*callbacks[:-1], *boards, *([tracker] if tracker else []), self.saver]

    def load_best(self, model):
        """Notes the final weights' hash, then puts the best epoch's weights into `model`."""
        self.weights_sha256 = checkpoints.weights_sha256(model)
        if static.is_required():
            model.test_function = None  # traced again for the test split: one trace for both would leave the size open
        best = self.folder / "checkpoints" / "best" / "model.keras"
        if multi_worker.count(self.strategy) > 1:
            content = multi_worker.from_chief(self.strategy, best.read_bytes)
            if not self.is_chief:
                write_bytes(best, content)
        with warnings.catch_warnings():  # an optimizer that has not stepped yet takes no state, and needs none
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            model.load_weights(best)

    def show(self, name, figure):
        """Saves a matplotlib figure as figures/NAME.png and as the image NAME in TensorBoard."""
        write_png(figure, self.folder / "figures" / f"{name}.png")
        with self.writer.as_default(step=0):
            tf.summary.image(name, image_tensor(figure))
        self.writer.flush()

    def curve(self, name, values):
        """One scalar curve in TensorBoard: a point for each of `values`, from step 0 on."""
        with self.writer.as_default():
            for step, value in enumerate(values):
                tf.summary.scalar(name, float(value), step=step)
        self.writer.flush()

    def finish(self, model, metrics, **more):
        """Writes summary.json, prints what matters and where it lies, returns the summary.

        Args:
            model: that was trained; None for a computation or a comparison.
            metrics: the numbers to promise, for example {"test_accuracy": 0.98}.
            more: anything else worth keeping, JSON-ready.
        """
        summary = {
            "name": self.name,
            "command": self.command,
            "commit": self.environment["commit"],
            "seed": self.run.seed,
            "metrics": {name: float(value) for name, value in metrics.items()},
            **(self.computed() if model is None else self.trained(model)),
            "versions": self.environment["versions"],
            "config": self.flags,
            **more,
        }
        write_json(self.folder / "summary.json", summary)
        for name, value in summary["metrics"].items():
            self.curve(f"result_{name}", [value])
        numbers = summary["metrics"] | {k: summary[k] for k in ("parameters", "seconds") if summary[k] is not None}
        width = max(map(len, numbers)) + 2
        print("\n".join(f"{name:<{width}}{value:>12,.4g}" for name, value in numbers.items()))
        print(f"everything is in {self.folder}; to look at it:  tensorboard --logdir {self.board}")
        return summary

    def trained(self, model):
        """What summary.json says of a model that `fit` trained."""
        history = self.log.history
        speeds = [row["examples_per_second"] for row in history if "examples_per_second" in row]
        return {
            "history": history[-1] if history else {},
            "parameters": model.count_params(),
            "seconds": round(self.saver.seconds, 1),
            "examples_per_second": round(max(speeds), 1) if speeds else None,
            "weights_sha256": self.weights_sha256,
        }

    def computed(self):
        """The same of a run without one: seconds of all arms, those before an interruption included."""
        seconds = sum(self.arm_seconds.values()) if self.arm_seconds else time.perf_counter() - self.started
        return {"parameters": None, "seconds": round(seconds, 1), "weights_sha256": None}


def silent_folder():
    """A temporary run folder for a worker that isn't the chief, whose prints nobody needs: the chief says the same."""
    folder = Path(tempfile.mkdtemp(prefix="tfdl-worker-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
    return folder


def flatten(flags, prefix=""):
    """{"run": {"seed": 0}} -> {"run.seed": 0}."""
    flat = {}
    for name, value in flags.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
