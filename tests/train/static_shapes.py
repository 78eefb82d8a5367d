"""A run on a strategy that refuses any tensor without a fixed shape, as far as a CPU can stand in for a TPU.

python static_shapes.py [flags of tfdl.Run]
"""

from dataclasses import dataclass

import keras
import tensorflow as tf

import tfdl
from tfdl.data import images
from tfdl.distribution import strategies


class StaticShapes(tf.distribute.MirroredStrategy):
    """Two logical CPUs that compile nothing, but look at the shapes that a TPU would have to compile."""

    def run(self, fn, args=(), kwargs=None, options=None):
        for value in tf.nest.flatten((args, kwargs)):
            for local in self.experimental_local_results(value):
                if isinstance(local, tf.Tensor) and not local.shape.is_fully_defined():
                    raise ValueError(f"A TPU would compile {local.shape} anew for each size.")
        return super().run(fn, args=args, kwargs=kwargs, options=options)


def fake_tpu():
    strategies.split_cpu(2)
    return StaticShapes(["CPU:0", "CPU:1"])


@dataclass(frozen=True, kw_only=True)
class Config:
    dynamic: bool = False
    """forget the rule, to see that somebody notices"""
    run: tfdl.Run = tfdl.Run()


def main(config):
    run = config.run.start(config, name="static_shapes")
    if config.dynamic:
        images.static.require(0)
    data = images.load("digits", batch_size=100, position=run.position, limit=330)
    with run.scope():
        inputs = x = keras.Input(data.image_shape)
        x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
        model = keras.Model(inputs, keras.layers.Dense(10, dtype="float32")(x))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    run.fit(model, data, epochs=2)
    print("updates", int(model.optimizer.iterations.numpy()), "policy", keras.config.dtype_policy().name)
    run.finish(model, run.evaluate(model, data))


if __name__ == "__main__":
    strategies.tpu = fake_tpu
    strategies.is_tpu = lambda strategy: isinstance(strategy, StaticShapes)
    tfdl.launch(main, Config)
