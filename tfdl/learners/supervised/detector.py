"""Detector: a one-stage network that learns to find objects, and finds them.

    model = Detector(yolo_v8("n", image_shape=(320, 320, 3), num_classes=3))
    model.compile(keras.optimizers.AdamW(2e-3))
    model.fit(data.train, validation_data=data.validation, epochs=60)
    model.detect(images)                                  # {"boxes", "scores", "labels"}

Network, assignment, loss and decoding are four things: `models/detection`, and in `losses/detection` and
`ops/suppression` the functions that this file puts together.  Source: Feng et al. 2021, arXiv:2108.07755 (TOOD).
Shapes: B batch, H W C height, width and channels, N objects with padding, A points, D detections.
"""

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.layers.box_distribution import BoxDistribution
from tfdl.learners.supervised.box_learner import BoxLearner
from tfdl.losses.detection import detection_terms, task_aligned


@serializable
class Detector(BoxLearner):
    """Images (B, H, W, C) -> what the network puts out: dict of boxes, scores and distances.

    The loss is divided by the targets of the scores in the global batch, whatever replica or micro-batch they are in.

    Args:
        network: such as `yolo_v8(...)`: with the outputs boxes (B, A, 4) xyxy in pixels, scores (B, A, classes) logits
            and distances (B, A, 4 K) logits, from a `BoxDistribution`.
        gains: of box, class and distance in the loss.
        nearest: points that are to find an object.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("boxes", "scores", "distances")

    def __init__(self, network, *, gains=(7.5, 0.5, 1.5), nearest=10, name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.gains, self.nearest = tuple(gains), nearest
        (grid,) = [layer for layer in network.layers if isinstance(layer, BoxDistribution)]
        self.points, self.steps = grid.points, grid.steps  # (A, 2), (A, 1)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L of `losses.detection` for y, a dict of boxes (B, N, 4) and labels (B, N), -1 where padded."""
        labels = y["labels"]
        if "crowd" in y:
            labels = ops.where(y["crowd"], PADDING, labels)
        target = task_aligned(
            ops.sigmoid(ops.cast(y_pred["scores"], "float32")),
            y_pred["boxes"],
            self.points,
            y["boxes"],
            labels,
            nearest=self.nearest,
        )
        return mean_over(*detection_terms(y_pred, target, self.points, self.steps, gains=self.gains))

    def get_config(self):
        return super().get_config() | {"gains": list(self.gains), "nearest": self.nearest}
