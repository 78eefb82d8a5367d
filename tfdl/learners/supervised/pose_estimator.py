"""PoseEstimator: a network of heat maps that learns where key points are, and says it.

    model = PoseEstimator(hrnet("small", image_shape=(96, 96, 3), keypoints=68))
    model.compile(keras.optimizers.AdamW(1e-3))
    model.fit(data.train, validation_data=data.validation, epochs=20)
    model.estimate(images)                                # (B, K, 3): x, y in pixels, score

Network, loss and decoding are three things: `models/pose`, `losses/keypoints` and `ops/heatmaps`.
Source: Sun et al. 2019, arXiv:1902.09212, section 3.
Shapes: B batch, H W C height, width and channels, h w sides of a map, K key points.
"""

from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.learners.supervised.network_learner import NetworkLearner
from tfdl.losses.keypoints import heatmap_terms
from tfdl.ops.heatmaps import decode


@serializable
class PoseEstimator(NetworkLearner):
    """Images (B, H, W, C) -> {"heatmaps": (B, h, w, K)}.

    The loss is the mean over the visible points of the global batch, whatever replica or micro-batch they are in.

    Args:
        network: such as `hrnet(..., keypoints=K)`.
        sigma: of the Gaussian around each point, in cells of the map.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("heatmaps",)

    def __init__(self, network, *, sigma=2.0, name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.sigma = sigma
        self.stride = network.inputs[0].shape[1] // network.output["heatmaps"].shape[1]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss on heat maps for y, a dict of keypoints (B, 1, K, 3)."""
        terms = heatmap_terms(y_pred["heatmaps"], y["keypoints"][:, 0], stride=self.stride, sigma=self.sigma)
        return mean_over(*terms)

    def estimate(self, images):
        """Images (B, H, W, C) -> key points (B, K, 3): x, y in pixels, and the height of the map's peak."""
        return decode(self(images, training=False)["heatmaps"], stride=self.stride)

    def get_config(self):
        return super().get_config() | {"sigma": self.sigma}
