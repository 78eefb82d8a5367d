"""LandmarkEstimator: a network that puts out coordinates, and learns them with the help of heat maps.

    model = LandmarkEstimator(blaze_pose("small", image_shape=(96, 96, 3), keypoints=68))

Used as `PoseEstimator`.  Heat maps and offsets teach the features; the coordinates are regressed from features that
they do not change, see `models/pose/blaze_pose`.  After training only the coordinates are in use.
Source: Bazarevsky et al. 2020, arXiv:2006.10204, section 2.4 and Fig. 4.
Shapes: B batch, H W C height, width and channels, h w sides of a map, K key points.
"""

from keras import ops

from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.learners.supervised.network_learner import NetworkLearner
from tfdl.losses.keypoints import coordinate_terms, heatmap_terms, offset_terms, visibility_terms


@serializable
class LandmarkEstimator(NetworkLearner):
    """Images (B, H, W, C) -> dict of keypoints (B, K, 2), visibility (B, K, 1), heatmaps (B, h, w, K) and offsets.

    Each of the four losses is a mean over the points, or the cells, of the global batch.

    Args:
        network: such as `blaze_pose(..., keypoints=K)`.
        sigma: of the Gaussian around each point; offsets are learned within twice as many cells.
        gains: of heat maps, offsets, coordinates and visibility in the loss.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("keypoints", "visibility", "heatmaps", "offsets")

    def __init__(self, network, *, sigma=2.0, gains=(10.0, 0.1, 1.0, 0.1), name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.sigma, self.gains = sigma, tuple(gains)
        self.size = tuple(network.inputs[0].shape[1:3])
        self.stride = self.size[0] // network.output["heatmaps"].shape[1]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the four losses of `losses.keypoints` for y, a dict of keypoints (B, 1, K, 3)."""
        points = y["keypoints"][:, 0]
        terms = (
            heatmap_terms(y_pred["heatmaps"], points, stride=self.stride, sigma=self.sigma),
            offset_terms(y_pred["offsets"], points, stride=self.stride, radius=2 * self.sigma),
            coordinate_terms(y_pred["keypoints"], points, self.size),
            visibility_terms(y_pred["visibility"][..., 0], points),
        )
        return sum(gain * mean_over(*term) for gain, term in zip(self.gains, terms))

    def estimate(self, images):
        """Images (B, H, W, C) -> key points (B, K, 3): x, y in pixels, and the probability of being visible."""
        outputs = self(images, training=False)
        scores = ops.sigmoid(ops.cast(outputs["visibility"], "float32"))
        return ops.concatenate([ops.cast(outputs["keypoints"], "float32"), scores], axis=-1)

    def get_config(self):
        return super().get_config() | {"sigma": self.sigma, "gains": list(self.gains)}
