"""Progress of a training as text: Keras's bar in a terminal, a line every ten seconds in a pipe or a log file."""

import sys
import time

import keras

SECONDS = 10.0  # between two lines within an epoch


def progress(label=""):
    """`verbose` for Keras's `fit`, and the callbacks that go with it.

    Args:
        label: what each line begins with, such as the name of one of several trainings.
    """
    if sys.stdout.isatty():
        return 1, [Compiling(label)]
    return 0, [Compiling(label), ProgressLines(label)]


class Compiling(keras.callbacks.Callback):
    """Says that the first batch takes longer, and how long it took."""

    def __init__(self, label=""):
        super().__init__()
        self.label, self.started = label, None

    def on_train_begin(self, logs=None):
        say(self.label, "compiling the training step; the first batch takes longer ...")
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self.started is not None:
            if not sys.stdout.isatty():  # in a terminal the bar is drawn by now
                say(self.label, f"compiled in {time.perf_counter() - self.started:.0f} s")
            self.started = None


class ProgressLines(keras.callbacks.Callback):
    """A line at the end of each epoch, and within an epoch one every `SECONDS`."""

    def __init__(self, label="", clock=time.perf_counter):
        super().__init__()
        self.label, self.clock = label, clock

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.batches = epoch, 0
        self.started = self.written = self.clock()

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        now = self.clock()
        if now - self.written >= SECONDS:
            self.written = now
            steps = self.params.get("steps")
            place = f"batch {batch + 1}/{steps}" if steps else f"batch {batch + 1}"
            speed = f"{(now - self.started) / self.batches:.2f} s per batch"
            say(self.label, f"{self.name()}  {place}  {numbers(logs)}  {speed}")

    def on_epoch_end(self, epoch, logs=None):
        say(self.label, f"{self.name()}  {numbers(logs)}  {self.clock() - self.started:.1f} s")

    def name(self):
        return f"epoch {self.epoch + 1}/{self.params['epochs']}"


def numbers(logs):
    """{"loss": 0.5, "val_loss": 0.6} -> "loss 0.5000  val_loss 0.6000"."""
    return "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())


def say(label, text):
    print(f"{label}  {text}" if label else text, flush=True)
