"""Three ways to run a network on tokens: a .keras file, a TFLite file, a SavedModel.  Each is called in the same way.

    backend = token_backend(path, ("tokens",), padding=0)
    outputs = backend(tokens)     # (B, T) int32 for each of the fields -> {"logits": (B, ...) float32}

`outputs` is {"logits": shape without the batch}.  Files for phones have a fixed T: shorter rows are filled up.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdl.core.graphs import check_saved_model
from tfdl.core.litert import interpreter, real
from tfdl.core.saved import load_model

SERVE = "serve"  # the signature that tfdl writes


def token_backend(path, fields, padding):
    """The backend for a file or folder.

    Args:
        path: a .keras or .tflite file, or a SavedModel.
        fields: names of the inputs, "tokens" first.
        padding: the token behind a text's end; the other fields have 0 there.

    Raises:
        ValueError: the model does not take such inputs, or gives something else than one output.
    """
    path = Path(path)
    if path.is_dir():
        return SavedModelTokens(path, fields, padding)
    return TFLiteTokens(path, fields, padding) if path.suffix == ".tflite" else KerasTokens(path, fields)


class KerasTokens:
    """A network in a .keras file, traced once; several fields are given to it as a dict."""

    step = 0.0

    def __init__(self, file, fields):
        self.model, self.fields = load_model(file), fields
        self.run = tf.function(self.forward, input_signature=[tf.TensorSpec((None, None), tf.int32) for _ in fields])
        try:
            shape = self.run.get_concrete_function().output_shapes
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file} takes no tokens (B, T): {error}") from error
        self.outputs = {"logits": tuple(shape[1:])}

    def forward(self, *inputs):
        inputs = inputs[0] if len(inputs) == 1 else dict(zip(self.fields, inputs))
        return tf.cast(self.model(inputs, training=False), tf.float32)

    def __call__(self, *inputs):
        return {"logits": self.run(*inputs).numpy()}


class SavedModelTokens:
    """The signature `serve` of a SavedModel, read and checked before it is loaded."""

    step = 0.0

    def __init__(self, folder, fields, padding):
        if SERVE not in check_saved_model(folder):
            raise ValueError(f"{folder} has no signature {SERVE!r}; export the run again.")
        self.loaded = tf.saved_model.load(str(folder))  # signatures die with their model
        self.run, self.fields = self.loaded.signatures[SERVE], fields
        inputs = self.run.structured_input_signature[1]
        check(folder, fields, inputs, self.run.structured_outputs)
        self.length, self.padding = inputs[fields[0]].shape[1], padding
        ((self.output, spec),) = self.run.structured_outputs.items()
        self.outputs = {"logits": tuple(spec.shape[1:])}

    def __call__(self, *inputs):
        rows = filled(inputs, self.length, self.padding)
        return {"logits": self.run(**dict(zip(self.fields, map(tf.constant, rows))))[self.output].numpy()}


class TFLiteTokens:
    """A .tflite file, whose texts are run one by one."""

    step = 0.0

    def __init__(self, file, fields, padding):
        content = file.read_bytes()
        if content[4:8] != b"TFL3":
            raise ValueError(f"{file} is no TFLite file; `tfdl export` writes some.")
        self.interpreter = interpreter(content)
        self.run = self.interpreter.get_signature_runner()
        inputs, outputs = self.run.get_input_details(), self.run.get_output_details()
        check(file, fields, inputs, outputs)
        self.fields, self.padding = fields, padding
        self.length = int(inputs[fields[0]]["shape"][1])
        ((self.output, self.detail),) = outputs.items()
        self.outputs = {"logits": tuple(map(int, self.detail["shape"][1:]))}

    def __call__(self, *inputs):
        rows = filled(inputs, self.length, self.padding)
        found = [self.run(**dict(zip(self.fields, (row[None] for row in text))))[self.output] for text in zip(*rows)]
        return {"logits": real(np.concatenate(found), self.detail)}


def check(path, fields, inputs, outputs):
    """Raises ValueError unless the file takes these fields and has one output."""
    if set(inputs) != set(fields) or len(outputs) != 1:
        raise ValueError(
            f"{path} takes {', '.join(inputs)} and gives {', '.join(outputs)}; this task needs {', '.join(fields)} and"
            " one output."
        )


def filled(inputs, length, padding):
    """Fields (B, T) int32 as (B, `length`), the first with `padding` behind it, the others with 0."""
    if length is None:
        return inputs
    values = (padding, *[0] * (len(inputs) - 1))
    sizes = [(0, 0), (0, length - inputs[0].shape[1])]
    return [np.pad(field, sizes, constant_values=value) for field, value in zip(inputs, values)]
