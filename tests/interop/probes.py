"""Small convnets of torchvision with weights from a seed, and the logits that torchvision 0.28.0 computes with them.

tests/parity/test_probes.py computes them there; tests/interop/test_convnets.py asks ours for the same numbers.
"""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from tfdl.models.convnets import alexnet, densenet, efficientnet, mobilenet, resnet, shufflenet, vgg

IMAGE = (67, 89, 3)
CLASSES = 3


@dataclass(frozen=True)
class Probe:
    """Our variant, and the logits of one image."""

    model: str
    variant: object
    logits: tuple[float, ...]


PROBES = {
    "alexnet": Probe(
        "alexnet",
        replace(alexnet.VARIANTS["nano"], towers=1, response_norm=False, stem_kernel=11, stem_stride=4, grid=6),
        (0.353236, 0.158346, 0.042962),
    ),
    "densenet": Probe("densenet", densenet.VARIANTS["nano"], (0.165752, 1.09129, -1.353371)),
    "efficientnet": Probe("efficientnet", efficientnet.VARIANTS["nano"], (3.582882, 1.001882, 3.808412)),
    "mobilenet_v2": Probe("mobilenet", replace(mobilenet.VARIANTS["v2"], width=0.35), (-1.448993, 1.18869, 0.245804)),
    "mobilenet_v3": Probe("mobilenet", mobilenet.VARIANTS["v3_small"], (8.066957, 0.250858, 6.466425)),
    "resnet": Probe("resnet", resnet.ResNetConfig(blocks=(1, 2, 1, 1)), (2.549261, 4.873499, -11.607526)),
    "shufflenet": Probe("shufflenet", shufflenet.VARIANTS["nano"], (1.291436, 1.162116, 1.032947)),
    "vgg": Probe("vgg", vgg.VARIANTS["nano"], (0.06218, 1.552041, 0.40317)),
}


def seeded(shapes):
    """Name -> array of values that depend on the name alone; kernels keep the size of what they see."""
    return {name: values(name, tuple(shape)) for name, shape in shapes.items()}


def values(name, shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    if len(shape) > 1:
        return ((2 / np.prod(shape[1:])) ** 0.5 * rng.standard_normal(shape)).astype("float32")
    one = name.endswith("weight")  # of a norm
    return (one + 0.2 * rng.standard_normal(shape)).astype("float32")


def image():
    return np.random.default_rng(0).random((1, *IMAGE), dtype="float32")
