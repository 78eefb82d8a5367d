"""What of a detector goes into files: boxes and scores, and in a file of its own also the suppression.

detector.tflite       float32: what is left after non-maximum suppression, ready to be drawn
detector_int8.tflite  the same with 8 bits up to the last convolutions; boxes and scores are computed, compared and
                      sorted as floats.  With all of it in 8 bits each step from distances to boxes would round to 256
                      numbers: a YOLOv8n with a mAP50 of 0.678 on shapes was left with 0.379, and so has 0.685
mediapipe.tflite      on request: detector.tflite with outputs and metadata for MediaPipe's ObjectDetector; of BlazeFace
                      with its 896 anchors and six points the network itself for MediaPipe's FaceDetector

The suppression is LiteRT's own operator, NON_MAX_SUPPRESSION_V4: no loop, no foreign operator.  Each point counts for
its best class; boxes of different classes are moved apart, so that they do not suppress each other.
Shapes: B = 1 picture, A points, C classes, D detections.
"""

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.files import write_bytes
from tfdl.core.serial import serializable
from tfdl.export.finished import finished_files
from tfdl.export.graph import LoopError, graph
from tfdl.export.metadata import FACES, attach_metadata
from tfdl.export.objects import NAMES, SHOWN, finds_objects
from tfdl.export.parity import ExportError, check
from tfdl.export.report import timed
from tfdl.export.signatures import evaluate, signature_of
from tfdl.export.tflite import convert_float, operators, run_tflite
from tfdl.metrics.detection import MeanAveragePrecision
from tfdl.ops.suppression import non_max_suppression

FILES = {"tflite": "detector.tflite", "tflite_int8": "detector_int8.tflite"}

DETECTIONS = 100  # D
IOU, SCORE = 0.5, 0.05  # thresholds in the file; an app rather shows what has a score of 0.25 and more
AGREEMENT = {"tflite": 0.98, "tflite_int8": 0.85}  # least mAP50 of a file, with the live model's answers as truth


def in_use(model):
    """images -> boxes (B, A, 4) in pixels and scores (B, A, C), logits as the model itself gives them.

    Of a set also its places: by this name readers know that nothing is to be suppressed.  Of a network that suppresses
    itself, which has the outputs found_boxes, found_scores, found_labels and perhaps found_masks, those as boxes ...

    Args:
        model: functional, with the outputs boxes and scores.

    Raises:
        ValueError: other outputs.
    """
    outputs = model.output
    if isinstance(outputs, dict) and "found_boxes" in outputs:
        kept = {name: outputs[f"found_{name}"] for name in NAMES if f"found_{name}" in outputs}
        return keras.Model(model.inputs[0], kept, name=model.name)
    if not isinstance(outputs, dict) or not {"boxes", "scores"} <= outputs.keys():
        raise ValueError(f"{model.name!r} has no outputs boxes and scores, so it is no detector; give another task.")
    kept = ("boxes", "scores", "places") if is_set(outputs) else ("boxes", "scores")
    return keras.Model(model.inputs[0], {name: outputs[name] for name in kept}, name=model.name)


def is_set(outputs):
    """Whether a network finds every object once, such as DETR, and needs no suppression: it also gives places."""
    return "places" in outputs


def with_suppression(model):
    """A model of `in_use` that ends with its detections: boxes (1, D, 4) xyxy in pixels, scores (1, D) in [0, 1] from
    the highest down, and labels (1, D) int32, -1 where there is nothing: boxes and scores there have no meaning."""
    height, width = model.inputs[0].shape[1:3]
    outputs = {name: model.output[name] for name in ("boxes", "scores")}
    layer = Suppression(max(height, width), threshold_of(model.output), name="suppression")
    return keras.Model(model.inputs[0], layer(outputs), name=model.name)


def threshold_of(outputs):
    """IoU above which boxes suppress each other; 1 is never."""
    return 1.0 if is_set(outputs) else IOU


@serializable
class Suppression(keras.layers.Layer):
    """{"boxes": (1, A, 4), "scores": (1, A, C) logits} -> the outputs of `with_suppression`.

    Args:
        side: of the pictures, the larger one.
        iou_threshold: above which boxes suppress each other.
    """

    def __init__(self, side, iou_threshold=IOU, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.side, self.iou_threshold = side, iou_threshold

    def call(self, inputs):
        boxes, logits = inputs["boxes"][0], inputs["scores"][0]  # (A, 4), (A, C)
        values, places = tf.math.top_k(logits, 1)  # argmax has no operator of its own in every runtime
        scores, labels = tf.sigmoid(values[:, 0]), places[:, 0]
        # In whole quarters of a pixel, since an int8 file would round sums of real numbers to 256 steps
        apart = tf.cast(4.0 * boxes, tf.int32) + 16 * self.side * labels[:, None]  # no box is as large
        index, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=tf.cast(apart, tf.float32),
            scores=scores,
            max_output_size=DETECTIONS,
            iou_threshold=self.iou_threshold,
            score_threshold=SCORE,
            pad_to_max_output_size=True,
        )
        labels = tf.where(tf.range(DETECTIONS) < count, tf.gather(labels, index), PADDING)
        return {
            "boxes": tf.gather(boxes, index)[None],
            "scores": tf.gather(scores, index)[None],
            "labels": labels[None],
        }

    def compute_output_spec(self, inputs):
        shapes = {"boxes": (1, DETECTIONS, 4), "scores": (1, DETECTIONS), "labels": (1, DETECTIONS)}
        kinds = {"boxes": "float32", "scores": "float32", "labels": "int32"}
        return {name: keras.KerasTensor(shape, kinds[name], name=name) for name, shape in shapes.items()}


def live_detections(outputs):
    """What `Suppression` should make of the live model's outputs boxes (N, A, 4) and scores (N, A, C): NumPy."""
    logits = ops.convert_to_tensor(outputs["scores"])
    is_best = ops.equal(logits, ops.max(logits, axis=-1, keepdims=True))
    found = non_max_suppression(
        ops.convert_to_tensor(outputs["boxes"]),
        ops.where(is_best, ops.sigmoid(logits), 0.0),
        iou_threshold=threshold_of(outputs),
        score_threshold=SCORE,
        max_detections=DETECTIONS,
    )
    return {name: ops.convert_to_numpy(values) for name, values in found.items()}


def detector_files(folder, model, signature, formats, calibration, reference, left_out, say):
    """Writes detector.tflite and detector_int8.tflite, if `formats` has their kind; yields (name, row of a report).

    Args:
        model: of `in_use`; signature: its own.
        reference: `Reference` of pictures and the live model's outputs.
        left_out: gets name -> reason of an int8 file that finds something else.

    Raises:
        ExportError: the float file finds something else.
    """
    source = with_suppression(model)
    signature = signature_of(source, input_range=signature.input_range)
    expected = live_detections(reference.live)
    classes = reference.live["scores"].shape[-1]

    def judge(name, form, outputs):
        outputs["labels"] = outputs["labels"].astype("int32")
        return check_agreement(name, form, outputs, expected, classes)

    yield from finished_files(
        folder, source, signature, FILES, formats, calibration, reference.inputs, judge, left_out, say
    )


# For MediaPipe


@serializable
class MediaPipeOutputs(keras.layers.Layer):
    """boxes (1, D, 4) xyxy in pixels, scores (1, D) and labels (1, D) -> what `tfdl.export.metadata` says.

    location (1, D, 4) is y1, x1, y2, x2 in parts of the picture; category (1, D) and count (1) are floats, too.

    Args:
        size: height and width of the picture.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = tuple(size)

    def call(self, inputs):
        height, width = self.size
        x1, y1, x2, y2 = ops.split(inputs["boxes"], 4, axis=-1)
        is_found = ops.cast(inputs["labels"], "float32") >= 0
        return {
            "location": ops.concatenate([y1 / height, x1 / width, y2 / height, x2 / width], axis=-1),
            "category": ops.maximum(ops.cast(inputs["labels"], "float32"), 0.0),
            "score": ops.where(is_found, inputs["scores"], 0.0),
            "count": ops.sum(ops.cast(is_found, "float32"), axis=-1),
        }


def mediapipe_file(path, model, signature, labels, reference, say):
    """Writes a detector for MediaPipe's ObjectDetector; -> {name: row of a report}.

    Args:
        model: of `in_use`; signature: its own.
        labels: class names, or None.
        reference: `Reference` of pictures and the live model's outputs.

    Raises:
        ExportError: the file finds something else than the model.
        LoopError: the network has loops, as those of two stages have.
    """
    size = model.inputs[0].shape[1:3]
    source = model if finds_objects(signature.outputs) else with_suppression(model)
    expected = reference.live if source is model else live_detections(reference.live)
    found = {name: source.output[name] for name in NAMES[:3]}
    ended = keras.Model(model.inputs[0], MediaPipeOutputs(size, name="mediapipe")(found), name=model.name)
    own = signature_of(ended, input_range=signature.input_range)
    with timed(path.name, say):
        content = convert_float(graph(ended, own))
        if loops := operators(content).get("WHILE"):
            raise LoopError(f"MediaPipe takes no file with loops, of which {model.name!r} has {loops}")
        content = attach_metadata(content, name=path.stem, signature=own, labels=labels)
        write_bytes(path, content)
        outputs = run_tflite(content, reference.inputs)
    y1, x1, y2, x2 = np.split(outputs["location"] * np.tile(size, 2), 4, axis=-1)
    found = {"boxes": np.concatenate([x1, y1, x2, y2], -1), "scores": outputs["score"]}
    is_found = np.arange(found["scores"].shape[1]) < outputs["count"].reshape(-1, 1)
    found["labels"] = np.where(is_found, outputs["category"], PADDING).astype("int32")
    classes = 1 + int(max(expected["labels"].max(), found["labels"].max(), 0))
    row = {"format": "mediapipe", "reader": "ObjectDetector", **sizes(content)}
    return {path.name: row | check_agreement(path.name, "tflite", found, expected, classes)}


def face_detector_in(model):
    """images -> `metadata.FACES`, from which MediaPipe's FaceDetector makes faces; None of another network."""
    outputs = model.output
    if not isinstance(outputs, dict) or any(
        tuple(getattr(outputs.get(n), "shape", ())[1:]) != s for n, s in FACES.items()
    ):
        return None
    return keras.Model(model.inputs[0], {name: outputs[name] for name in FACES}, name=model.name)


def face_detector_file(path, model, input_range, reference, say):
    """Writes a network of `face_detector_in` for MediaPipe's FaceDetector; -> {name: row of a report}.

    Args:
        reference: whose pictures the file and the live model are compared on.

    Raises:
        ExportError: the file computes something else than the model.
    """
    own = signature_of(model, input_range=input_range)
    with timed(path.name, say):
        content = attach_metadata(convert_float(graph(model, own)), name=path.stem, signature=own)
        write_bytes(path, content)
        live = replace(reference, live=evaluate(model, reference.inputs), wrong=None)
        row = check(path.name, run_tflite(content, reference.inputs), live, "tflite")
    return {path.name: {"format": "mediapipe", "reader": "FaceDetector", **sizes(content), **row}}


def sizes(content):
    """What a report says of every TFLite file."""
    return {"bytes": len(content), "operators": operators(content)}


def agreement(found, expected, classes):
    """mAP50 of detections, with `expected` ones of a score of `SHOWN` or more as the truth; None without any."""
    shown = expected["scores"] >= SHOWN
    if not (shown & (expected["labels"] >= 0)).any():
        return None
    truth = {"boxes": expected["boxes"], "labels": np.where(shown, expected["labels"], PADDING)}
    metric = MeanAveragePrecision([str(number) for number in range(classes)])
    metric.update_state(truth, found)
    return metric.result()["map50"]


def check_agreement(name, form, found, expected, classes):
    """The row of a report.  Raises ExportError if a file's detections are not those of the live model."""
    value = agreement(found, expected, classes)
    if value is not None and value < AGREEMENT[form]:
        raise ExportError(
            f"{name} does not find what the live model finds: mAP50 {value:.3f} of its answers is under"
            f" {AGREEMENT[form]:g}; train longer, or give more representative samples"
        )
    return {"agreement_map50": value, "tolerance": {"agreement_map50": AGREEMENT[form]}}
