"""What learners that find objects share: the network inside, how its outputs become detections, and how it is saved.

Source: Ren et al. 2015, arXiv:1506.01497, section 3.3, for suppression after the network.
Shapes: B batch, H W C height, width and channels, A boxes, D detections.
"""

import keras
from keras import ops

from tfdl.ops.suppression import non_max_suppression


class BoxLearner(keras.Model):
    """Abstract: a network with the outputs boxes (B, A, 4) xyxy in pixels and scores (B, A, classes), logits.

    It is the network with a loss: its inputs, outputs and layers are the network's own.

    Args:
        network: with the outputs that `OUTPUTS` names.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("boxes", "scores")

    def __init__(self, network, *, name=None, **kwargs):
        outputs = network.output
        if not isinstance(outputs, dict) or not set(self.OUTPUTS) <= outputs.keys():
            raise ValueError(
                f"{type(self).__name__} needs a network with the outputs {', '.join(self.OUTPUTS)};"
                f" {network.name!r} has {', '.join(outputs) if isinstance(outputs, dict) else 'one without a name'}."
            )
        super().__init__(inputs=network.inputs[0], outputs=outputs, name=name or network.name, **kwargs)
        self.network = network

    def detect(self, images, *, score_threshold=0.001, iou_threshold=0.7, max_detections=100):
        """What is in the pictures: dict of boxes (B, D, 4) xyxy in pixels, scores (B, D) and labels (B, D), -1 where
        padded; see `non_max_suppression`.

        The thresholds are those for mean average precision, which wants doubtful detections too; a person rather wants
        those above 0.25.
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

    def get_config(self):
        return {"network": keras.saving.serialize_keras_object(self.network), "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
