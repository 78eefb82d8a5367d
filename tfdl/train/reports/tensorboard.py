"""TensorBoard: Keras's own callback, and what it lacks; the same tags under every strategy.

| tab        | tags                                                                                     |
|------------|------------------------------------------------------------------------------------------|
| scalars    | epoch_loss, epoch_METRIC, evaluation_* (Keras); learning_rate, gradient_norm, loss_scale,|
|            | examples_per_second                                                                      |
| graphs     | layers (Keras) and operations of the network's forward pass                              |
| histograms | every weight, three times a run (Keras)                                                  |
| images     | predictions (16 validation images: class, probability, truth), three times; confusion_matrix |
| hparams    | the recipe's flags with the last validation metrics                                      |
| profile    | on request: TFDL_PROFILE=10,20 profiles batches 10 to 20                                 |
"""

import os
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import confusion_matrix
from tensorboard.plugins.hparams import api as hparams

from tfdl.figures.pictures import prediction_grid
from tfdl.figures.training import confusion_matrix as confusion_figure
from tfdl.figures.style import png

EVERY = 20  # batches between two points of the scalar curves
SAMPLES = 16  # pictures in the grid of predictions


def tensorboard_callbacks(folder, data, *, epochs, flags, pictures=True):
    """The callbacks that write to `folder`.

    Args:
        data: has `counts`, and for classifiers `validation` (images, labels) and `labels`.
        epochs: of the whole run; histograms and pictures are drawn about three times in it.
        flags: flat dict of the recipe's flags.
        pictures: the tab of images, for classifiers; off for the arms of a comparison, which shows figures of its own.

    Raises:
        ValueError: TFDL_PROFILE isn't "first,last".
    """
    profile = os.environ.get("TFDL_PROFILE", "0")
    try:
        batches = tuple(int(n) for n in profile.split(","))
    except ValueError:
        raise ValueError(f"TFDL_PROFILE={profile!r} should be two batch numbers such as 10,20.") from None
    every = max(1, epochs // 3)
    board = keras.callbacks.TensorBoard(
        str(folder), histogram_freq=every, write_graph=True, profile_batch=batches if len(batches) > 1 else batches[0]
    )
    callbacks = [board, Graph(folder, data), Curves(folder, data.counts["train"]), HyperParameters(folder, flags)]
    if pictures and getattr(data, "validation", None) is not None and getattr(data, "labels", None):
        callbacks.append(Pictures(folder, data, every))
    return callbacks


class Graph(keras.callbacks.Callback):
    """The operations of the forward pass; Keras 3 itself only writes the layers."""

    def __init__(self, folder, data):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(Path(folder) / "train"))
        self.inputs = keras.utils.unpack_x_y_sample_weight(data.train.element_spec)[0]

    def on_train_begin(self, logs=None):
        forward = tf.function(lambda x: self.model(x, training=False)).get_concrete_function(self.inputs)
        with self.writer.as_default():
            tf.summary.graph(forward.graph)
        self.writer.flush()


class Curves(keras.callbacks.Callback):
    """Learning rate, gradient norm and examples per second, against the number of updates."""

    def __init__(self, folder, examples):
        super().__init__()
        self.writer, self.examples = tf.summary.create_file_writer(str(Path(folder) / "train")), examples

    def on_epoch_begin(self, epoch, logs=None):
        self.started, self.batches = time.perf_counter(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        self.trained = time.perf_counter()
        if self.batches % EVERY == 1:
            self.write()

    def write(self, **more):
        optimizer = self.model.optimizer
        values = {"learning_rate": keras.ops.convert_to_numpy(optimizer.learning_rate), **more}
        if hasattr(self.model, "gradient_norm"):
            values["gradient_norm"] = self.model.gradient_norm.numpy()
        if hasattr(optimizer, "dynamic_scale"):
            values["loss_scale"] = optimizer.dynamic_scale.numpy()
        with self.writer.as_default(step=int(optimizer.iterations.numpy())):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def on_epoch_end(self, epoch, logs=None):
        if self.batches:
            self.write(examples_per_second=self.examples / (self.trained - self.started))
        self.writer.flush()


class HyperParameters(keras.callbacks.Callback):
    """The recipe's flags and the final metrics, for the HParams tab."""

    def __init__(self, folder, flags):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(folder))
        self.flags = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in flags.items()}

    def on_train_begin(self, logs=None):
        with self.writer.as_default():
            hparams.hparams(self.flags)

    def on_train_end(self, logs=None):
        with self.writer.as_default(step=0):
            for name, value in (logs or {}).items():
                tf.summary.scalar(f"final_{name}", float(value))
        self.writer.flush()


class Pictures(keras.callbacks.Callback):
    """Validation images with what the model says of them every few epochs; the confusion matrix at the end."""

    def __init__(self, folder, data, every):
        super().__init__()
        self.every = every
        self.writer = tf.summary.create_file_writer(str(Path(folder) / "validation"))
        self.data, self.labels = data, data.labels
        images, labels = next(iter(data.validation.unbatch().batch(SAMPLES)))
        self.images, self.truth = images.numpy(), class_numbers(labels)

    def on_epoch_end(self, epoch, logs=None):
        if epoch % self.every and epoch + 1 < self.params["epochs"]:
            return
        figure = prediction_grid(self.images, self.truth, probabilities(self.model, self.images), self.labels)
        self.write("predictions", figure, epoch)

    def on_train_end(self, logs=None):
        logits, truth = [], []
        for images, labels in self.data.validation:
            logits.append(probabilities(self.model, images))
            truth.append(class_numbers(labels))
        guesses = np.argmax(np.concatenate(logits), axis=-1)
        matrix = confusion_matrix(np.concatenate(truth), guesses, labels=range(len(self.labels)), normalize="true")
        self.write("confusion_matrix", confusion_figure(matrix, self.labels), 0)

    def write(self, name, figure, step):
        with self.writer.as_default(step=step):
            tf.summary.image(name, image_tensor(figure))
        self.writer.flush()


def probabilities(model, images):
    """(B, H, W, C) -> (B, classes), from logits or from probabilities."""
    outputs = keras.ops.convert_to_numpy(model(images, training=False)).astype("float32")
    is_distribution = outputs.min() >= 0 and np.allclose(outputs.sum(-1), 1, atol=1e-3)
    return outputs if is_distribution else keras.ops.convert_to_numpy(keras.ops.softmax(outputs))


def class_numbers(labels):
    """Labels (B,), or probabilities (B, classes) as of mixed labels -> (B,) numbers."""
    return labels.numpy().argmax(-1) if labels.shape.rank == 2 else labels.numpy()


def image_tensor(figure):
    """A figure as an image (1, height, width, 4) uint8 for `tf.summary.image`."""
    return tf.io.decode_png(png(figure), channels=4)[None]
