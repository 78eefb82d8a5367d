"""VoxelDetector: a network with anchors in space that learns to find objects in clouds of points, and finds them.

    model = VoxelDetector(voxelnet("small", points=4096))
    model.compile(keras.optimizers.AdamW(1e-3))
    model.fit(data.train, validation_data=data.validation, epochs=20)
    model.detect(points)                                  # {"boxes", "scores", "labels"}

Network, assignment, loss and decoding are four things: `models/three_d`, and in `losses/anchors_3d`, `ops/boxes_3d` and
`ops/suppression` the functions that this file puts together.
Source: Zhou & Tuzel 2018, arXiv:1711.06396 (VoxelNet).
Shapes: B batch, P points, N objects with padding, A anchors, D detections.
"""

from keras import ops

from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.layers.voxels import AnchorBoxes3D
from tfdl.learners.supervised.box_learner import BoxLearner
from tfdl.losses.anchors_3d import NEGATIVE, POSITIVE, anchor_terms, assign
from tfdl.ops.boxes_3d import pairwise_bev_iou
from tfdl.ops.suppression import non_max_suppression

IOU = 0.1  # seen from above, of boxes that show the same object: objects stand beside each other


@serializable
class VoxelDetector(BoxLearner):
    """Points (B, P, 3 + F) -> what the network puts out: dict of boxes, scores and offsets.

    Each mean of the loss is over the global batch, whatever replica or micro-batch its anchors are in.

    Args:
        network: such as `voxelnet(...)`, with an `AnchorBoxes3D` layer.
        positive, negative: IoU from above over which an anchor is to find an object, and under which it is to find
            nothing.
        alpha, beta: of eq. 2.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("boxes", "scores", "offsets")

    def __init__(self, network, *, positive=POSITIVE, negative=NEGATIVE, alpha=1.5, beta=1.0, name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        if not 0 <= negative <= positive <= 1:
            raise ValueError(f"negative is {negative} and positive {positive}; give 0 <= negative <= positive <= 1.")
        self.positive, self.negative, self.alpha, self.beta = positive, negative, alpha, beta
        (layer,) = [layer for layer in network.layers if isinstance(layer, AnchorBoxes3D)]
        self.anchors = layer.anchors  # (A, 7)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L of `losses.anchors_3d` for y, a dict of boxes (B, N, 7) and labels (B, N), -1 where padded.

        It may also have ignored (B, N), bool.
        """
        thresholds = {"positive": self.positive, "negative": self.negative}
        target = assign(self.anchors, y["boxes"], y["labels"], y.get("ignored"), **thresholds)
        terms = anchor_terms(y_pred, target, self.anchors, alpha=self.alpha, beta=self.beta)
        return sum(mean_over(total, number) for total, number in terms)

    def detect(self, points, *, score_threshold=0.01, iou_threshold=IOU, max_detections=50):
        """What is in the clouds: dict of boxes (B, D, 7), scores (B, D) and labels (B, D), -1 where padded.

        The score is one for average precision, which wants doubtful detections too.
        """
        outputs = self(points, training=False)
        return non_max_suppression(
            ops.cast(outputs["boxes"], "float32"),
            ops.sigmoid(ops.cast(outputs["scores"], "float32")),
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            max_detections=max_detections,
            candidates=200,
            pairwise=pairwise_bev_iou,
        )

    def get_config(self):
        own = {name: getattr(self, name) for name in ("positive", "negative", "alpha", "beta")}
        return super().get_config() | own
