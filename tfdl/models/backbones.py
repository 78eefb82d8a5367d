"""Which builder makes the network of a configuration: detectors and segmenters take any of these as their backbone.

Source: Lin et al. 2016, arXiv:1612.03144, section 3, where the same pyramid stands on any convolutional network.
"""

from keras import layers

from tfdl.models.convnets.densenet import DenseNetConfig, densenet
from tfdl.models.convnets.efficientnet import EfficientNetConfig, efficientnet
from tfdl.models.convnets.mobilenet import MobileNetConfig, mobilenet
from tfdl.models.convnets.resnet import ResNetConfig, resnet
from tfdl.models.convnets.shufflenet import ShuffleNetConfig, shufflenet
from tfdl.models.convnets.vgg import VGGConfig, vgg

BUILDERS = {
    DenseNetConfig: densenet,
    EfficientNetConfig: efficientnet,
    MobileNetConfig: mobilenet,
    ResNetConfig: resnet,
    ShuffleNetConfig: shufflenet,
    VGGConfig: vgg,
}


def backbone_of(config, *, image_shape, normalize):
    """A model: images (B, H, W, C) -> {"stride2": (B, H/2, W/2, C) ...}, the last map of each stride.

    Args:
        config: a row of the VARIANTS of one of these families, or one of your own.
        image_shape, normalize: as of every builder.

    Raises:
        ValueError: a configuration of another family.
    """
    if type(config) not in BUILDERS:
        families = ", ".join(builder.__name__ for builder in BUILDERS.values())
        raise ValueError(f"There is no backbone {config!r}; give a row of the VARIANTS of {families}.")
    return BUILDERS[type(config)](config, image_shape=image_shape, num_classes=None, normalize=normalize)


def freeze(backbone):
    """Normalization becomes an affine map with the statistics of pre-training; a ResNet's first layers learn no more.

    So it is with published weights, Ren et al. 2015, arXiv:1506.01497, and its successors.
    """
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization) or layer.name.startswith(("stem", "stage1")):
            layer.trainable = False
