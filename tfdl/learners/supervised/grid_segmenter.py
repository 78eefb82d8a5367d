"""GridSegmenter: a network whose cells say which object is in their middle learns that, and the objects' masks.

    model = GridSegmenter(solo("small_images", image_shape=(96, 96, 3), num_classes=4))
    model.compile(keras.optimizers.AdamW(2e-3))
    model.fit(data.train, validation_data=data.validation, epochs=20)      # loaded with masks=True
    model.detect(images)                                  # {"boxes", "scores", "labels", "masks"}

Network, assignment, loss and decoding are four things: `models/segmentation/solo`, in `losses/grid_masks` the next two,
and `ops/mask_suppression`.  Source: Wang et al. 2019, arXiv:1912.04488, section 3.
Shapes: B batch, H W C height, width and channels of the pictures, N objects with padding, D detections.
"""

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.layers.grid_cells import GridCells
from tfdl.learners.supervised.box_learner import BoxLearner
from tfdl.losses.grid_masks import grid_terms
from tfdl.ops.mask_suppression import levels_of, with_masks

FOUND = ("boxes", "scores", "labels", "masks")


@serializable
class GridSegmenter(BoxLearner):
    """Images (B, H, W, C) -> what the network puts out: the scores and masks of all cells, and the objects found.

    Both parts of the loss are divided by the positive cells of the global batch, whatever replica or micro-batch they
    are in.

    Args:
        network: such as `solo(...)`.
        mask_gain: lambda, the weight of the masks in the loss; 3 is the paper's.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("scores", *(f"found_{name}" for name in FOUND))

    def __init__(self, network, *, mask_gain=3.0, name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.mask_gain = mask_gain
        (self.cells,) = [layer for layer in network.layers if isinstance(layer, GridCells)]
        self.size = tuple(network.inputs[0].shape[1:3])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L of `losses.grid_masks` for y, a dict of boxes (B, N, 4), labels (B, N), -1 where padded, and instances
        (B, H, W), the row of the object that each pixel shows, -1 for none.

        Raises:
            ValueError: there are no instances.
        """
        if "instances" not in y:
            raise ValueError("GridSegmenter learns masks, and there are no instances; load the data with masks=True.")
        labels = y["labels"]
        if "crowd" in y:
            labels = ops.where(y["crowd"], PADDING, labels)
        of_classes, of_masks = grid_terms(
            y_pred["scores"],
            levels_of(y_pred),
            y["boxes"],
            labels,
            y["instances"],
            self.size,
            self.cells.grids,
            self.cells.scales,
        )
        return mean_over(*of_classes) + self.mask_gain * mean_over(*of_masks)

    def detect(self, images):
        """What is in the pictures: dict of boxes (B, D, 4) xyxy in pixels, scores (B, D), labels (B, D), -1 where
        padded, and masks (B, D, H, W) in [0, 1], above 1/2 on the object.

        The network leaves out what has a lower score than 0.05 after suppression, see `grid_objects`.
        """
        outputs = self(images, training=False)
        return with_masks({name: outputs[f"found_{name}"] for name in FOUND}, self.size)

    def get_config(self):
        return super().get_config() | {"mask_gain": self.mask_gain}
