"""U-Net, FCN and DeepLab: layers and sizes of the papers, logits for every pixel, and what a gradient reaches."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import images_of, outline
from tfdl.core.outline import parameters
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.models.backbones import backbone_of
from tfdl.models.convnets.mobilenet import VARIANTS as MOBILENETS
from tfdl.models.convnets.mobilenet import MobileNetConfig
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.convnets.resnet import resnet
from tfdl.models.segmentation.deeplab import VARIANTS as DEEPLABS
from tfdl.models.segmentation.deeplab import DeepLabConfig, deeplab
from tfdl.models.segmentation.fcn import FCNConfig, fcn
from tfdl.models.segmentation.unet import UNetConfig, unet

SHAPE = (32, 64, 3)
BUILDERS = {"unet": unet, "fcn": fcn, "deeplab": deeplab}


def convolution(inputs, outputs, kernel):
    return inputs * outputs * kernel**2 + outputs


def test_unet_has_the_layers_of_figure_1():
    """Two 3x3 convolutions on each of five levels down and four up, 2x2 up-convolutions, and a 1x1 at the end: 23."""
    model = outline(unet, "paper", image_shape=(572, 572, 1), num_classes=2, normalize=None)
    expected = convolution(1, 64, 3) + convolution(64, 64, 3)
    for level in range(1, 5):
        channels = 64 * 2**level
        expected += convolution(channels // 2, channels, 3) + convolution(channels, channels, 3)  # down
        expected += convolution(channels, channels // 2, 2)  # enlarged
        expected += convolution(channels, channels // 2, 3) + convolution(channels // 2, channels // 2, 3)  # up
    expected += convolution(64, 2, 1)
    assert parameters(model) == expected == 31_030_658
    kinds = keras.layers.Conv2D, keras.layers.Conv2DTranspose
    assert sum(isinstance(layer, kinds) for layer in model.layers) == 23
    assert model.output_shape == (None, 388, 388, 2)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_pixel_has_logits(name):
    model = BUILDERS[name]("nano", image_shape=SHAPE, num_classes=3)
    logits = model(images_of(2, *SHAPE))
    assert tuple(logits.shape) == (2, *SHAPE[:2], 3) and logits.dtype == "float32"
    maps = outline(BUILDERS[name], "nano", image_shape=SHAPE, num_classes=None).output
    assert all(x.shape[1:3] == (32 // int(key[6:]), 64 // int(key[6:])) for key, x in maps.items()) and len(maps) > 2


@pytest.mark.parametrize("name", BUILDERS)
def test_gradient_reaches_the_weights_and_files_give_the_same(name, tmp_path):
    keras.utils.set_random_seed(0)
    model, images = BUILDERS[name]("nano", image_shape=SHAPE, num_classes=3), images_of(2, *SHAPE)
    masks = np.random.default_rng(0).integers(0, 3, (2, *SHAPE[:2]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    with tf.GradientTape() as tape:
        value = loss(masks, model(images, training=True))
    gradients = tape.gradient(value, [w.value for w in model.trainable_weights])
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    assert sum(np.abs(g).max() > 0 for g in gradients) >= 0.9 * len(gradients)
    expected = np.array(model(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(images), expected, atol=1e-5)
    file = run_tflite(convert_float(graph(model, signature_of(model))), {"images": images})
    np.testing.assert_allclose(file["logits"], expected, atol=1e-4)


def test_fcn_begins_as_its_coarsest_network():
    """Section 4.2: scores of finer maps begin at zero."""
    keras.utils.set_random_seed(0)
    fine, images = fcn("nano", image_shape=SHAPE, num_classes=3), images_of(1, *SHAPE)
    coarse = fcn(FCNConfig(backbone=RESNETS["nano"], finest=32), image_shape=SHAPE, num_classes=3)
    by_path = {w.path: w for w in fine.weights}
    for weight in coarse.weights:
        weight.assign(by_path[weight.path])
    for stride in (8, 16):
        assert not np.any(fine.get_layer(f"score{stride}").kernel)
    answers = [np.array(model(images)) for model in (fine, coarse)]
    # Two enlargements by 2 and one by 8, and one by 32, agree in the means of whole cells
    cells = [x.reshape(1, 1, 32, 2, 32, 3).mean((2, 4)) for x in answers]
    np.testing.assert_allclose(cells[0], cells[1], atol=0.1 * np.abs(cells[1]).max())


ROWS = ((8, 2), (16, 2), (16, 2), (24, 2), (24, 1), (24, 1))  # channels and stride
SEPARABLE = MobileNetConfig(blocks=tuple((3, 16, c, False, "relu", s) for c, s in ROWS), stem=8)


@pytest.mark.parametrize("config", [RESNETS["nano"], SEPARABLE], ids=["resnet", "mobilenet"])
def test_dilated_stages_see_as_far_and_have_the_same_weights(config):
    """The dilated network's answer at every second pixel is the plain one's, where no border is near."""
    keras.utils.set_random_seed(0)
    size = (128, 128, 3)
    options = dict(image_shape=size, normalize="imagenet")
    plain, wide = (backbone_of(replace(config, dilated=n), **options) for n in (0, 1))
    assert [w.shape for w in wide.weights] == [w.shape for w in plain.weights]
    wide.set_weights(plain.get_weights())
    images = images_of(1, *size)
    coarse, fine = np.array(plain(images)["stride32"]), np.array(wide(images)["stride16"])
    assert fine.shape[1:3] == (8, 8) and "stride32" not in wide.output
    scale = np.abs(coarse).max()
    np.testing.assert_allclose(fine[:, 2:6:2, 2:6:2] / scale, coarse[:, 1:3, 1:3] / scale, atol=1e-4)


def test_deeplab_has_the_parts_of_figure_2():
    model = outline(deeplab, "v3plus_resnet50", image_shape=(224, 224, 3), num_classes=21)
    sides = {name: model.get_layer(name).output.shape[1:] for name in ("pyramid", "low_conv", "join", "refine2_conv")}
    assert sides == {
        "pyramid": (14, 14, 5 * 256),
        "low_conv": (56, 56, 48),
        "join": (56, 56, 256 + 48),
        "refine2_conv": (56, 56, 256),
    }
    rates = [model.get_layer(f"pyramid{rate}_conv").dilation_rate for rate in (6, 12, 18)]
    assert rates == [(6, 6), (12, 12), (18, 18)]
    backbone = parameters(outline(resnet, "50", num_classes=None))
    kernels = 2048 * 256 * 2 + 3 * 9 * 2048 * 256 + 1280 * 256 + 256 * 48 + 9 * 304 * 256 + 9 * 256 * 256
    norms = 2 * (256 * 6 + 48 + 256 * 2)
    assert parameters(model) == backbone + kernels + norms + 256 * 21 + 21


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="this unet needs sides like multiples of 16"):
        unet("small", image_shape=(100, 96, 3))
    with pytest.raises(ValueError, match="needs sides like 572"):
        unet("paper", image_shape=(570, 572, 1))
    with pytest.raises(ValueError, match="fcn needs sides that are multiples of 32"):
        fcn("nano", image_shape=(48, 64, 3))
    with pytest.raises(ValueError, match="deeplab needs sides that are multiples of 16"):
        deeplab("nano", image_shape=(40, 64, 3))
    with pytest.raises(ValueError, match="ends with stride32; deeplab needs one that is dilated"):
        deeplab(replace(DEEPLABS["nano"], backbone=MOBILENETS["nano"]), image_shape=SHAPE)
    with pytest.raises(ValueError, match="dilated must be from 0 to 3, not 4"):
        replace(RESNETS["nano"], dilated=4)
    with pytest.raises(ValueError, match="rates above 1 and channels"):
        DeepLabConfig(backbone=RESNETS["nano"], rates=())
    with pytest.raises(ValueError, match="finest must be 8, 16 or 32, not 4"):
        FCNConfig(backbone=RESNETS["18"], finest=4)
    with pytest.raises(ValueError, match="two levels"):
        UNetConfig(levels=1)
