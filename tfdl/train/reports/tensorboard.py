"""TensorBoard: one run per training, the numbers that matter first; the same tags under every strategy.

| tab            | tags                                                                                           |
|----------------|------------------------------------------------------------------------------------------------|
| scalars        | train/accuracy, train/loss ... and validation/accuracy, validation/loss ..., a point an epoch; |
|                | train/update/learning_rate, gradient_norm, loss_scale, examples_per_second against the updates |
| custom scalars | training and validation in one chart, for the loss and each metric                             |
| images         | visuals/predictions (16 validation images) about three times and at the end;                   |
|                | visuals/confusion_matrix of the best weights                                                   |
| mesh           | clouds/validation: clouds of points, each point in the color of the class that is found        |
| histograms     | weights/LAYER/kernel, gamma ... about three times and at the end                               |
| graphs         | layers, and operations of the forward pass                                                     |
| hparams        | the flags that shape the result, with the last metrics                                         |
| profile        | on request: TFDL_PROFILE=10,20 profiles batches 10 to 20                                       |

TensorBoard sorts groups by name and opens the first two: train and validation.
"""

import os
import time

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalars
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary
from tensorboard.plugins.mesh import summary_v2 as meshes

from tfdl.core.batches import OUTSIDE
from tfdl.core.task import OF_CLOUDS
from tfdl.figures.clouds import rgb
from tfdl.figures.detections import detection_grid
from tfdl.figures.pictures import prediction_grid
from tfdl.figures.style import DPI, png
from tfdl.ops.boxes_3d import contains
from tfdl.train.reports.predictions import (
    class_names,
    class_numbers,
    forward_pass,
    is_classifier,
    is_detection,
    is_picture,
    kind_of,
    probabilities,
)

EVERY = 20  # updates between two points of learning rate and gradient norm
SAMPLES = 16  # images in the grid of predictions
DETECTED = 8  # pictures in the grid of detections
SHOWN = 0.3  # least score of a box in a cloud
CLOUDS = 4  # clouds of points that can be turned
NOTHING = (200, 200, 200)  # color of points in no box
TIMES = 3  # histograms and pictures in a run, the last epoch's not counted
SCREEN = 100  # pixels per inch of figures in the browser, where each of them is loaded


def tensorboard_callbacks(folder, data, *, epochs, flags, pictures=True):
    """The callbacks that write to `folder`, all in one run.

    Args:
        data: has `train` and `counts`, and for classifiers `validation` (images, labels) and `labels`.
        epochs: of the whole run; histograms and pictures are drawn about three times in it.
        flags: flat dict of the hyperparameters, without flags that say where and how to run.
        pictures: whether classifiers show predictions; off for the variants of a comparison, which has other figures.

    Raises:
        ValueError: TFDL_PROFILE isn't "first,last".
    """
    profile = profile_range(os.environ.get("TFDL_PROFILE", "0"))
    writer = tf.summary.create_file_writer(str(folder))
    every = max(1, epochs // TIMES)
    callbacks = [
        Scalars(writer),
        Updates(writer, data.counts["train"]),
        Histograms(writer, every),
        Graph(writer, keras.utils.unpack_x_y_sample_weight(data.train.element_spec)[0]),
        HyperParameters(writer, flags),
    ]
    if profile:
        callbacks.append(Profile(folder, *profile))
    if pictures and is_classifier(data):
        callbacks.append(Pictures(writer, data, every))
    if pictures and is_detection(data):
        callbacks.append(DetectedPictures(writer, data, every))
    if pictures and kind_of(data) in OF_CLOUDS:
        callbacks.append(Clouds(writer, data, every))
    return [*callbacks, Flush(writer)]


def profile_range(text):
    """ "10,20" -> (10, 20), "10" -> (10, 10), "0" or nothing -> None: no profile.  Raises ValueError for others."""
    try:
        numbers = [int(part) for part in text.split(",")] if text else [0]
    except ValueError:
        numbers = []
    if numbers == [0]:
        return None
    if len(numbers) not in (1, 2) or not 1 <= numbers[0] <= numbers[-1]:
        raise ValueError(f"TFDL_PROFILE={text!r} should be two batch numbers such as 10,20.")
    return numbers[0], numbers[-1]


class Scalars(keras.callbacks.Callback):
    """Loss and metrics of training and validation, a point for each epoch, and the layout that draws both together."""

    def __init__(self, writer):
        super().__init__()
        self.writer, self.has_layout = writer, False

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        with self.writer.as_default(step=epoch):
            for name, value in logs.items():
                tf.summary.scalar(scalar_tag(name), float(value))
            if not self.has_layout:
                self.has_layout = True
                tf.summary.experimental.write_raw_pb(layout(logs).SerializeToString(), step=epoch)


def scalar_tag(name):
    """ "loss" -> "train/loss", "val_loss" -> "validation/loss"."""
    part = "validation" if name.startswith("val_") else "train"
    return f"{part}/{name.removeprefix('val_')}"


def layout(logs):
    """The summary of the tab "custom scalars": a chart for each metric that training and validation share."""
    shared = [name for name in logs if f"val_{name}" in logs]
    charts = [
        layout_pb2.Chart(
            title=name.replace("_", " "),
            multiline=layout_pb2.MultilineChartContent(tag=[f"^train/{name}$", f"^validation/{name}$"]),
        )
        for name in shared
    ]
    category = layout_pb2.Category(title="training and validation", chart=charts)
    return custom_scalars.pb(layout_pb2.Layout(category=[category]))


class Updates(keras.callbacks.Callback):
    """Learning rate, gradient norm, loss scale and examples per second, against the number of updates."""

    def __init__(self, writer, examples):
        super().__init__()
        self.writer, self.examples = writer, examples

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
                tf.summary.scalar(f"train/update/{name}", value)

    def on_epoch_end(self, epoch, logs=None):
        if self.batches:
            self.write(examples_per_second=self.examples / (self.trained - self.started))


class NowAndThen(keras.callbacks.Callback):
    """Calls `draw(epoch)` at epochs 0, `every`, 2 `every` ... and at the last one, also when training stops early."""

    def __init__(self, writer, every):
        super().__init__()
        self.writer, self.every, self.epoch, self.drawn = writer, every, None, None

    def on_epoch_end(self, epoch, logs=None):
        self.epoch = epoch
        if epoch % self.every == 0:
            self.drawn = epoch
            self.draw(epoch)

    def on_train_end(self, logs=None):
        if self.epoch != self.drawn:
            self.draw(self.epoch)


class Histograms(NowAndThen):
    """Kernels, embeddings and the scales of normalization layers; biases and moving statistics are left out."""

    def draw(self, epoch):
        with self.writer.as_default(step=epoch):
            for weight in self.model.trainable_weights:
                if len(weight.shape) > 1 or weight.name == "gamma":
                    path = weight.path.removeprefix(f"{self.model.name}/")  # without "sequential_7", which names no run
                    tf.summary.histogram(f"weights/{path}", keras.ops.convert_to_numpy(weight))


class Pictures(NowAndThen):
    """Validation images with what the model says of them."""

    def __init__(self, writer, data, every):
        super().__init__(writer, every)
        self.labels = data.labels
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(next(iter(data.validation.unbatch().batch(SAMPLES))))
        self.images, self.truth = images, class_numbers(labels)

    def on_train_begin(self, logs=None):
        self.forward = forward_pass(self.model)

    def draw(self, epoch):
        scores = probabilities(self.model, self.forward(self.images)) if is_picture(self.images) else None
        if scores is not None:
            names = class_names(self.labels, scores.shape[1])
            figure = prediction_grid(self.images, self.truth, scores, names, title=f"validation, epoch {epoch + 1}")
            write_figure(self.writer, "predictions", figure, epoch)


class DetectedPictures(NowAndThen):
    """Validation images with what a detector finds in them, and the true boxes."""

    def __init__(self, writer, data, every):
        super().__init__(writer, every)
        self.labels = data.labels
        self.images, self.truth = next(iter(data.validation.unbatch().batch(DETECTED)))

    def draw(self, epoch):
        found = self.model.detect(self.images)
        title = f"validation, epoch {epoch + 1}"
        figure = detection_grid(self.images.numpy(), found, self.labels, truth=self.truth, title=title)
        write_figure(self.writer, "detections", figure, epoch)


class Clouds(NowAndThen):
    """Validation clouds in space, each point in the color of its class, of its cloud's, or of the box around it."""

    def __init__(self, writer, data, every):
        super().__init__(writer, every)
        self.kind = kind_of(data)
        self.points, _ = next(iter(data.validation.unbatch().batch(CLOUDS)))

    def colors(self):
        """(CLOUDS, P, 3) uint8."""
        if self.kind == "point_detection":
            found = {name: np.asarray(values) for name, values in self.model.detect(self.points).items()}
            boxes = np.where((found["scores"] >= SHOWN)[..., None], found["boxes"], 0.0)
            inside = np.asarray(contains(boxes.astype("float32"), self.points)).any(1)  # (B, P)
            return np.where(inside[..., None], rgb(0), NOTHING).astype("uint8")
        numbers = np.asarray(self.model(self.points, training=False)).argmax(-1)  # (B) or (B, P)
        numbers = np.broadcast_to(numbers.reshape(len(numbers), -1), self.points.shape[:2])
        return np.array([[rgb(number) for number in row] for row in numbers], "uint8")

    def draw(self, epoch):
        points = np.array(self.points)[..., :3]
        first = points[:, :1]  # stands in for points that are not there
        vertices = np.where(points[..., :1] >= OUTSIDE, first, points)
        with self.writer.as_default(step=epoch):
            meshes.mesh("clouds/validation", vertices=vertices, colors=self.colors())


class Graph(keras.callbacks.Callback):
    """The layers of the model, and the operations of its forward pass."""

    def __init__(self, writer, inputs):
        super().__init__()
        self.writer, self.inputs = writer, inputs

    def on_train_begin(self, logs=None):
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "graph_keras_model"
        metadata.plugin_data.content = b"1"  # the version of the format
        with self.writer.as_default(step=0):
            tf.summary.graph(forward_pass(self.model).get_concrete_function(self.inputs).graph)
            tf.summary.write("keras", self.model.to_json(), metadata=metadata)


class HyperParameters(keras.callbacks.Callback):
    """The flags for the tab "hparams", which shows the last value of each scalar beside them."""

    def __init__(self, writer, flags):
        super().__init__()
        self.writer, self.flags = writer, {name: hyperparameter(value) for name, value in flags.items()}

    def on_train_begin(self, logs=None):
        with self.writer.as_default(step=0):
            hparams.hparams(self.flags)

    def on_train_end(self, logs=None):
        end = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
        with self.writer.as_default():
            tf.summary.experimental.write_raw_pb(end.SerializeToString(), step=0)


def hyperparameter(value):
    """A flag as the tab shows it: fractions as numbers; whole numbers as text, or TensorBoard writes 12 as 12.000."""
    return value if isinstance(value, (bool, float, str)) else str(value)


class Profile(keras.callbacks.Callback):
    """Profiles the batches `first` to `last`, counted from 1 over all epochs of this process."""

    def __init__(self, folder, first, last):
        super().__init__()
        self.folder, self.first, self.last, self.batch, self.is_on = str(folder), first, last, 0, False

    def on_train_batch_begin(self, batch, logs=None):
        self.batch += 1
        if self.batch == self.first:
            tf.profiler.experimental.start(self.folder)
            self.is_on = True

    def on_train_batch_end(self, batch, logs=None):
        if self.batch == self.last:
            self.stop()

    def on_train_end(self, logs=None):
        self.stop()

    def stop(self):
        if self.is_on:
            tf.profiler.experimental.stop()
            self.is_on = False


class Flush(keras.callbacks.Callback):
    """Makes what was written visible, after every epoch and at the end."""

    def __init__(self, writer):
        super().__init__()
        self.writer = writer

    def on_epoch_end(self, epoch, logs=None):
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.flush()


def write_figure(writer, name, figure, step):
    """A figure as the image visuals/NAME, after the scalars and before the weights in TensorBoard's order."""
    write_image(writer, name, tf.io.decode_png(png(figure, dpi=SCREEN), channels=4), step)


def write_drawn(writer, name, content, step):
    """The same from the bytes of the figure's PNG file: drawing it a second time would take as long as all the rest."""
    image = tf.io.decode_png(content, channels=4)
    smaller = tf.nn.avg_pool2d(tf.cast(image, tf.float32)[None], DPI // SCREEN, DPI // SCREEN, "VALID")[0]
    write_image(writer, name, tf.cast(tf.round(smaller), tf.uint8), step)


def write_image(writer, name, image, step):
    """An image (height, width, 4) uint8 as visuals/NAME."""
    with writer.as_default(step=step):
        tf.summary.image(f"visuals/{name}", image[None])
    writer.flush()
