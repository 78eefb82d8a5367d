"""Three ways to run a network: a .keras file, a TFLite file, a SavedModel.  Each is called in the same way.

    outputs = backend(images)     # (B, H, W, C) float32 in `input_range` -> {name: (B, ...) float32}

| attribute   | meaning                                                                                             |
|-------------|-----------------------------------------------------------------------------------------------------|
| image_shape | (height, width, channels) of the input; height and width are None where any size will do; of       |
|             | clouds, (points, numbers of a point)                                                                |
| outputs     | {name: shape without the batch}                                                                     |
| step        | distance of neighboring values of the first output; 0 for floats, more for quantized files          |
| labels      | class names that the file itself has, or ()                                                         |
| input_range | smallest and largest pixel as the file itself says, or None                                         |
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfdl.core.graphs import check_saved_model
from tfdl.core.litert import interpreter, quantized, real
from tfdl.core.saved import load_model
from tfdl.core.tflite_metadata import read_metadata

SIGNATURES = ("serve", "serving_default")  # the one that tfdl writes, then everybody's


class KerasBackend:
    """A model in a .keras file."""

    labels, input_range, step = (), None, 0.0

    def __init__(self, file, of_clouds=False):
        self.model = model = load_model(file)
        if len(getattr(model, "inputs", None) or ()) != 1:
            raise ValueError(f"{file} takes {count_of(model)} inputs; tfdl predicts with models of one image input.")
        self.image_shape = image_shape(model.inputs[0].shape, file, of_clouds)
        self.names = sorted(model.output) if isinstance(model.output, dict) else None
        tensors = keras.tree.flatten(model.output)
        names = self.names or [f"output_{i}" for i in range(len(tensors))]
        self.outputs = {name: tuple(tensor.shape[1:]) for name, tensor in zip(names, tensors)}
        signature = [tf.TensorSpec((None, *self.image_shape), tf.float32)]
        self.run = tf.function(self.flat, input_signature=signature)  # traced once for all batch sizes

    def flat(self, images):
        packed = keras.tree.pack_sequence_as(self.model.input, [images])
        values = keras.tree.flatten(self.model(packed, training=False))
        return [tf.cast(value, tf.float32) for value in values]

    def __call__(self, images):
        return {name: value.numpy() for name, value in zip(self.outputs, self.run(images))}


class SavedModelBackend:
    """The signature `serve` or `serving_default` of a SavedModel, read and checked before it is loaded."""

    labels, input_range, step = (), None, 0.0

    def __init__(self, folder, of_clouds=False):
        names = check_saved_model(folder)
        chosen = [name for name in SIGNATURES if name in names]
        if not chosen:
            raise ValueError(f"{folder} has the signatures {', '.join(names)}; tfdl runs {' or '.join(SIGNATURES)}.")
        self.loaded = tf.saved_model.load(str(folder))  # signatures die with their model
        self.run = self.loaded.signatures[chosen[0]]
        inputs = self.run.structured_input_signature[1]
        if len(inputs) != 1:
            raise ValueError(f"{folder} takes {len(inputs)} inputs; tfdl predicts with models of one image input.")
        ((self.input, spec),) = inputs.items()
        if not (spec.dtype.is_floating or spec.dtype == tf.uint8):
            raise ValueError(f"{folder} takes {spec.dtype.name}; tfdl feeds images as floats or uint8.")
        self.dtype = spec.dtype
        self.image_shape = image_shape(spec.shape, folder, of_clouds)
        if self.dtype == tf.uint8:
            self.input_range = (0.0, 255.0)
        self.outputs = {name: tuple(spec.shape[1:]) for name, spec in self.run.structured_outputs.items()}

    def __call__(self, images):
        if self.dtype == tf.uint8:
            images = np.round(images)
        outputs = self.run(**{self.input: tf.cast(images, self.dtype)})
        return {name: tf.cast(outputs[name], tf.float32).numpy() for name in self.outputs}


class TFLiteBackend:
    """A .tflite file with float or integer inputs; its images are run one by one."""

    def __init__(self, file, of_clouds=False, *, threads=1):
        content = Path(file).read_bytes()
        if content[4:8] != b"TFL3":
            raise ValueError(f"{file} is no TFLite file; `tfdl export` writes some.")
        try:
            self.interpreter = interpreter(content, threads=threads)
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f"{file} cannot be run by LiteRT ({reason}); export the model again.") from error
        inputs, details = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        if len(inputs) != 1:
            raise ValueError(f"{file} takes {len(inputs)} inputs; tfdl predicts with models of one image input.")
        (self.input,) = inputs
        if self.input["shape"][0] != 1:
            raise ValueError(f"{file} takes {self.input['shape'][0]} images at a time; convert it with a batch of 1.")
        self.image_shape = image_shape(self.input["shape"], file, of_clouds)
        self.details = named(self.interpreter, details)
        self.outputs = {name: tuple(map(int, detail["shape"][1:])) for name, detail in self.details.items()}
        self.step = float(details[0]["quantization"][0])
        metadata = read_metadata(content)
        self.labels = metadata.labels
        self.input_range = self.range_of(metadata, file)

    def range_of(self, metadata, file):
        """The values that pixels 0 and 255 become; None where the file does not say it."""
        if np.dtype(self.input["dtype"]).kind in "iu" and not self.input["quantization"][0]:
            return (0.0, 255.0)  # plain pixels
        if not metadata.mean or not metadata.std:
            return None
        if len(set(metadata.mean)) > 1 or len(set(metadata.std)) > 1:
            raise ValueError(
                f"{file} wants another mean for each channel ({metadata.mean}); tfdl feeds all channels alike: put the "
                "normalization into the model."
            )
        mean, std = metadata.mean[0], metadata.std[0]
        if std <= 0:
            raise ValueError(f"{file} wants pixels divided by {std}; correct its metadata.")
        return (-mean / std, (255.0 - mean) / std)

    def __call__(self, images):
        rows = []
        for image in images:
            self.interpreter.set_tensor(self.input["index"], self.fed(image[None]))
            self.interpreter.invoke()
            rows.append({n: real(self.interpreter.get_tensor(d["index"]), d).copy() for n, d in self.details.items()})
        return {name: np.concatenate([row[name] for row in rows]) for name in self.details}

    def fed(self, images):
        """(1, H, W, C) float32 -> the input's dtype."""
        if np.dtype(self.input["dtype"]).kind in "iu" and not self.input["quantization"][0]:
            images = np.round(images)
        return quantized(images, self.input)


def named(interpreter, details):
    """Output name -> its details: the names of the file's one signature where it has one, else those of the tensors."""
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        return {detail["name"]: detail for detail in details}
    (signature,) = signatures
    return dict(interpreter.get_signature_runner(signature).get_output_details())


def image_shape(shape, file, of_clouds=False):
    """(B, H, W, C) of an input -> (H, W, C), or of clouds (B, N, D) -> (N, D).  Raises ValueError for other shapes."""
    shape = None if shape.__class__ is tf.TensorShape and shape.rank is None else tuple(shape)
    if of_clouds and (shape is None or len(shape) != 3):
        raise ValueError(f"{file} takes inputs of shape {shape}; clouds are (B, points, numbers of a point).")
    if not of_clouds and (shape is None or len(shape) != 4 or shape[-1] not in (1, 3)):
        raise ValueError(f"{file} takes inputs of shape {shape}; tfdl predicts for images (B, height, width, 1 or 3).")
    return tuple(size if size is None else int(size) for size in shape[1:])


def count_of(model):
    inputs = getattr(model, "inputs", None)
    return len(inputs) if inputs else "unnamed"
