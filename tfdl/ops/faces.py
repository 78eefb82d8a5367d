"""From what BlazeFace puts out to faces: anchors without sizes, boxes and points relative to them.

Source: Bazarevsky et al. 2019, arXiv:1907.05047, Fig. 2 (anchors) and section 4.1 (blending).
Shapes: B batch, N = 896 anchors of an image of 128 x 128, D faces.
"""

import numpy as np
from keras import ops

from tfdl.ops.suppression import blended_suppression

ANCHORS = {8: 2, 16: 6}  # stride of a map -> boxes that each of its cells can find, Fig. 2


def anchors(image_shape):
    """Centers of the anchors in pixels, x and y.  NumPy (N, 2)"""
    rows = []
    for stride, count in ANCHORS.items():
        y, x = np.mgrid[: image_shape[0] // stride, : image_shape[1] // stride]
        centers = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride
        rows.append(np.repeat(centers, count, axis=0))
    return np.concatenate(rows).astype("float32")


def decode(offsets, image_shape):
    """Offsets (B, N, 16) -> corners xyxy and six points x, y in pixels (B, N, 16); as well for other numbers of points.

    The anchors have no sizes of their own: width and height are learned in pixels.
    """
    centers = anchors(image_shape)  # (N, 2)
    middle, size = offsets[..., :2] + centers, offsets[..., 2:4]
    points = offsets[..., 4:] + np.tile(centers, (offsets.shape[-1] - 4) // 2)
    return ops.concatenate([middle - size / 2, middle + size / 2, points], axis=-1)


def faces(outputs, image_shape=(128, 128, 3), *, score_threshold=0.75, iou_threshold=0.3, max_faces=20):
    """The faces in what BlazeFace puts out, each the average of the boxes that show it (section 4.1).

    Args:
        outputs: {"offsets": (B, N, 16), "scores": (B, N, 1)}.
        image_shape: of the network's images.
        score_threshold, iou_threshold: MediaPipe's; see `blended_suppression`.
        max_faces: D.

    Returns:
        dict: boxes (B, D, 4) xyxy in pixels, keypoints (B, D, 6, 2) x, y in the order of BlazeFace's POINTS, or of
        other points of a network that has such, scores (B, D), and labels (B, D) int32: 0, or -1 where padded.
    """
    scores = ops.sigmoid(ops.clip(outputs["scores"][..., 0], -100.0, 100.0))
    found = blended_suppression(
        decode(outputs["offsets"], image_shape),
        scores,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_detections=max_faces,
    )
    values = found["values"]
    points = ops.reshape(values[..., 4:], (-1, max_faces, (values.shape[-1] - 4) // 2, 2))
    return {"boxes": values[..., :4], "keypoints": points, "scores": found["scores"], "labels": found["labels"]}
