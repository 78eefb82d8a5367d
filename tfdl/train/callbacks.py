"""Keras callbacks of a run: checkpoints and exact resume, the stop at a NaN loss, the metrics log."""

import json
import math
import os
import signal
import threading
import time
from pathlib import Path

import keras

from tfdl.core.files import write_json
from tfdl.distribution import multi_worker
from tfdl.train import checkpoints


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite."""


class Interrupted(RuntimeError):
    """SIGTERM or Ctrl-C stopped the run after a checkpoint; `signal` is the signal's number."""

    def __init__(self, message, number):
        super().__init__(message)
        self.signal = number


class Checkpoints(keras.callbacks.Callback):
    """Saves `last/` every `save_every` seconds and at every epoch's end, `best/model.keras` when `monitor` improves.

    Stops early after `patience` epochs without improvement.  Sets the data's `position` at every epoch's begin, puts
    back the metrics of an epoch that was left in its middle, and turns SIGTERM and Ctrl-C into a checkpoint followed by
    `Interrupted`.  A second Ctrl-C doesn't wait.

    Of several workers the chief writes; all stop if one gets a signal, after the same step.
    """

    def __init__(
        self, folder, position, *, strategy, resumed=None, best=None, monitor="val_loss", patience=None, save_every=60.0
    ):
        super().__init__()
        if patience is not None and patience < 1:
            raise ValueError(f"patience is {patience}; give 1 epoch or more, or None to train to the end.")
        self.folder, self.position, self.resumed = Path(folder), position, resumed
        self.monitor, self.patience, self.save_every = monitor, patience, save_every
        self.sign = -1.0 if "loss" in monitor or "error" in monitor else 1.0
        self.epoch, self.step = (resumed.epoch, resumed.step) if resumed else (0, 0)
        self.seconds_before = resumed.seconds if resumed else 0.0
        self.strategy, self.is_chief = strategy, multi_worker.is_chief(strategy)
        self.best, self.best_epoch = (best or {}).get("value"), (best or {}).get("epoch")
        self.signal = None

    @property
    def out_of_patience(self):
        """Early stopping: True once `patience` epochs are over since the best one (Prechelt 1998)."""
        if self.patience is None or self.best_epoch is None:
            return False
        return self.epoch - 1 - self.best_epoch >= self.patience

    @property
    def seconds(self):
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + time.perf_counter() - self.started

    def on_train_begin(self, logs=None):
        self.started = self.saved = time.perf_counter()
        self.handlers = {}
        if threading.current_thread() is threading.main_thread():
            self.handlers = {s: signal.signal(s, self.on_signal) for s in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(self, number, frame):
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.step = epoch, 0
        if self.resumed is not None and epoch == self.resumed.epoch and self.resumed.step:  # not at an epoch's begin
            self.step = self.resumed.step
            for name, variable in checkpoints.state(self.model).items():
                if name.startswith("metrics/"):  # fit() has just reset them
                    variable.assign(self.resumed.tensors[name])
        self.position.assign([epoch, self.step])

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        wishes = self.signal is not None, self.is_chief and time.perf_counter() - self.saved >= self.save_every
        stop, due = self.model.poll.ask(*wishes) if hasattr(self.model, "poll") else wishes
        if stop or due:
            self.save(self.epoch, self.step, stop)

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in logs:
            raise ValueError(f"Cannot monitor {self.monitor!r}: this run reports {', '.join(sorted(logs))}.")
        value = float(logs[self.monitor])
        if self.best is None or self.sign * value > self.sign * self.best:
            self.best, self.best_epoch = value, epoch
            if self.is_chief:
                self.save_best(epoch, value)
        self.epoch, self.step = epoch + 1, 0
        self.save(self.epoch, self.step, multi_worker.total(self.strategy, [self.signal is not None])[0] > 0)
        if self.out_of_patience:
            self.model.stop_training = True

    def save(self, epoch, step, stop):
        """Writes `last/`; then, if a signal came to any worker, stops the run."""
        path = checkpoints.save(
            self.folder / "last", self.model, epoch=epoch, step=step, seconds=self.seconds, write=self.is_chief
        )
        self.saved = time.perf_counter()
        if stop:
            number = self.signal or signal.SIGTERM
            name = signal.Signals(number).name
            raise Interrupted(f"{name} came; saved {path}. Go on with the same command and --run.resume.", number)

    def save_best(self, epoch, value):
        folder = self.folder / "best"
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / ".model.tmp.keras"
        self.model.save(temporary)
        temporary.replace(folder / "model.keras")
        write_json(folder / "best.json", {"epoch": epoch, "monitor": self.monitor, "value": value})

    def on_train_end(self, logs=None):
        self.restore_handlers()

    def restore_handlers(self):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}


class StopAtNonFiniteLoss(keras.callbacks.Callback):
    """Raises `NonFiniteLoss` at the batch where the loss becomes NaN or infinite.

    With float16 an overflow only halves the loss scale and skips the update; there it stops once the scale is below 1.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder, self.epoch = Path(folder), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if math.isfinite(float(logs["loss"])):
            return
        scale = getattr(self.model.optimizer, "dynamic_scale", None)
        if scale is not None and float(scale.numpy()) >= 1.0:
            return
        good = checkpoints.newest_first(self.folder / "last")
        where = f"the last good checkpoint is {good[0]}" if good else "there is no checkpoint yet"
        raise NonFiniteLoss(
            f"The loss is {float(logs['loss'])} at update {int(self.model.optimizer.iterations.numpy())} (epoch"
            f" {self.epoch + 1}, batch {batch}); {where}. Lower the learning rate, clip gradients, or check that batch."
        )


class Heartbeat(keras.callbacks.Callback):
    """Touches a file after every batch: a launcher sees that this worker does not hang."""

    def __init__(self, path):
        super().__init__()
        self.path = Path(path)

    def on_train_begin(self, logs=None):
        self.path.write_text("busy")

    def on_train_batch_end(self, batch, logs=None):
        self.path.touch()

    on_test_batch_end = on_train_batch_end

    def on_train_end(self, logs=None):
        self.path.write_text("idle")  # an export may take its time


def heartbeats():
    """A `Heartbeat` if a launcher wants one (TFDL_HEARTBEAT).  -> list"""
    path = os.environ.get("TFDL_HEARTBEAT")
    return [Heartbeat(path)] if path else []


class MetricsLog(keras.callbacks.Callback):
    """Appends one JSON line per epoch to `metrics.jsonl`."""

    def __init__(self, path, *, examples, initial_epoch):
        super().__init__()
        self.path, self.examples = Path(path), examples
        if self.path.exists():  # a resumed run repeats the epochs that came after its checkpoint
            lines = [line for line in self.path.read_text().splitlines() if json.loads(line)["epoch"] < initial_epoch]
            self.path.write_text("".join(line + "\n" for line in lines))
        self.history = []

    def rows(self):
        """Every epoch's dict, those before an interruption included."""
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def on_epoch_begin(self, epoch, logs=None):
        self.started, self.batches = time.perf_counter(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        self.trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, "updates": int(self.model.optimizer.iterations.numpy())}
        row |= {name: float(value) for name, value in logs.items()}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        if hasattr(self.model.optimizer, "dynamic_scale"):
            row["loss_scale"] = float(self.model.optimizer.dynamic_scale.numpy())
        if self.batches:
            row["examples_per_second"] = self.examples / (self.trained - self.started)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.history.append(row)
