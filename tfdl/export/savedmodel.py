"""SavedModel with a dynamic batch: `serve` takes the model's own inputs, `serve_uint8` takes raw pixels."""

import errno
from contextlib import contextmanager

import keras
import tensorflow as tf

from tfdl.core.quiet import muffled
from tfdl.export.signatures import model_call, plain, sample_by_sample


def write_saved_model(model, signature, folder):
    """Writes `model` to `folder` with the signatures `serve` (also `serving_default`) and, for images, `serve_uint8`.

    serve: named inputs (B, ...) -> named outputs.  serve_uint8: images (B, H, W, C) uint8 in [0, 255] -> the same.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = {n: tf.TensorSpec((None, *shape), dtype, name=n) for n, (shape, dtype) in signature.inputs.items()}
    serve = archive.add_endpoint("serve", lambda inputs: model_call(model, inputs), input_signature=[spec])
    if signature.is_image_model:
        (name, (shape, _)) = next(iter(signature.inputs.items()))
        pixels = {name: tf.TensorSpec((None, *shape), tf.uint8, name=name)}
        low, high = signature.input_range

        def serve_uint8(inputs):
            fractions = tf.cast(inputs[name], tf.float32) / 255.0
            return serve({name: low + (high - low) * fractions})  # traced once

        archive.add_endpoint("serve_uint8", serve_uint8, input_signature=[pixels])
    with writing(folder):
        archive.write_out(str(folder), verbose=False)


def write_entry_points(model, points, folder):
    """Writes the model to `folder` with each entry point, traced before, as a signature, for any batch.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for point in points:
        archive.add_endpoint(point.name, point.whole)
    with writing(folder):
        archive.write_out(str(folder), verbose=False)


@contextmanager
def writing(folder):
    """TensorFlow's errors of files inside as an OSError that names the folder."""
    try:
        with muffled():  # tables of other models in this process, which TensorFlow leaves out, are nobody's concern
            yield
    except tf.errors.OpError as error:
        text = str(error)
        full = "No space left" in text or isinstance(error, tf.errors.ResourceExhaustedError)
        reason = "No space left on device" if full else text.strip().splitlines()[0]
        raise OSError(errno.ENOSPC if full else errno.EIO, f"Cannot write {folder}: {reason}.") from error


def load_saved_model(folder):
    """A function `run(inputs, endpoint="serve")` of the SavedModel's signatures.

    It takes {name: array (N, ...)} and returns {name: float32 array (N, ...)}.
    """
    loaded = tf.saved_model.load(str(folder))  # kept by the function below: signatures die with their model

    def run(inputs, endpoint="serve"):
        tensors = {name: tf.convert_to_tensor(value) for name, value in inputs.items()}
        outputs = loaded.signatures[endpoint](**tensors)
        return {name: plain(value) for name, value in outputs.items()}

    return run


def load_entry_points(folder):
    """A function `run(inputs, name)` of the SavedModel's entry points.

    It takes {input: array (N, ...)} and returns {output: array (N, ...)}; each sample is run in a batch of two, since
    the TFLite file shows that it can be alone.
    """
    loaded = tf.saved_model.load(str(folder))  # kept by the function below: signatures die with their model

    def run(inputs, name):
        signature = loaded.signatures[name]
        specs = signature.structured_input_signature[1]
        scalars = [key for key, spec in specs.items() if spec.shape.rank == 0]
        return sample_by_sample(lambda tensors: signature(**tensors), inputs, scalars, batch=2)

    return run
