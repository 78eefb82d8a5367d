"""AnchorDetector: a network with anchors that learns to find objects, and finds them.

    model = AnchorDetector(yolo_v5("n", image_shape=(320, 320, 3), num_classes=3))

Used as `Detector`; only which outputs are to find an object, and the loss, differ: see `losses/anchors`.
Source: Jocher et al. 2020, software, as described by Terven et al. 2023, arXiv:2304.00501, section 12.
"""

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.layers.anchor_boxes import AnchorBoxes
from tfdl.learners.supervised.box_learner import BoxLearner
from tfdl.losses.anchors import anchor_terms


@serializable
class AnchorDetector(BoxLearner):
    """Images (B, H, W, C) -> what the network puts out: dict of boxes, scores, objectness and classes.

    Each mean of the loss is over the global batch, whatever replica or micro-batch its elements are in.

    Args:
        network: such as `yolo_v5(...)`, with an `AnchorBoxes` layer.
        gains: of box, class and objectness; YOLOv5 divides that of the class, 0.5, by 80 for each class.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("boxes", "scores", "objectness", "classes")

    def __init__(self, network, *, gains=(0.05, 0.5, 1.0), name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.gains = tuple(gains)
        (grid,) = [layer for layer in network.layers if isinstance(layer, AnchorBoxes)]
        shapes = [[-(-side // stride) for side in grid.image_shape[:2]] for stride in grid.strides]
        self.grids = list(zip(shapes, grid.strides, grid.anchors))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L of `losses.anchors` for y, a dict of boxes (B, N, 4) and labels (B, N), -1 where padded."""
        labels = y["labels"]
        if "crowd" in y:
            labels = ops.where(y["crowd"], PADDING, labels)
        terms = anchor_terms(y_pred, y["boxes"], labels, self.grids, gains=self.gains)
        return sum(mean_over(total, number) for total, number in terms)

    def get_config(self):
        return super().get_config() | {"gains": list(self.gains)}
