"""What of an estimator of poses goes into files: heat maps or coordinates, and in a file of its own their decoding.

model*.tflite      heatmaps (1, h, w, K), or of a network of coordinates keypoints (1, K, 2) x, y in pixels of the
                   network's pictures, and scores (1, K, 1), the probabilities of being visible
pose.tflite        float32, of a network of heat maps: the same outputs; the scores are the heights of the peaks
pose_int8.tflite   the same with 8 bits up to the heat maps, and their decoding in float32

The decoding is that of `ops.heatmaps`, in LiteRT's own operators.  A network of coordinates needs none, and is left
without what only its training needed.
Shapes: B = 1 picture, h w sides of a map, K key points.
"""

import keras
import numpy as np
from keras import ops

from tfdl.core.serial import serializable
from tfdl.export.finished import finished_files
from tfdl.export.parity import ExportError
from tfdl.export.signatures import signature_of
from tfdl.ops.heatmaps import decode

FILES = {"tflite": "pose.tflite", "tflite_int8": "pose_int8.tflite"}
PEAK = 0.2  # height of a heat map from which its point counts in the comparison; the place of a lower one is chance
NEAR = 0.02  # of the picture's longer side: the distance up to which two answers are the same
AGREEMENT = {"tflite": 0.99, "tflite_int8": 0.9}  # least part of the live model's points that a file finds too


def pose_in_use(model):
    """images -> {"heatmaps": (B, h, w, K)}, or {"keypoints": (B, K, 2) in pixels, "scores": (B, K, 1) in [0, 1]}.

    Args:
        model: functional, with the outputs heatmaps, or keypoints and visibility; others are left out.

    Raises:
        ValueError: other outputs.
    """
    outputs = model.output if isinstance(model.output, dict) else {}
    if {"keypoints", "visibility"} <= outputs.keys():
        kept = {"keypoints": outputs["keypoints"], "scores": ops.sigmoid(outputs["visibility"])}
    elif "heatmaps" in outputs:
        kept = {"heatmaps": outputs["heatmaps"]}
    else:
        raise ValueError(
            f"{model.name!r} has no output heatmaps, nor keypoints and visibility, so it estimates no pose; give"
            " another task."
        )
    return keras.Model(model.inputs[0], kept, name=model.name)


def with_decoding(model):
    """A model of heat maps that ends with keypoints (B, K, 2) x, y in pixels, and scores (B, K, 1)."""
    heatmaps = model.output["heatmaps"]
    layer = Decoding(model.inputs[0].shape[1] / heatmaps.shape[1], name="decoding")
    return keras.Model(model.inputs[0], layer(heatmaps), name=model.name)


@serializable
class Decoding(keras.layers.Layer):
    """Heat maps (B, h, w, K) -> {"keypoints": (B, K, 2), "scores": (B, K, 1)}, see `ops.heatmaps.decode`.

    Args:
        stride: pixels of a cell.
    """

    def __init__(self, stride, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.stride = stride

    def call(self, heatmaps):
        found = decode(heatmaps, stride=self.stride)
        return {"keypoints": found[..., :2], "scores": found[..., 2:]}


def pose_files(folder, model, signature, formats, calibration, reference, left_out, say):
    """Writes pose.tflite and pose_int8.tflite, if `formats` has their kind; yields (name, row of a report).

    Args:
        model: of `pose_in_use`; signature: its own.
        reference: `Reference` of pictures and the live model's outputs.
        left_out: gets name -> reason of an int8 file that finds something else.

    Raises:
        ExportError: the float file finds something else.
    """
    if "heatmaps" not in signature.outputs:
        return
    source = with_decoding(model)
    stride = source.get_layer("decoding").stride
    expected = ops.convert_to_numpy(decode(reference.live["heatmaps"], stride=stride))
    side = max(model.inputs[0].shape[1:3])
    signature = signature_of(source, input_range=signature.input_range)

    def judge(name, form, outputs):
        return check_agreement(name, form, outputs["keypoints"], expected, NEAR * side)

    yield from finished_files(
        folder, source, signature, FILES, formats, calibration, reference.inputs, judge, left_out, say
    )


def check_agreement(name, form, found, expected, near):
    """The row of a report.

    Args:
        found: (N, K, 2) of a file.
        expected: (N, K, 3) of the live model: x, y, height of the peak.
        near: distance up to which two points are the same.

    Raises:
        ExportError: a file's points are not those of the live model.
    """
    distance = np.linalg.norm(found - expected[..., :2], axis=-1)
    counts = expected[..., 2] >= PEAK
    value = float(np.mean(distance[counts] <= near)) if counts.any() else None
    if value is not None and value < AGREEMENT[form]:
        raise ExportError(
            f"{name} does not find what the live model finds: {value:.3f} of its points are under {AGREEMENT[form]:g};"
            " train longer, or give more representative samples"
        )
    return {"agreement_points": value, "tolerance": {"agreement_points": AGREEMENT[form]}}
