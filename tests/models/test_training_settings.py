"""What training sees of a model and inference does not: rates of dropout and of dropped branches, starts, statistics.

Counts, strides and parity with other libraries say nothing about these; each value here is the paper's or the library's
that the variant names.
"""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

import tfdl
from tests.harness import outline
from tfdl.layers.drop_path import DropPath
from tfdl.models.convnets import alexnet, densenet, efficientnet, mobilenet, vgg
from tfdl.models.vision_transformers import swin, vit

RATES = {
    alexnet: {"one_tower": 0.5, "two_tower": 0.5},  # Krizhevsky et al. 2012, section 4.2
    vgg: {"11": 0.5, "16": 0.5, "19_bn": 0.5},  # Simonyan & Zisserman 2014, section 3.1
    mobilenet: {
        "v1": 1e-3,  # the authors' published code
        "v2": 0.2,
        "v3_small": 0.2,
        "v3_large": 0.2,
        "v1_keras": 1e-3,
        "v3_large_timm": 0.2,
    },
    efficientnet: dict(b0=0.2, b1=0.2, b2=0.3, b3=0.3, b4=0.4, b5=0.4, b6=0.5, b7=0.5, v2_s=0.2, b4_keras=0.4),
    densenet: {"121": 0.0, "bc100": 0.0},  # section 4.2: none with augmentation
    vit: {"nano": 0.0},
}
PATHS = {
    efficientnet: dict(b0=0.2, b7=0.2, v2_s=0.2),
    swin: dict(tiny=0.2, small=0.3, base=0.5),  # Liu et al. 2021, appendix A2.1
}


def rows(table):
    """A case for each variant."""
    return [pytest.param(module, *row, id=f"{module.__name__.split('.')[-1]}-{row[0]}") for module in table
            for row in table[module].items()]  # fmt: skip


@pytest.mark.parametrize("module, variant, rate", rows(RATES))
def test_dropout_is_the_papers(module, variant, rate):
    assert module.VARIANTS[variant].dropout == rate


@pytest.mark.parametrize("module, variant, rate", rows(PATHS))
def test_dropped_branches_are_as_many_as_in_the_paper(module, variant, rate):
    assert module.VARIANTS[variant].drop_path == rate


def dropouts(model):
    return {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}


@pytest.mark.parametrize(
    "key, expected",
    [
        ("alexnet", {"dropout1": 0.1, "dropout2": 0.1}),
        ("vgg", {"dropout1": 0.1, "dropout2": 0.1}),
        ("mobilenet", {"dropout": 0.2}),
        ("efficientnet", {"dropout": 0.2}),
        ("resnet", {}),
        ("shufflenet", {}),
        ("lenet", {}),
        ("swin", {}),
    ],
)
def test_a_networks_dropout_layers_have_the_rates_of_its_config(key, expected):
    image_shape = (64, 64, 3)
    assert dropouts(outline(tfdl.build, key, "nano", image_shape=image_shape)) == pytest.approx(expected)


@pytest.mark.parametrize("key, is_before", [("alexnet", True), ("vgg", False)])
def test_dropout_is_where_the_paper_has_it(key, is_before):
    """In front of the two hidden dense layers of AlexNet, behind those of VGG."""
    names = [layer.name for layer in outline(tfdl.build, key, "nano", image_shape=(64, 64, 3)).layers]
    for i in (1, 2):
        assert (names.index(f"dropout{i}") < names.index(f"fc{i}")) == is_before


@pytest.mark.parametrize(
    "key, config",
    [
        ("efficientnet", replace(efficientnet.VARIANTS["nano"], drop_path=0.6)),
        ("swin", replace(swin.VARIANTS["nano"], drop_path=0.6)),
        ("vit", replace(vit.VARIANTS["nano"], drop_path=0.6, depth=3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_branches_are_dropped_more_often_the_deeper_they_are(key, config):
    model = outline(tfdl.build, key, config, image_shape=(64, 64, 3))
    rates = [layer.rate for layer in model.layers if isinstance(layer, DropPath)]
    assert rates == sorted(rates) and rates[0] < rates[-1] <= 0.6
    if key != "efficientnet":  # whose last block is one step short of the rate
        assert rates[-1] == pytest.approx(0.6)


STATISTICS = {  # epsilon and momentum of batch normalization, or epsilon of layer normalization
    ("mobilenet", "v1"): {(1e-5, 0.9)},
    ("mobilenet", "v2"): {(1e-5, 0.9)},
    ("mobilenet", "v3_small"): {(1e-3, 0.99)},
    ("mobilenet", "v3_large_timm"): {(1e-5, 0.99)},
    ("efficientnet", "b0"): {(1e-5, 0.9)},
    ("efficientnet", "b0_keras"): {(1e-3, 0.99)},
    ("resnet", "18"): {(1e-5, 0.9)},
    ("resnet", "50_keras"): {(1.001e-5, 0.99)},
    ("densenet", "bc100"): {(1e-5, 0.9)},
    ("shufflenet", "v2_x0_5"): {(1e-5, 0.9)},
    ("vgg", "11_bn"): {(1e-5, 0.9)},
    ("vit", "nano"): {(1e-6, None)},
    ("swin", "nano"): {(1e-5, None)},
}


@pytest.mark.parametrize("key, variant", STATISTICS, ids=" ".join)
def test_normalization_has_the_constants_of_its_library(key, variant):
    kinds = keras.layers.BatchNormalization | keras.layers.LayerNormalization
    model = outline(tfdl.build, key, variant, image_shape=(64, 64, 3))
    found = {(layer.epsilon, getattr(layer, "momentum", None)) for layer in model.layers if isinstance(layer, kinds)}
    assert found == STATISTICS[key, variant]


def he(kernel):
    return math.sqrt(2 / fans(kernel)[0])


def glorot(kernel):
    return math.sqrt(2 / sum(fans(kernel)))


def small(_):
    return 0.0176  # of a normal distribution with 0.02, cut at twice that


def fans(shape):
    """Inputs and outputs of a unit as Keras counts them."""
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


STARTS = {  # of kernels that the network's own file or its layers say; the head has its own
    "alexnet": he,
    "vgg": he,
    "densenet": he,
    "convolutional_topology": he,
    "mlp": he,
    "highway": he,
    "resnet": glorot,
    "mobilenet": glorot,
    "efficientnet": glorot,
    "shufflenet": glorot,
    "vit": small,
    "swin": small,
}
HEADS = {
    "mobilenet": lambda width, classes: 0.01,  # torchvision's
    "efficientnet": lambda width, classes: classes**-0.5 / math.sqrt(3),  # torchvision's: uniform
    "vit": lambda width, classes: 0.0176,
    "swin": lambda width, classes: 0.0176,
}


@pytest.mark.parametrize("key", STARTS)
def test_fresh_kernels_have_the_standard_deviation_of_their_initializer(key):
    keras.utils.set_random_seed(0)
    model = tfdl.build(key, "nano", image_shape=(64, 64, 3), num_classes=50)
    seen = 0
    for weight in model.trainable_weights:
        values = np.array(weight)
        if weight.name != "kernel" or values.size < 400 or "patch" in weight.path:
            continue
        if key == "densenet" and "stem" in weight.path:  # conv_norm's own start
            continue
        head = "logits" in weight.path
        if head and key not in HEADS:
            continue
        expected = HEADS[key](*values.shape) if head else STARTS[key](values.shape)
        tolerance = 5 / math.sqrt(2 * values.size)  # five standard errors of an estimated standard deviation
        assert values.std() == pytest.approx(expected, rel=tolerance), weight.path
        assert abs(values.mean()) < 5 * expected / math.sqrt(values.size), weight.path
        seen += 1
    assert seen >= 1


def test_biases_start_at_zero_and_scales_at_one():
    for key in ("vgg", "mobilenet", "vit"):
        model = tfdl.build(key, "nano", image_shape=(32, 32, 3), num_classes=4)
        for weight in model.weights:
            if weight.name in ("bias", "beta", "moving_mean"):
                assert not np.array(weight).any(), weight.path
            elif weight.name in ("gamma", "moving_variance"):
                assert (np.array(weight) == 1).all(), weight.path
