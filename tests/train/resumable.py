"""A small run with dropout, augmentation and shuffling, for killing and resuming.

python resumable.py [--run.out FOLDER] [--run.resume] [--poison] [--slow] [--fault kill --on 1 --mark FILE]
"""

import errno
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import keras

import tfdl
from tfdl.data import augment, images
from tfdl.train import checkpoints


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = 2
    slow: float = 0.0
    """seconds to sleep after each batch"""
    poison: bool = False
    """a learning rate that makes the loss infinite"""
    fault: str = ""
    """what goes wrong after the seventh update: kill, hang, truncate (and kill) or full_disk"""
    on: str = "0"
    """numbers of the workers it happens to, such as 01"""
    mark: str = ""
    """file that is made when it has happened: it does so once"""
    dropout: float = 0.3
    run: tfdl.Run = tfdl.Run()


def main(config):
    run = config.run.start(config, name="resumable")
    shift = augment.random_shift(1)
    data = images.load("digits", batch_size=100, seed=3, position=run.position, augment=shift, limit=450)
    with run.scope():
        inputs = x = keras.Input(data.image_shape)
        x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Dropout(config.dropout)(keras.layers.Flatten()(x))
        model = keras.Model(inputs, keras.layers.Dense(10)(x))
        rate = 1e30 if config.poison else keras.optimizers.schedules.CosineDecay(0.1, 10)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"])
    callbacks = []
    if config.slow:
        callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_, **__: time.sleep(config.slow)))
    if config.fault:
        callbacks.append(Fault(config, run.folder / "checkpoints" / "last"))
    run.fit(model, data, epochs=config.epochs, callbacks=callbacks, save_every=0.0)
    run.finish(model, run.evaluate(model, data))


class Fault(keras.callbacks.Callback):
    """Breaks this worker, if it is one of those that shall break and has not yet."""

    def __init__(self, config, folder):
        super().__init__()
        self.config, self.folder = config, folder
        self.worker = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
        self.mark = Path(f"{config.mark}{self.worker}")

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() != 7 or str(self.worker) not in self.config.on or self.mark.exists():
            return
        self.mark.touch()
        if self.config.fault == "truncate":
            newest = checkpoints.newest_first(self.folder)[0]
            newest.write_bytes(newest.read_bytes()[:-100])
        if self.config.fault in ("kill", "truncate"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.fault == "hang":
            time.sleep(3600)
        if self.config.fault == "full_disk":
            checkpoints.write_bytes = no_space


def no_space(path, data):
    raise OSError(errno.ENOSPC, f"Cannot write {path}: no space left on device")


if __name__ == "__main__":
    tfdl.launch(main, Config)
