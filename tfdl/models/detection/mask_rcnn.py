"""Mask R-CNN: Faster R-CNN that also draws the outline of each object, in a small mask inside of its box.

Paper: He et al. 2017, arXiv:1703.06870, section 3 and Fig. 4 (right).  Sizes and conventions are those of torchvision's
`maskrcnn_resnet50_fpn`.
Shapes: B batch, D detections, C classes, 28 x 28 points of a mask.
"""

from dataclasses import replace

import keras
from keras import layers, ops

from tfdl.core.config import choose_variant
from tfdl.core.serial import serializable
from tfdl.models.detection.faster_rcnn import STRIDES, RoIAlign, regions
from tfdl.models.detection.faster_rcnn import VARIANTS as FASTER_RCNNS
from tfdl.ops.mask_paste import paste_masks

SIDE = 28  # of a mask
CONVOLUTIONS = 4

# The masks' layers are as wide as the pyramid, and cost most of an update.
VARIANTS = FASTER_RCNNS | {"small_images": replace(FASTER_RCNNS["small_images"], channels=32)}
CANONICAL = {"small_images": dict(image_shape=(96, 96, 3), num_classes=4)}


def mask_rcnn(variant="r50_fpn", *, image_shape=(800, 800, 3), num_classes=90, normalize="imagenet", name="mask_rcnn"):
    """Images (B, H, W, C) in [0, 1] -> the outputs of `faster_rcnn`, masks (B, D, 28, 28), logits, and found_masks.

    A mask covers the box of its detection, found_boxes, and is that of its class, found_labels; where these are -1 it
    has no meaning.  found_masks (B, D, H, W) are the same in the picture, probabilities, see `paste_masks`.  With
    num_classes None the outputs are the pyramid's maps.
    `variant` is a row of VARIANTS or a FasterRCNNConfig.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant, or a side that is not a multiple of 32.
    """
    c = choose_variant(variant, VARIANTS, model="mask_rcnn")
    images, outputs, maps = regions(c, image_shape, num_classes, normalize)
    if num_classes is None:
        return keras.Model(images, {f"stride{2**i}": x for i, x in enumerate(maps, 2)}, name=name)
    x = RoIAlign(STRIDES, bins=SIDE // 2, name="mask_align")(maps[:-1], outputs["found_boxes"])  # (B, D, 14, 14, C)
    masks = mask_head(x, c.channels, 1 + num_classes)  # (B, D, 28, 28, 1 + C)
    label = ops.one_hot(outputs["found_labels"] + 1, 1 + num_classes, dtype="float32")  # the first is "no object"
    outputs["masks"] = ops.einsum("bdhwc,bdc->bdhw", masks, label)
    outputs["found_masks"] = PastedMasks(image_shape[:2], name="pasted_masks")(outputs["masks"], outputs["found_boxes"])
    return keras.Model(images, outputs, name=name)


def mask_head(x, channels, classes):
    """Fig. 4, right: four convolutions, then twice the size.  (B, D, 14, 14, C) -> (B, D, 28, 28, classes) float32"""
    _, detections, side, _, width = x.shape
    x = ops.reshape(x, (-1, side, side, width))  # (B D, 14, 14, C)
    options = dict(activation="relu", kernel_initializer=keras.initializers.HeNormal())
    for i in range(CONVOLUTIONS):
        x = layers.Conv2D(channels, 3, padding="same", name=f"mask_conv{i + 1}", **options)(x)
    x = layers.Conv2DTranspose(channels, 2, 2, name="mask_up", **options)(x)
    x = layers.Conv2D(classes, 1, dtype="float32", name="mask_logits")(x)
    return ops.reshape(x, (-1, detections, 2 * side, 2 * side, classes))


@serializable
class PastedMasks(layers.Layer):
    """Logits (B, D, M, M) in boxes (B, D, 4) -> probabilities (B, D, H, W): see `tfdl.ops.mask_paste`.

    Args:
        image_shape: (height, width) of the pictures.
    """

    def __init__(self, image_shape, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.image_shape = tuple(image_shape)

    def call(self, masks, boxes):
        return paste_masks(ops.sigmoid(masks), boxes, self.image_shape)

    def compute_output_shape(self, masks_shape, boxes_shape):
        return (*masks_shape[:2], *self.image_shape)
