"""Trains one small network on one device, on two logical CPU devices or on several workers; keeps weights and logs.

Run as a program (logical devices must be made before TensorFlow starts):  python replicas.py RESULT.npz CASE...
A case is REPLICAS,OPTIMIZER,SAMPLES,ACCUMULATE[,option...]; the results of all cases go into one file.  With TF_CONFIG
all replicas are workers; then RESULT.npz must be another for each of them.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tfdl.core import gradients
from tfdl.distribution import strategies
from tfdl.distribution.multi_worker import is_described
from tfdl.train.fine_tuning import discriminative_rates, freeze
from tfdl.train.step import exact

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, global_clipnorm=0.3),
    "ema": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.2, 1, 0.8)),
}
BATCH, EPOCHS, CLASSES = 16, 2, 3


def network(norm=False, dropout=False):
    """Images (B, 5, 4, 2) -> logits (B, 3)."""
    images = x = keras.Input((5, 4, 2))
    x = keras.layers.Conv2D(6, 3, padding="same", use_bias=not norm, kernel_regularizer="l2")(x)
    if norm:
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(3, activation="tanh")(x)
    x = keras.layers.Flatten()(x)
    if dropout:
        x = keras.layers.Dropout(0.5, seed=3)(x)
    return keras.Model(images, keras.layers.Dense(CLASSES, dtype="float32")(x))


class Players(keras.Model):
    """Two networks with opposed losses and an optimizer each, as a GAN has: the learner writes its own train step."""

    def __init__(self):
        super().__init__()
        self.first, self.second = network(), network()
        self.second_optimizer = keras.optimizers.Adam(0.01, global_clipnorm=0.1)
        self.distance = keras.metrics.Mean(name="distance")

    def build(self, shape):
        self.second_optimizer.build(self.second.trainable_variables)

    def call(self, images):
        return self.first(images) - self.second(images)

    def train_step(self, data):
        images, _ = data
        share = gradients.sample_share(images)

        def loss(sign):
            distance = tf.reduce_mean(tf.square(tf.nn.softmax(self.first(images)) - tf.nn.softmax(self.second(images))))
            return sign * distance, distance

        for sign, player, optimizer in (
            (1.0, self.first, self.optimizer),
            (-1.0, self.second, self.second_optimizer),
        ):
            (_, distance), parts = gradients.value_and_gradients(
                lambda sign=sign: loss(sign), player.trainable_variables, share=share, optimizer=optimizer
            )
            gradients.update(optimizer, parts, player.trainable_variables)
        self.distance.update_state(distance, sample_weight=tf.shape(images)[0])
        return self.get_metrics_result()  # all of them, or Keras averages the replicas' own values


def data(samples, infinite=False):
    random = np.random.default_rng(0)
    images = random.normal(2.0, 1.0, size=(samples, 5, 4, 2)).astype("float32")
    if infinite:
        images[1] = np.inf
    labels = (images.mean((1, 2, 3)) * 4).astype("int32") % CLASSES
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH)


def train(replicas, optimizer, samples, accumulate, *options):
    """Returns weights, logs and counters after two epochs."""
    keras.config.set_dtype_policy("mixed_float16" if "float16" in options else "float32")
    keras.utils.set_random_seed(1)
    several = "multi_worker" if is_described() else "mirrored"
    strategy = strategies.create(several if replicas > 1 else "single")
    assert strategy.num_replicas_in_sync == replicas
    with strategy.scope():
        model = Players() if "players" in options else network("norm" in options, "dropout" in options)
        model.build((None, 5, 4, 2))
        if "frozen" in options:
            freeze(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(OPTIMIZERS[optimizer](), loss, metrics=None if "players" in options else ["accuracy"])
    if "rates" in options:
        discriminative_rates(model, factor=2.0, groups=3)
    batches = data(samples, "infinite" in options)
    if "stock" not in options:
        exact(model, accumulate=accumulate)
    validation = None if "players" in options else batches
    history = model.fit(batches, epochs=EPOCHS, verbose=0, validation_data=validation, shuffle=False).history
    predictions = model.predict(batches, verbose=0)
    evaluation = {} if validation is None else model.evaluate(batches, verbose=0, return_dict=True)
    result = {f"weight{i}": w for i, w in enumerate(model.get_weights())}
    result |= {f"log_{name}": np.array(values) for name, values in history.items()}
    result |= {f"evaluation_{name}": np.array(value) for name, value in evaluation.items()}
    result |= {"predictions": predictions, "updates": model.optimizer.iterations.numpy()}
    if "float16" in options:
        result["scale"] = model.optimizer.dynamic_scale.numpy()
    return result


if __name__ == "__main__":
    path, *cases = sys.argv[1:]
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # most of the time is tracing
    strategies.create("multi_worker" if is_described() else "mirrored")
    results = {}
    for case in cases:
        replicas, optimizer, samples, accumulate, *options = case.split(",")
        found = train(int(replicas), optimizer, int(samples), int(accumulate), *options)
        results |= {f"{case}/{name}": value for name, value in found.items()}
    np.savez(path, **results)
