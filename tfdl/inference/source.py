"""A trained model of any kind as one object that takes pictures, or texts, and gives answers.

    model = tfdl.load("runs/digits_resnet")          # or an export folder, a .tflite, a .keras, a SavedModel
    for answer in model.predict(["cat.jpg", "photos/"]):
        print(answer.path, answer.label, answer.probability, answer.top(3))

The labels and the way to prepare a picture are stored with the model: task.json in a run folder, report.json in an
export folder, the metadata of a TFLite file.
"""

import functools
import itertools
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tfdl.core import pictures
from tfdl.core.files import read_json, refuse_links
from tfdl.core.graphs import FILE as SAVED_MODEL
from tfdl.core.names import nearest
from tfdl.core.task import OF_CLOUDS, OF_TEXTS, Task
from tfdl.inference import inputs
from tfdl.inference.backends import KerasBackend, SavedModelBackend, TFLiteBackend
from tfdl.inference.clouds import CloudPredictor
from tfdl.inference.inputs import Broken
from tfdl.inference.kinds import ANSWERS
from tfdl.inference.text_generation import TextWriter
from tfdl.inference.texts import QuestionPredictor, TextPredictor, TokenPredictor
from tfdl.inference.tracking import Tracker, body_of
from tfdl.inference.videos import Frame, with_frames

BEST = Path("checkpoints") / "best" / "model.keras"
TIFF = (b"II*\0", b"MM\0*")  # the first bytes of a format that is decoded outside of graphs only
READERS = {
    "text_classification": TextPredictor,
    "text_generation": TextWriter,
    "question_answering": QuestionPredictor,
    "masked_words": TokenPredictor,
    "tagging": TokenPredictor,
}
PREFERRED = ("saved_model", "model.tflite", "model_float16.tflite", "model_uint8.tflite", "model_int8.tflite")


def load(
    source, *, file: str | None = None, labels=None, threads: int = 1
) -> "Predictor | CloudPredictor | TextPredictor | TextWriter":
    """Opens a trained model.

    Args:
        source: a run folder, an export folder, a SavedModel folder, a .tflite or a .keras file.
        file: which file of an export folder (or of a run folder's export), for example "model_int8.tflite".
        labels: class names in the order of the outputs, or a text file with one a line, in place of the stored ones.
        threads: of a TFLite file.

    Returns:
        A `Predictor`; of a run on clouds of points, a `CloudPredictor`; of one on texts, a `TextPredictor` or, of a
        language model, a `TextWriter`.

    Raises:
        FileNotFoundError: there is no such source or file.
        ValueError: it is no model that tfdl can run, a link in a folder, or labels and model do not fit.
    """
    source = Path(source)
    path = model_at(source, file)
    if source.is_dir():
        facts = ("task.json", "report.json", "export/report.json")
        refuse_links(source, *facts, path.relative_to(source))
    task = stored_task(path) or Task()
    if labels is not None:
        task = replace(task, labels=read_labels(labels))
    if task.kind in OF_TEXTS:
        folder = path.parents[2] if is_best(path) else path.parent
        refuse_links(folder, task.tokenizer)
        return READERS[task.kind](path, task, folder)
    of_clouds = task.kind in OF_CLOUDS
    if path.is_dir():
        backend = SavedModelBackend(path, of_clouds)
    elif path.suffix.lower() == ".tflite":
        backend = TFLiteBackend(path, of_clouds, threads=threads)
    else:
        backend = KerasBackend(path, of_clouds)
    if of_clouds:
        return CloudPredictor(path, backend, task)
    if not task.labels:
        task = replace(task, labels=backend.labels)
    if backend.input_range is not None:
        task = replace(task, input_range=backend.input_range)
    return Predictor(path, backend, with_shape(task, backend.image_shape, path))


class Predictor:
    """A model with what belongs to it.

    Attributes:
        path: of the file or SavedModel that runs.
        task: `tfdl.core.task.Task`: kind, labels, size and range of the input.
        answers: the file of `tfdl.inference` for this kind of task.
    """

    def __init__(self, path, backend, task):
        self.path, self.backend, self.task = path, backend, task
        self.answers = ANSWERS[task.kind]
        self.reader = self.answers.Reader(task, backend)
        self.has_places = hasattr(self.reader, "placed")  # whether answers depend on the size of a picture
        self.decode = decoder(task.image_shape, task.resize)

    found = staticmethod(inputs.found)

    def predict(self, images_or_paths, batch_size=32, every=1):
        """A result for each picture, in their order.

        Args:
            images_or_paths: one picture or many, each a path or an array (height, width, channels) of uint8, or of
                floats in [0, 1]; or an array (N, height, width, channels).  Folders and patterns stand for the
                pictures in them, and a video for its frames, whose results have a `time` in seconds.
            batch_size: pictures that are answered at once.
            every: of a video, answer each `every`-th frame.

        Raises:
            ImportError: a video, but not the extra that reads it.
            ValueError: a picture cannot be read; `stream` goes on after it.
        """
        results = []
        for result in self.stream(images_or_paths, batch_size, every):
            if isinstance(result, Broken):
                raise ValueError(f"{result.path} cannot be read: {result.reason}.")
            results.append(result)
        return results

    def stream(self, images_or_paths, batch_size=32, every=1):
        """The same one after the other, as the pictures come; `Broken` in place of one that cannot be read.

        With a batch size of 1, each is answered before the next is taken.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give 1 or more.")
        if every < 1:
            raise ValueError(f"every is {every}; give 1 for each frame of a video, or more.")
        items = with_frames(each(images_or_paths), every)
        for is_followed, part in itertools.groupby(items, self.is_followed):
            if is_followed:
                yield from self.followed(part)
            else:
                yield from self.in_batches(part, batch_size)

    def is_followed(self, item):
        """Whether a picture is answered by what is known of the one before: a person in the frames of a video."""
        return isinstance(item, Frame) and self.task.kind == "pose"

    def followed(self, frames):
        """The pose in each frame; where `tracking` has lost the person, what the network says of the whole frame."""
        for frame in frames:
            if frame.number == 0:
                tracker = Tracker(self, body_of(self.task, self.reader.labels))
            pose = tracker(frame.pixels) or self.predict(frame.pixels)[0]
            yield replace(pose, path=frame.name, time=frame.time)

    def in_batches(self, items, batch_size):
        """A result or `Broken` for each of the items, `batch_size` of which are answered at once."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            prepared = ahead(pool, self.prepared, items, 0 if batch_size == 1 else 2 * batch_size)
            while batch := list(itertools.islice(prepared, batch_size)):
                yield from self.answered(batch)

    def answered(self, batch):
        """(what it is, image or `Broken`, size) rows -> results in the same order."""
        images = [image for _, image, _ in batch if not isinstance(image, Broken)]
        results = iter(self.reader(self.outputs(np.stack(images))) if images else ())
        for known, image, size in batch:
            if isinstance(image, Broken):
                yield image
                continue
            result = replace(next(results), **known)
            yield self.reader.placed(result, size or inputs.size(result.path)) if self.has_places else result

    def outputs(self, images):
        """The network's own outputs: (B, H, W, C) in [0, 1] -> {name: (B, ...) float32}."""
        low, high = self.task.input_range
        images = np.asarray(images, "float32")
        if (low, high) != (0.0, 1.0):
            images = low + (high - low) * images
        return self.backend(images)

    def prepared(self, item):
        """A path, an array, a `Frame` or a `Broken` -> a row of `answered`.

        It has the path, and the time of a frame; the image in [0, 1], or `Broken`; and the size, None of a path.
        """
        if isinstance(item, Broken):
            return {}, item, None
        if isinstance(item, Frame):
            return {"path": item.name, "time": item.time}, self.sized(item.pixels), item.pixels.shape[:2]
        if not isinstance(item, str):
            item = np.asarray(item)
            return {}, self.sized(item), item.shape[:2]
        try:
            return {"path": item}, scaled(self.read(item)), None
        except OSError as error:
            return {}, Broken(item, (error.strerror or str(error)).lower()), None
        except (tf.errors.OpError, ValueError) as error:
            return {}, Broken(item, reason_of(error)), None

    def read(self, path):
        """A picture as the model was trained to see it: (H, W, C) uint8."""
        content = inputs.content(path)
        if content[:4] not in TIFF:
            try:
                return self.decode(content).numpy()
            except tf.errors.OpError:
                pass  # outside of a graph the message is a clear one
        return self.decoded(content).numpy()

    def picture(self, path):
        """The picture for a drawing: as a person sees it."""
        try:
            return inputs.photograph(path)
        except (OSError, ValueError, Image.DecompressionBombError):
            return self.read(path)  # TensorFlow reads some files that Pillow refuses

    def decoded(self, content):
        return pictures.decode(content, self.task.image_shape, self.task.resize)

    def sized(self, image):
        """An array (h, w, c) of uint8, or of floats in [0, 1] -> (H, W, C) float32."""
        if image.ndim != 3 or image.shape[-1] not in (1, 3):
            raise ValueError(f"An image has the shape {image.shape}; give (height, width, 1 or 3), or a path.")
        if image.dtype != np.uint8:
            image = image.astype("float32")
            if not (image.min() >= 0 and image.max() <= 1):
                raise ValueError(
                    f"An image has values from {image.min():g} to {image.max():g}; give floats in [0, 1], or uint8."
                )
            if image.shape == self.task.image_shape:
                return image
            image = np.round(255 * image).astype("uint8")
        if image.shape != self.task.image_shape:
            image = pictures.resize(image, self.task.image_shape, self.task.resize).numpy()
        return scaled(image)


# Which file, and what belongs to it


def model_at(source, file):
    """The file or SavedModel folder to run."""
    if not source.exists():
        raise FileNotFoundError(
            f"There is no {source}; give a run folder, an export folder, a SavedModel, a .tflite or a .keras file."
        )
    if source.is_dir():
        return model_in(source, file)
    if file is not None:
        raise ValueError(f"{source} is a single file, so there is no {file} to choose in it; give its folder.")
    if not source.is_file():
        raise ValueError(f"{source} is a pipe or a device; give a file.")
    if source.suffix.lower() not in (".tflite", ".keras"):
        raise ValueError(
            f"{source} is no kind of model that tfdl runs; give a run folder, an export folder, a SavedModel, a "
            ".tflite or a .keras file."
        )
    return source


def model_in(folder, file):
    """The same inside a folder."""
    if (folder / SAVED_MODEL).is_file() and file is None:
        return folder
    if (folder / "report.json").is_file():
        return exported(folder, file)
    if file is not None:
        if (folder / "export" / "report.json").is_file():
            return exported(folder / "export", file)
        raise FileNotFoundError(f"{folder} holds no export, so there is no {file} to choose; `tfdl export` makes one.")
    if (folder / BEST).is_file():
        return folder / BEST
    variants = sorted(path.parent for path in folder.glob("*/*/checkpoints") if (path.parent / BEST).is_file())
    if variants:
        names = ", ".join(path.name for path in variants)
        raise ValueError(f"{folder} holds several trainings ({names}); give one of them, for example {variants[0]}.")
    raise FileNotFoundError(
        f"{folder} holds no model: neither {BEST} of a run, nor report.json of an export, nor {SAVED_MODEL}."
    )


def exported(folder, file):
    """A file of an export folder: `file`, or the first of `PREFERRED` that is there."""
    here = [name for name in artifacts(folder) if (folder / name).exists()]
    if file is None:
        if "signatures" in read_json(folder / "report.json", kind=dict):  # `ExportedWriter` runs these only
            here = [name for name in here if name.endswith(".tflite")] or here
        wanted = [name for name in (*PREFERRED, *here) if name in here]
        if not wanted:
            raise FileNotFoundError(f"{folder} holds none of the files that its report.json names; export again.")
        return folder / wanted[0]
    if file not in here:
        near = nearest(file, here) if here else "none"
        raise FileNotFoundError(f"{folder} has no {file}; the nearest are {near}.")
    return folder / file


def artifacts(folder):
    """Names of the models in an export folder's report."""
    report = read_json(folder / "report.json", kind=dict)
    tables = [report.get(key, {}) for key in ("artifacts", "detectors", "poses")]
    rows = [name for table in tables if isinstance(table, dict) for name in table]
    return [name for name in rows if name == Path(name).name]


def is_best(path):
    """Whether it is the checkpoint in a run folder."""
    return path.parts[-3:] == BEST.parts


def stored_task(path):
    """The `Task` of a model, from the run or export folder that it lies in; None for a file by itself.

    Raises:
        ValueError: what is stored describes no task; the message names the file.
    """
    file = (path.parents[2] if is_best(path) else path) / "task.json"
    if file.is_file():
        return task_from(read_json(file), file)
    file = path.parent / "report.json"
    if not file.is_file() or path.name not in artifacts(path.parent):
        return None
    report = read_json(file, kind=dict)
    if "task" in report and report["task"] is not None:
        return task_from(report["task"], file)
    # Exports of earlier versions have no task, but the labels.
    labels = report.get("labels") or ()
    return task_from({"labels": list(labels)}, file)


def task_from(value, file):
    try:
        return Task.from_json(value)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def read_labels(labels):
    """A sequence of names as it is; of a text file, its lines."""
    if not isinstance(labels, (str, os.PathLike)):
        return tuple(map(str, labels))
    try:
        names = tuple(Path(labels).read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError as error:
        raise ValueError(f"{labels} is no text in UTF-8 ({error}); give a file with one class name a line.") from error
    if not names:
        raise ValueError(f"{labels} is empty; give a file with one class name a line.")
    return names


def with_shape(task, shape, path):
    """`task` with the model's own image_shape, which must agree with a stored one."""
    stored = task.image_shape
    if stored is not None and any(own not in (None, wanted) for own, wanted in zip(shape, stored)):
        raise ValueError(f"{path} takes images {shape}, but its task says {stored}; one of them is from another model.")
    if stored is None and None in shape:
        raise ValueError(f"{path} takes images of any size; save it with a fixed one, keras.Input((224, 224, 3)).")
    return task if stored is not None else replace(task, image_shape=shape)


# Pictures


@functools.cache
def decoder(image_shape, resize):
    """`pictures.decode` as a graph, which takes a tenth of the time for small pictures; traced once a process."""
    signature = [tf.TensorSpec((), tf.string)]
    # Without AutoGraph, which `pictures` does not need, tracing takes 0.2 s in place of 1.2 s.
    return tf.function(
        lambda content: pictures.decode(content, image_shape, resize), input_signature=signature, autograph=False
    )


def each(images_or_paths):
    """Paths as text, arrays or `Broken`, one by one."""
    is_one = isinstance(images_or_paths, (str, os.PathLike)) or getattr(images_or_paths, "ndim", None) == 3
    return inputs.each([images_or_paths] if is_one else images_or_paths, inputs.found)


def ahead(pool, function, items, count):
    """`function(item)` of each in order, up to `count` of them computed in advance."""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def scaled(image):
    """uint8 -> float32 in [0, 1], as in training."""
    return image.astype("float32") / np.float32(255)


def reason_of(error):
    """Why a picture cannot be read, in words."""
    if isinstance(error, tf.errors.OpError):
        return pictures.reason(error.message)
    return str(error).rstrip(".") or type(error).__name__
