"""What learners that find objects share: how the outputs of their network become detections.

Source: Ren et al. 2015, arXiv:1506.01497, section 3.3, for suppression after the network.
Shapes: B batch, H W C height, width and channels, A boxes, D detections.
"""

from keras import ops

from tfdl.learners.supervised.network_learner import NetworkLearner
from tfdl.ops.suppression import non_max_suppression


class BoxLearner(NetworkLearner):
    """Abstract: a network with the outputs boxes (B, A, 4) xyxy in pixels and scores (B, A, classes), logits."""

    OUTPUTS = ("boxes", "scores")

    def detect(self, images, *, score_threshold=0.001, iou_threshold=0.5, max_detections=100):
        """What is in the pictures: dict of boxes (B, D, 4) xyxy in pixels, scores (B, D) and labels (B, D), -1 where
        padded; see `non_max_suppression`.

        The threshold of scores is that for mean average precision, which wants doubtful detections too; a person rather
        wants those above 0.25.  That of the IoU is the exported files'.
        """
        outputs = self(images, training=False)
        return non_max_suppression(
            ops.cast(outputs["boxes"], "float32"),
            ops.sigmoid(ops.cast(outputs["scores"], "float32")),
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            max_detections=max_detections,
            candidates=300,
        )
