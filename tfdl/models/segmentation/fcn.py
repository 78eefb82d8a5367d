"""FCN: a classifier whose last layers are convolutions gives every pixel a class; finer maps correct the borders.

Paper: Long et al. 2014, arXiv:1411.4038, section 3 and Fig. 3 (FCN-32s, FCN-16s, FCN-8s).  The paper's classifiers are
AlexNet, VGG-16 and GoogLeNet; ours is any ResNet of the catalog, as in later work.
Shapes: B batch, H W height and width, C classes, s stride.
"""

import keras
from keras import layers

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.pixels import image_input
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.convnets.resnet import ResNetConfig, resnet


@config
class FCNConfig:
    """One network: a ResNet, and the finest of its maps that is used."""

    backbone: ResNetConfig
    finest: int = 8  # stride: 32, 16 or 8, as in the names FCN-32s, FCN-16s, FCN-8s

    def __post_init__(self):
        if self.finest not in (8, 16, 32):
            raise ValueError(f"finest must be 8, 16 or 32, not {self.finest}.")


VARIANTS = {
    "nano": FCNConfig(backbone=RESNETS["nano"]),  # ours, for tests
    "32s_resnet18": FCNConfig(backbone=RESNETS["18"], finest=32),
    "16s_resnet18": FCNConfig(backbone=RESNETS["18"], finest=16),
    "8s_resnet18": FCNConfig(backbone=RESNETS["18"]),
    "8s_resnet50": FCNConfig(backbone=RESNETS["50"]),
}


def fcn(variant="8s_resnet50", *, image_shape=(224, 224, 3), num_classes=21, normalize="imagenet", name="fcn"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, H, W, num_classes), or with None the maps of the ResNet.

    `variant` is a row of VARIANTS or an FCNConfig.  `normalize`: see `normalize_pixels`.  The scores of each map are
    1x1 convolutions, enlarged bilinearly twice and added to those of the next finer one (Fig. 3).  Those of finer maps
    begin at zero, so that the network begins as FCN-32s (section 4.2).

    Raises:
        ValueError: unknown variant, or a side that is not a multiple of 32.
    """
    c = choose_variant(variant, VARIANTS, model="fcn")
    check_num_classes(num_classes)
    image_input(image_shape)  # checks it
    if any(side is None or side % 32 for side in image_shape[:2]):
        raise ValueError(f"image_shape is {tuple(image_shape)}; fcn needs sides that are multiples of 32.")
    backbone = resnet(c.backbone, image_shape=image_shape, num_classes=None, normalize=normalize)
    images, maps = backbone.inputs[0], backbone.output
    if num_classes is None:
        return keras.Model(images, maps, name=name)
    scores, stride = None, 32
    while True:
        first = "zeros" if scores is not None else "glorot_uniform"
        score = layers.Conv2D(num_classes, 1, kernel_initializer=first, dtype="float32", name=f"score{stride}")
        own = score(maps[f"stride{stride}"])  # (B, H/s, W/s, C)
        scores = own if scores is None else layers.Add(dtype="float32", name=f"sum{stride}")([scores, own])
        if stride == c.finest:
            break
        scores = enlarged(scores, 2, name=f"enlarge{stride}")
        stride //= 2
    return keras.Model(images, enlarged(scores, stride, name="logits"), name=name)


def enlarged(x, factor, name):
    """Bilinear interpolation, with which the paper's upsampling begins.  (B, H, W, C) -> (B, fH, fW, C)"""
    return layers.UpSampling2D(factor, interpolation="bilinear", dtype="float32", name=name)(x)
