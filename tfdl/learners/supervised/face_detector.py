"""FaceDetector: BlazeFace learns to find faces with their points, or people with the points that align them.

    model = FaceDetector(blaze_face("paper"))
    model.compile(keras.optimizers.AdamW(2e-3))
    model.fit(data.train, validation_data=data.validation, epochs=10)
    model.detect(images)                                  # {"boxes", "keypoints", "scores", "labels"}

Network, loss and decoding are three things: `models/pose/blaze_face`, `losses/faces` and `ops/faces`.
Source: Bazarevsky et al. 2019, arXiv:1907.05047.
Shapes: B batch, N anchors, M faces with padding, D faces found, P points.
"""

from keras import ops

from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.learners.supervised.network_learner import NetworkLearner
from tfdl.losses.faces import face_terms
from tfdl.ops.faces import anchors, decode, faces


@serializable
class FaceDetector(NetworkLearner):
    """Images (B, H, W, 3) -> dict of offsets (B, N, 4 + 2 P), scores (B, N, 1) logits, and boxes (B, N, 4) xyxy in
    pixels.

    The boxes are what the offsets mean, so that the model is a detector like any other.  Each mean of the loss is over
    the global batch, whatever replica or micro-batch its anchors are in.

    Args:
        network: such as `blaze_face(...)` or `person_detector(...)`.
        gain: of boxes and points in the loss.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("offsets", "scores")

    def __init__(self, network, *, gain=2.0, name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.gain = gain
        self.image_shape = tuple(network.inputs[0].shape[1:])
        self.centers = anchors(self.image_shape)

    def outputs_of(self, network):
        outputs = network.output
        if not isinstance(outputs, dict) or "offsets" not in outputs:
            return outputs
        shape = network.inputs[0].shape[1:]
        return {**outputs, "boxes": decode(ops.cast(outputs["offsets"], "float32"), shape)[..., :4]}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L of `losses.faces` for y, a dict of boxes (B, M, 4), labels (B, M) and keypoints (B, M, P, 3)."""
        return sum(mean_over(*term) for term in face_terms(y_pred, y, self.centers, gain=self.gain))

    def detect(self, images, *, score_threshold=0.05, iou_threshold=0.3, max_detections=20):
        """What is in the pictures, see `ops.faces.faces`; the threshold is for precision over recall, which wants
        doubtful faces too; a person rather wants those above 0.5."""
        return faces(
            self(images, training=False),
            self.image_shape,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_faces=max_detections,
        )

    def get_config(self):
        return super().get_config() | {"gain": self.gain}
