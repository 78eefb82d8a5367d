import json
import shutil

import keras
import numpy as np
import pytest

from tfdl.core.task import Task
from tfdl.export.exporter import export_model

LABELS = ("cat", "dog", "emu", "fox", "gnu")
TASK = Task(labels=LABELS, image_shape=(16, 12, 3), resize="crop")


def network(channels=3, name="tiny"):
    """Images (B, 16, 12, C) -> logits (B, 5)."""
    images = keras.Input((16, 12, channels), name="images")
    x = keras.layers.Conv2D(6, 3, strides=2, use_bias=False)(images)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Add()([x, keras.ops.relu6(x + 3.0)])  # an operation Add beside the layer Add
    x = keras.layers.Flatten()(keras.layers.DepthwiseConv2D(3)(x))
    return keras.Model(images, keras.layers.Dense(5, dtype="float32", name="logits")(x), name=name)


@pytest.fixture(scope="session")
def tiny():
    """A function that builds a small classifier; it takes `channels` and `name`."""
    return network


@pytest.fixture(scope="session")
def images():
    """48 images (16, 12, 3) in [0, 1]."""
    return np.random.default_rng(5).random((48, 16, 12, 3), dtype="float32")


@pytest.fixture(scope="session")
def all_formats(tmp_path_factory, images):
    """(model, folder) of one export with every format; read only."""
    keras.utils.set_random_seed(3)
    model, folder = network(), tmp_path_factory.mktemp("all") / "export"
    export_model(model, folder, representative=images, task=TASK, progress=None)
    return model, folder


@pytest.fixture
def copied(all_formats, tmp_path):
    """A copy of that export that a test may damage."""
    return shutil.copytree(all_formats[1], tmp_path / "copied")


@pytest.fixture(scope="session")
def report(all_formats):
    return json.loads((all_formats[1] / "report.json").read_text())
