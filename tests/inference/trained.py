"""One tiny digit classifier for all tests of answers: a run folder with its export, and pictures to answer.

Each pixel of a digit is compared with the class means: a linear layer that needs no training and is right nine times of
ten.  Everything is made once a process, and only read.  Imports stand inside:
other tests that see these fixtures need no TensorFlow.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tfdl.core.files import write_json
from tfdl.core.task import Task

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TASK = Task(labels=NAMES, image_shape=(8, 8, 1))
KEPT = []  # temporary folders, removed when the process ends


def classifier():
    """Images (B, 8, 8, 1) -> logits (B, 10), larger for a nearer class mean."""
    import keras

    from tfdl.data.embedded import digits

    (images, labels), *_ = digits()[0].values()
    pixels = images.reshape(len(images), -1) / 255.0
    means = np.stack([pixels[labels == number].mean(0) for number in range(10)])
    inputs = keras.Input((8, 8, 1), name="images")
    outputs = keras.layers.Dense(10, name="logits")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs, name="nearest_mean")
    model.layers[-1].set_weights([10 * means.T, -5 * (means**2).sum(-1)])
    return model


@functools.cache
def held_out():
    """(images (N, 8, 8, 1) uint8, labels (N))"""
    from tfdl.data.embedded import digits

    return digits()[0]["test"]


@functools.cache
def made():
    """(model, run folder)"""
    from tfdl.data.embedded import digits
    from tfdl.export.exporter import export_model

    place = tempfile.TemporaryDirectory(prefix="tfdl-tests-")
    KEPT.append(place)
    model, folder = classifier(), Path(place.name) / "run"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    model.save(folder / "checkpoints" / "best" / "model.keras")
    write_json(folder / "task.json", TASK.to_json())
    images = digits()[0]["validation"][0].astype("float32") / 255
    export_model(model, folder / "export", representative=images, labels=NAMES, task=TASK)
    return model, folder


@pytest.fixture(autouse=True)
def same_start():
    """Nothing here is random, and a new seed makes TensorFlow optimize each graph anew: half a second a test."""


@pytest.fixture(scope="session")
def live():
    """The model itself."""
    return made()[0]


@pytest.fixture(scope="session")
def run_folder():
    """task.json, checkpoints/best/model.keras, export/ with all files; read only."""
    return made()[1]


@pytest.fixture
def photos(tmp_path):
    """A folder with ten digits in two folders and files of other kinds."""
    from PIL import Image

    folder = tmp_path / "photos"
    (folder / "more" / ".hidden").mkdir(parents=True)
    for number in range(10):
        image = picture(number)
        name = f"digit{number}.png" if number < 7 else f"more/digit{number}.PNG"
        Image.fromarray(image[..., 0]).save(folder / name, format="png")
    Image.fromarray(picture(0)[..., 0]).save(folder / "more" / ".hidden" / "digit.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@functools.cache
def picture(number):
    """The first test image of a digit that the model recognizes, (8, 8, 1) uint8."""
    images, labels = held_out()
    images = images[labels == number]
    answers = np.argmax(made()[0](images.astype("float32") / 255), -1)
    return images[np.flatnonzero(answers == number)[0]]
