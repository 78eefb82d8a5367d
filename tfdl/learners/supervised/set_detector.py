"""SetDetector: a network that puts out a set of objects learns to find each of them once, and finds them.

    model = SetDetector(detr("small_images", image_shape=(96, 96, 3), num_classes=4))

Used as `Detector`; network, matching, loss and decoding are `models/detection/detr`, `ops/matching`, `losses/sets` and
`ops/suppression.best_classes`: nothing is suppressed, since no object is found twice.
Source: Carion et al. 2020, arXiv:2005.12872, section 3.1.
"""

import numpy as np
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.gradients import mean_over
from tfdl.core.host import on_host
from tfdl.core.serial import serializable
from tfdl.learners.supervised.box_learner import BoxLearner
from tfdl.losses.sets import matching_cost, set_terms
from tfdl.ops.boxes import from_corners
from tfdl.ops.matching import match
from tfdl.ops.suppression import best_classes


@serializable
class SetDetector(BoxLearner):
    """Images (B, H, W, C) -> what the network puts out: dict of boxes, scores, logits and places.

    The two parts of the loss are divided by the weights of all queries and by the objects of the global batch, whatever
    replica or micro-batch they are in.  If a picture has more objects than there are queries, the rest is not learned.

    Args:
        network: such as `detr(...)`, on images alone.
        gains: of the class, the L1 distance and GIoU, in the matching and in the loss.
        nothing: weight of queries without an object.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("boxes", "scores", "logits", "places")

    def __init__(self, network, *, gains=(1.0, 5.0, 2.0), nothing=0.1, name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.gains, self.nothing = tuple(gains), nothing
        _, height, width, _ = network.inputs[0].shape
        self.size = np.array([width, height, width, height], "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L of `losses.sets` for y, a dict of boxes (B, N, 4) and labels (B, N), -1 where padded."""
        labels = y["labels"]
        if "crowd" in y:
            labels = ops.where(y["crowd"], PADDING, labels)
        places = from_corners(y["boxes"] / self.size, "cxcywh")
        logits, found = y_pred["logits"], y_pred["places"]
        cost = matching_cost(logits, found, places, labels, gains=self.gains)  # (B, L, Q, N)
        _, layers, _, objects = cost.shape
        is_object = ops.broadcast_to(ops.not_equal(labels, PADDING)[:, None], ops.shape(cost[:, :, 0]))
        matches = on_host(match, (cost, is_object), shape=(None, layers, objects), dtype="int32")
        terms = set_terms(logits, found, places, labels, matches, gains=self.gains, nothing=self.nothing)
        return sum(mean_over(total, number) for total, number in terms)

    def detect(self, images, *, score_threshold=0.001, max_detections=100):
        """As `BoxLearner.detect`, without suppression: each query with its best class."""
        outputs = self(images, training=False)
        return best_classes(
            ops.cast(outputs["boxes"], "float32"),
            ops.sigmoid(ops.cast(outputs["scores"], "float32")),
            score_threshold=score_threshold,
            max_detections=max_detections,
        )

    def get_config(self):
        return super().get_config() | {"gains": list(self.gains), "nothing": self.nothing}
