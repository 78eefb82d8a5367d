"""U-Net and FCN: layers and sizes of the papers, logits for every pixel, and what a gradient reaches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import images_of, outline
from tfdl.core.outline import parameters
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.models.segmentation.fcn import FCNConfig, fcn
from tfdl.models.segmentation.unet import UNetConfig, unet

SHAPE = (32, 64, 3)
BUILDERS = {"unet": unet, "fcn": fcn}


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
    assert all(x.shape[1:3] == (32 // int(key[6:]), 64 // int(key[6:])) for key, x in maps.items())


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
    coarse = fcn(FCNConfig(backbone="nano", finest=32), image_shape=SHAPE, num_classes=3)
    by_path = {w.path: w for w in fine.weights}
    for weight in coarse.weights:
        weight.assign(by_path[weight.path])
    for stride in (8, 16):
        assert not np.any(fine.get_layer(f"score{stride}").kernel)
    answers = [np.array(model(images)) for model in (fine, coarse)]
    # Two enlargements by 2 and one by 8, and one by 32, agree in the means of whole cells
    cells = [x.reshape(1, 1, 32, 2, 32, 3).mean((2, 4)) for x in answers]
    np.testing.assert_allclose(cells[0], cells[1], atol=0.1 * np.abs(cells[1]).max())


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="this unet needs sides like multiples of 16"):
        unet("small", image_shape=(100, 96, 3))
    with pytest.raises(ValueError, match="needs sides like 572"):
        unet("paper", image_shape=(570, 572, 1))
    with pytest.raises(ValueError, match="fcn needs sides that are multiples of 32"):
        fcn("nano", image_shape=(48, 64, 3))
    with pytest.raises(ValueError, match="finest must be 8, 16 or 32, not 4"):
        FCNConfig(backbone="18", finest=4)
    with pytest.raises(ValueError, match="two levels"):
        UNetConfig(levels=1)
