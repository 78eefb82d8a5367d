"""Keras callbacks of a run: checkpoints and exact resume, the stop at a NaN loss, the metrics log."""

import errno
import json
import math
import os
import re
import signal
import tempfile
import threading
import time
import warnings
from pathlib import Path

import keras

from tfdl.core import settings
from tfdl.core.files import umask, write_json, write_text
from tfdl.distribution import multi_worker
from tfdl.train import checkpoints
from tfdl.train.callback_state import restore_states, states

GO_ON = "Free some space or make the folder writable, then continue with --run.resume."


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

    Args:
        folder: the run's checkpoints/.
        position: tf.Variable (2,) int64, (epoch, step), that the data pipeline reads.
        resumed: the `Checkpoint` that training goes on from, or None.
        best: of an interrupted run, the dict in best.json.
        monitor: the metric that picks the best epoch.
        mode: "min" or "max"; None derives it from the metric's name, see `direction`.
        others: the user's own callbacks, whose state is saved too.
        mid_epoch: False where the data cannot start in the middle of an epoch: then it saves between epochs only.
    """

    def __init__(
        self,
        folder,
        position,
        *,
        strategy,
        resumed=None,
        best=None,
        monitor="val_loss",
        mode=None,
        patience=None,
        save_every=60.0,
        others=(),
        mid_epoch=True,
    ):
        super().__init__()
        check_patience(patience)
        self.folder, self.position, self.resumed = Path(folder), position, resumed
        self.monitor, self.patience, self.save_every = monitor, patience, save_every
        self.sign = {"min": -1.0, "max": 1.0}[mode or direction(monitor)]
        self.epoch, self.step = (resumed.epoch, resumed.step) if resumed else (0, 0)
        self.seconds_before = resumed.seconds if resumed else 0.0
        self.strategy, self.is_chief = strategy, multi_worker.is_chief(strategy)
        self.best, self.best_epoch = best_of(best or {})
        self.others, self.mid_epoch = others, mid_epoch
        self.signal, self.is_validated, self.has_stepped, self.handlers = None, False, False, {}
        self.started = None

    @property
    def out_of_patience(self):
        """Early stopping: True once `patience` epochs are over since the best one (Prechelt 1998)."""
        if self.patience is None or self.best_epoch is None:
            return False
        return self.epoch - 1 - self.best_epoch >= self.patience

    @property
    def seconds(self):
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + (time.perf_counter() - self.started if self.started is not None else 0.0)

    def on_train_begin(self, logs=None):
        self.started = self.saved = time.perf_counter()
        if self.resumed is not None:
            restore_states(self.others, self.resumed.callbacks)
        if threading.current_thread() is threading.main_thread():
            self.handlers = {s: signal.signal(s, self.on_signal) for s in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(self, number, frame):
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.step, self.is_validated = epoch, 0, False
        if self.resumed is not None and epoch == self.resumed.epoch and self.resumed.step:  # not at an epoch's begin
            self.step = self.resumed.step
            for name, variable in checkpoints.state(self.model).items():
                if name.startswith("metrics/"):  # fit() has just reset them
                    variable.assign(self.resumed.tensors[name])
        self.position.assign([epoch, self.step])

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.has_stepped = True
        is_due = self.is_chief and self.mid_epoch and time.perf_counter() - self.saved >= self.save_every
        stop, due = self.signal is not None, is_due
        if hasattr(self.model, "requests"):  # several workers stop and save after the same step
            stop, due = self.model.requests.exchange(stop, due)
        if (stop or due) and self.mid_epoch:
            self.save(self.epoch, self.step, stop)
        elif stop:
            raise self.interrupted("the epoch's begin")

    def on_test_end(self, logs=None):
        self.is_validated = True

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        is_measured = self.monitor in logs
        if not is_measured and (self.is_validated or not self.monitor.startswith("val_")):
            raise ValueError(f"Cannot monitor {self.monitor!r}: this run reports {', '.join(sorted(logs))}.")
        if is_measured and self.improves(float(logs[self.monitor])):
            self.best, self.best_epoch = float(logs[self.monitor]), epoch
            if self.is_chief:
                self.save_best(epoch, self.best)
        self.epoch, self.step = epoch + 1, 0
        self.save(self.epoch, self.step, multi_worker.total(self.strategy, [self.signal is not None])[0] > 0)
        if self.out_of_patience:
            print(f"stopped early: {self.monitor} has not improved for {self.patience} epochs")
            self.model.stop_training = True

    def improves(self, value):
        """Whether an epoch's value is the best so far; NaN is worse than any number."""
        if self.best is None or math.isnan(self.best):
            return self.best is None or not math.isnan(value)
        return self.sign * value > self.sign * self.best

    def save(self, epoch, step, stop):
        """Writes `last/`; then, if a signal came to any worker, stops the run."""
        path = checkpoints.save(
            self.folder / "last",
            self.model,
            epoch=epoch,
            step=step,
            seconds=self.seconds,
            callbacks=states(self.others),
            write=self.is_chief,
        )
        self.saved = time.perf_counter()
        if stop:
            raise self.interrupted(path if self.is_chief else f"{path.name}, on worker 0")

    def interrupted(self, place):
        """The error that ends a run after a signal."""
        number = self.signal or signal.SIGTERM
        name = signal.Signals(number).name
        return Interrupted(f"{name} came; saved {place}. Continue with the same command and --run.resume.", number)

    def save_best(self, epoch, value):
        folder = self.folder / "best"
        write_model(folder / "model.keras", self.model)
        write_json(folder / "best.json", {"epoch": epoch, "monitor": self.monitor, "value": value})

    def on_train_end(self, logs=None):
        if self.best_epoch is None and self.is_chief:  # validation never ran: the last epoch's weights stand for it
            self.save_best(self.epoch - 1, math.nan)
        self.restore_handlers()

    def restore_handlers(self):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}


def best_of(content):
    """(value, epoch) in a best.json; (None, None), as of a run without one, where they are no numbers."""
    value, epoch = content.get("value"), content.get("epoch")
    if is_number(value) and is_epoch(epoch):
        return float(value), epoch
    if content:
        warnings.warn("best.json holds no value and epoch; the next epoch counts as the best so far.", stacklevel=2)
    return None, None


def is_number(value):
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)


def is_epoch(value):
    return type(value) is int and 0 <= value < checkpoints.MOST


# Words in the names of metrics.  Longer ones match beginnings too: "squared" is in "squared_hinge".
LOWER_IS_BETTER = re.findall(
    r"\w+",
    "loss error mae mse rmse mape perplexity ppl fid nll entropy crossentropy divergence bits cost wer cer distance"
    " deviation squared absolute",
)
HIGHER_IS_BETTER = re.findall(
    r"\w+",
    "acc accuracy auc precision recall f1 fscore iou miou map ap ap50 map50 bleu rouge psnr ssim r2 score reward em"
    " kappa correlation similarity likelihood dice pck",
)


def direction(metric):
    """ "min" where a lower value of the metric is better, "max" where a higher one is, from the words in its name.

    Raises:
        ValueError: the name says neither; give `mode`.
    """
    words = re.split(r"[^a-z0-9]+", metric.lower())
    if any(says(word, known) for word in words for known in LOWER_IS_BETTER):
        return "min"
    if any(says(word, known) for word in words for known in HIGHER_IS_BETTER):
        return "max"
    raise ValueError(f"Is a lower or a higher {metric!r} better? Give mode='min' or mode='max'.")


def check_patience(patience):
    """Raises ValueError for less than one epoch."""
    if patience is not None and patience < 1:
        raise ValueError(f"patience is {patience}; give 1 epoch or more, or None to train to the end.")


def says(word, known):
    """Whether a word of a metric's name is one of the known words, or begins with a long one."""
    return word.startswith(known) if len(known) > 4 else word == known


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
    path = settings.heartbeat()
    return [Heartbeat(path)] if path else []


class MetricsLog(keras.callbacks.Callback):
    """Appends a JSON line for each epoch to `metrics.jsonl`.

    Of an interrupted run it keeps the lines of the epochs before `initial_epoch`; a line that was cut off is dropped.
    """

    def __init__(self, path, *, examples, initial_epoch):
        super().__init__()
        self.path, self.examples = Path(path), examples
        self.history = []
        if self.path.exists() or self.path.is_symlink():
            kept = [row for row in read_rows(self.path) if row["epoch"] < initial_epoch]
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def rows(self):
        """Every epoch's dict, those before an interruption included."""
        return read_rows(self.path)

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
        append_line(self.path, json.dumps(row))
        self.history.append(row)


def read_rows(path):
    """The dicts of a JSON-lines file, without lines that a crash cut off or that hold anything but numbers."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and is_epoch(row.get("epoch")) and all(map(is_number, row.values())):
            rows.append(row)
    return rows


def append_line(path, line):
    """Appends a whole line in one write.

    Raises:
        OSError: `path` is a symbolic link, which a folder from elsewhere may hold, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)
    except OSError as error:
        raise OSError(error.errno, f"Cannot write {path}: {error.strerror}. {GO_ON}") from error


def write_model(path, model):
    """Saves a model as a .keras file under a temporary name and renames it.

    Raises:
        OSError: the folder cannot be written or the disk is full; what stood there before is unchanged.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".model.", suffix=".keras", dir=path.parent)
        os.close(descriptor)
        model.save(temporary)
        os.chmod(temporary, 0o666 & ~umask())  # mkstemp makes it private
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        # h5py and zipfile do not always pass the error number on.
        number = error.errno or (errno.ENOSPC if "No space left" in str(error) else errno.EIO)
        raise OSError(number, f"Cannot write {path}: {error.strerror or error}. {GO_ON}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
