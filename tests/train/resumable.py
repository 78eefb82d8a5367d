"""A small run with dropout, augmentation and shuffling, for killing and resuming.

python resumable.py [--run.out FOLDER] [--run.resume] [--poison] [--slow]
"""

import time
from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import augment, images
from tfdl.train.command_line import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = 2
    slow: float = 0.0
    """seconds to sleep after each batch"""
    poison: bool = False
    """a learning rate that makes the loss infinite"""
    run: tfdl.Run = tfdl.Run()


def main(config):
    run = config.run.start(config, name="resumable")
    shift = augment.random_shift(1)
    data = images.load("digits", batch_size=100, seed=3, position=run.position, augment=shift, limit=450)
    with run.scope():
        inputs = x = keras.Input(data.image_shape)
        x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
        model = keras.Model(inputs, keras.layers.Dense(10)(x))
        rate = 1e30 if config.poison else keras.optimizers.schedules.CosineDecay(0.1, 10)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"])
    callbacks = run.prepare(model, data, epochs=config.epochs, save_every=0.0)
    if config.slow:
        callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_, **__: time.sleep(config.slow)))
    model.fit(
        data.train, validation_data=data.validation, epochs=config.epochs, initial_epoch=run.initial_epoch,
        callbacks=callbacks, verbose=run.verbose, shuffle=False,
    )  # fmt: skip
    run.load_best(model)
    run.finish(model, {"test_accuracy": model.evaluate(data.test, verbose=0)[1]})


if __name__ == "__main__":
    launch(main, Config)
