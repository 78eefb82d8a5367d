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
from tfdl.train.fine_tuning import freeze, set_layer_wise_learning_rates
from tfdl.train.replicas import batch_norms
from tfdl.train.statistics import FreshStatistics, refresh
from tfdl.train.step import exact

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "still": lambda: keras.optimizers.SGD(0.0),
    "adamw": lambda: keras.optimizers.AdamW(0.01, global_clipnorm=0.3),
    "ema": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.2, 1, 0.8)),
}
BATCH, EPOCHS, CLASSES = 15, 2, 3  # an odd batch: no two replicas share it evenly


def network(norm=False, dropout=False, **options):
    """Images (B, 5, 4, 2) -> logits (B, 3); `options` go to the model."""
    images = x = keras.Input((5, 4, 2))
    x = keras.layers.Conv2D(4, 3, use_bias=not norm, kernel_regularizer="l2")(x)
    if norm:
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(keras.layers.Activation("tanh")(x))
    if dropout:
        x = keras.layers.Dropout(0.5, seed=3)(x)
    return keras.Model(images, keras.layers.Dense(CLASSES, dtype="float32")(x))


def unbuilt():
    """The like of `network`, whose layers get their weights from the first batch."""
    layers = keras.layers
    return keras.Sequential([layers.Flatten(), layers.BatchNormalization(), layers.Dense(CLASSES)])


def several():
    """Tokens (B, 4) and values (B, 4, 2) -> logits of three outputs, each of which averages over something else."""
    tokens, values = keras.Input((4,), name="tokens", dtype="int32"), keras.Input((4, 2), name="values")
    words = keras.layers.Embedding(6, 3, mask_zero=True)(tokens)
    outputs = {
        "words": keras.layers.Dense(CLASSES)(words),  # the tokens that are no padding
        "pixels": keras.layers.Dense(CLASSES)(values),  # those of another class than 2
        "weighed": keras.layers.Dense(CLASSES)(keras.layers.Flatten()(values)),  # the samples' weights
    }
    return keras.Model({"tokens": tokens, "values": values}, outputs)


def compile_several(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy
    losses = {
        "words": loss(from_logits=True),
        "pixels": loss(from_logits=True, ignore_class=2),
        "weighed": loss(from_logits=True, reduction="mean_with_sample_weight"),
    }
    factors = {"words": 1.0, "pixels": 2.0, "weighed": 0.5}
    names = {name: "accuracy" for name in losses}
    model.compile(optimizer, losses, loss_weights=factors, metrics=names, weighted_metrics=names)


def data_of_several(samples):
    random = np.random.default_rng(1)
    lengths = np.arange(samples) % 5  # of some sentences nothing is left
    x = {
        "tokens": np.where(np.arange(4) < lengths[:, None], random.integers(1, 6, (samples, 4)), 0),
        "values": random.normal(size=(samples, 4, 2)).astype("float32"),
    }
    y = {
        "words": random.integers(0, CLASSES, (samples, 4)),
        "pixels": np.sort(random.integers(0, CLASSES, (samples, 4)), axis=0),  # few are left in the last batches
        "weighed": random.integers(0, CLASSES, samples),
    }
    weights = {
        "words": np.ones((samples, 4), "float32"),
        "pixels": random.uniform(0.5, 2.0, (samples, 4)).astype("float32"),
        "weighed": random.uniform(0.0, 5.0, samples).astype("float32"),
    }
    return tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(BATCH)


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
        images, labels = data
        fraction = gradients.sample_fraction(images)

        def loss(sign):
            apart = tf.square(tf.nn.softmax(self.first(images)) - tf.nn.softmax(self.second(images)))
            chosen = tf.cast(labels > 0, tf.float32)  # a mean over some of the samples, as a detector's over its boxes
            distance = gradients.mean_over(tf.reduce_sum(chosen[:, None] * apart), tf.reduce_sum(chosen))
            return sign * distance, distance

        for sign, player, optimizer in (
            (1.0, self.first, self.optimizer),
            (-1.0, self.second, self.second_optimizer),
        ):
            (_, distance), parts = gradients.value_and_gradients(
                lambda sign=sign: loss(sign), player.trainable_variables, fraction=fraction, optimizer=optimizer
            )
            gradients.update(optimizer, parts, player.trainable_variables)
        self.distance.update_state(distance, sample_weight=tf.shape(images)[0])
        return self.get_metrics_result()  # all of them, or Keras averages the replicas' own values


def data(samples, infinite=False):
    random = np.random.default_rng(0)
    images = random.normal(2.0, 1.0, size=(samples, 5, 4, 2)).astype("float32")
    labels = (images.mean((1, 2, 3)) * 4).astype("int32") % CLASSES
    if infinite:
        images[1] = np.inf
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH)


def compiled(optimizer, options):
    """The network that `options` ask for, and its data."""
    if "several" in options:
        model = several()
        compile_several(model, optimizer)
        return model
    if "unbuilt" in options:
        model = unbuilt()
    else:
        model = Players() if "players" in options else network("norm" in options, "dropout" in options)
        model.build((None, 5, 4, 2))
    if "frozen" in options:
        freeze(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=None if "players" in options else ["accuracy"])
    return model


def train(replicas, optimizer, samples, accumulate, *options):
    """Returns weights, logs and counters after two epochs."""
    keras.config.set_dtype_policy("mixed_float16" if "float16" in options else "float32")
    keras.utils.set_random_seed(1)
    cluster = "multi_worker" if is_described() else "mirrored"
    strategy = strategies.create(cluster if replicas > 1 else "single")
    assert strategy.num_replicas_in_sync == replicas
    with strategy.scope():
        model = compiled(OPTIMIZERS[optimizer](), options)
    if "rates" in options:
        set_layer_wise_learning_rates(model, factor=2.0, groups=3)
    batches = data_of_several(samples) if "several" in options else data(samples, "infinite" in options)
    if "stock" not in options:
        exact(model, accumulate=accumulate)
    result = {}
    if "dropout" in options:
        ones = tf.ones((4, 6))
        drawn = strategy.run(lambda: model.layers[-2](ones, training=True))
        result |= {f"drawn{i}": d.numpy() for i, d in enumerate(strategy.experimental_local_results(drawn))}
    callbacks = [FreshStatistics(batches)] if "fresh" in options else []
    validation = batches if "validated" in options else None
    history = model.fit(
        batches, epochs=EPOCHS, verbose=0, validation_data=validation, callbacks=callbacks, shuffle=False
    ).history
    if "refreshed" in options:
        for layer in batch_norms(model):
            layer.moving_mean.assign(np.full(layer.moving_mean.shape, np.nan))
        refresh(model, batches)
    if "validated" in options:
        result["predictions"] = model.predict(batches, verbose=0)
        evaluation = model.evaluate(batches, verbose=0, return_dict=True)
        result |= {f"evaluation_{name}": np.array(value) for name, value in evaluation.items()}
    result |= {f"weight{i}": w for i, w in enumerate(model.get_weights())}
    result |= {f"log_{name}": np.array(values) for name, values in history.items()}
    result["updates"] = model.optimizer.iterations.numpy()
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
        try:
            found = train(int(replicas), optimizer, int(samples), int(accumulate), *options)
        except tf.errors.InvalidArgumentError as error:  # Keras's own step fails on an odd batch
            if "stock" not in options:
                raise
            found = {"error": str(error)}
        results |= {f"{case}/{name}": value for name, value in found.items()}
    np.savez(path, **results)
