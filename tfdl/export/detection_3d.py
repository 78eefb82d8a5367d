"""What of a detector in space goes into a file with the suppression inside: detector.tflite, float32.

LiteRT's own operators for suppression know no turned boxes.  This one is of its simple operators: the IoU from above of
all pairs of the best boxes, and the steps of `tfdl.ops.suppression.kept_greedily` without their loop, which the
converter does not take.  They are exact unless a chain of boxes, of which each would suppress the next, has more than
ROUNDS members; three to six are common.
There is no file with 8 bits inside: it would round coordinates, see `exporter.COARSE`.
Shapes: B = 1 cloud, A anchors, D detections.
"""

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.files import write_bytes
from tfdl.core.serial import serializable
from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.graph import graph
from tfdl.export.parity import ExportError
from tfdl.export.report import timed
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, operators, run_tflite
from tfdl.metrics.detection_3d import AveragePrecision3D
from tfdl.ops.boxes_3d import pairwise_bev_iou
from tfdl.ops.suppression import non_max_suppression

FILE = "detector.tflite"
DETECTIONS = 50  # D
CANDIDATES = 200
ROUNDS = 16
IOU, SCORE = 0.1, 0.05  # thresholds in the file
SHOWN = 0.3  # least score of what counts as the truth in the comparison
AGREEMENT = 0.98  # least AP from above at an IoU of 0.5, with the live model's answers as truth


def suppressed(outputs):
    """{"boxes": (B, A, 7), "scores": (B, A, 1) logits} -> boxes (B, D, 7), scores (B, D), labels (B, D), -1 where
    there is nothing."""
    found = non_max_suppression(
        outputs["boxes"],
        ops.sigmoid(outputs["scores"]),
        iou_threshold=IOU,
        score_threshold=SCORE,
        max_detections=DETECTIONS,
        candidates=CANDIDATES,
        pairwise=pairwise_bev_iou,
        rounds=ROUNDS,
    )
    return {name: found[name] for name in ("boxes", "scores", "labels")}


@serializable
class TurnedSuppression(keras.layers.Layer):
    """`suppressed` as a layer."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs):
        return suppressed(inputs)

    def compute_output_spec(self, inputs):
        batch = inputs["boxes"].shape[0]
        shapes = {"boxes": (batch, DETECTIONS, 7), "scores": (batch, DETECTIONS), "labels": (batch, DETECTIONS)}
        kinds = {"boxes": "float32", "scores": "float32", "labels": "int32"}
        return {name: keras.KerasTensor(shape, kinds[name], name=name) for name, shape in shapes.items()}


def point_detector_files(folder, model, signature, formats, calibration, reference, left_out, say):
    """Writes detector.tflite, if `formats` has "tflite"; yields (name, row of a report).

    Arguments as of `detection.detector_files`.

    Raises:
        ExportError: the file finds something else than the live model.
    """
    if "tflite" not in formats:
        return
    source = keras.Model(model.inputs[0], TurnedSuppression(name="suppression")(model.output), name=model.name)
    with timed(FILE, say):
        content = convert_float(graph(source, signature_of(source)))
        write_bytes(folder / FILE, content)
        outputs = run_tflite(content, reference.inputs)
        outputs["labels"] = outputs["labels"].astype("int32")
        live = suppressed({name: ops.convert_to_tensor(reference.live[name]) for name in ("boxes", "scores")})
        live = {name: ops.convert_to_numpy(values) for name, values in live.items()}
        value = agreement(outputs, live)
        if value is not None and value < AGREEMENT:
            raise ExportError(
                f"{FILE} does not find what the live model finds: an average precision of {value:.3f} of its answers"
                f" is under {AGREEMENT:g}"
            )
        row = {"format": "tflite", "bytes": len(content), "operators": operators(content)}
        row |= {"agreement_bev_ap50": value, "tolerance": {"agreement_bev_ap50": AGREEMENT}}
        row["latency"] = benchmark_tflite(content)
    yield FILE, row


def agreement(found, expected):
    """AP from above at an IoU of 0.5, with `expected` detections of a score of `SHOWN` or more as the truth.

    None without any.
    """
    labels = ops.convert_to_numpy(ops.where(expected["scores"] >= SHOWN, expected["labels"], PADDING))
    metric = AveragePrecision3D(0.5)
    metric.update_state({"boxes": expected["boxes"], "labels": labels}, found)
    return metric.result().get("bev_ap")
