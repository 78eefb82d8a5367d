from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import check_gradients_reach_every_weight, check_save_and_load, images_of
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.ops.activations import ACTIVATIONS

SHAPE = (5, 4, 3)
TINY = MLPConfig(hidden=(12, 8))


@pytest.mark.parametrize(
    "variant, parameters",
    [
        ("lecun_300_100", 266_610),  # 784-300-100-10
        ("simard_800", 636_010),  # 784-800-10
        ("simard_800_dropout", 636_010),
        ("srivastava_3x1024", 785 * 1024 + 2 * 1025 * 1024 + 1025 * 10),
    ],
)
def test_parameter_count_is_that_of_the_papers_layers(variant, parameters):
    assert mlp(variant).count_params() == parameters


def test_two_layers_of_200_are_the_network_of_federated_averaging():
    assert mlp(MLPConfig(hidden=(200, 200))).count_params() == 199_210  # McMahan et al. 2017, arXiv:1602.05629


def test_logits_are_two_matrix_products_with_a_bend_between():
    model = mlp(MLPConfig(hidden=(7,)), image_shape=SHAPE, num_classes=6)
    w1, b1, w2, b2 = model.get_weights()
    images = images_of(3, *SHAPE)
    expected = np.maximum(images.reshape(3, -1) @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(model(images), expected, atol=1e-5)


def test_without_a_hidden_layer_it_is_logistic_regression():
    model = mlp(MLPConfig(hidden=()), image_shape=SHAPE, num_classes=6)
    assert model.count_params() == 60 * 6 + 6


def test_without_classes_it_gives_the_last_hidden_units():
    model = mlp(TINY, image_shape=SHAPE, num_classes=None)
    assert model.output_shape == (None, 8)
    assert model(images_of(9, *SHAPE)).numpy().min() == 0  # after the ReLU


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_contract_holds_for_every_activation(activation, tmp_path):
    keras.utils.set_random_seed(0)
    model = mlp(replace(TINY, activation=activation), image_shape=SHAPE, num_classes=3)
    assert [t.name for t in model.inputs] == ["images"]
    check_save_and_load(model, SHAPE, tmp_path)
    check_gradients_reach_every_weight(model, SHAPE)


@pytest.mark.parametrize("normalization", ["batch", "layer", "group"])
def test_contract_holds_for_every_normalization(normalization, tmp_path):
    model = mlp(replace(TINY, normalization=normalization, groups=4), image_shape=SHAPE, num_classes=3)
    check_save_and_load(model, SHAPE, tmp_path)
    check_gradients_reach_every_weight(model, SHAPE)


def test_normalized_layer_has_beta_in_place_of_its_bias():
    plain, normalized = (mlp(c, image_shape=SHAPE) for c in (TINY, replace(TINY, normalization="batch")))
    count = sum(int(np.prod(w.shape)) for w in normalized.trainable_weights)
    assert count == plain.count_params() + 12 + 8  # gamma


def test_dropout_is_random_in_training_only_and_keeps_the_mean():
    model = mlp(MLPConfig(hidden=(2000,), dropout=0.5, input_dropout=0.2), image_shape=SHAPE, num_classes=None)
    images = images_of(1, *SHAPE)
    np.testing.assert_array_equal(model(images, training=False), model(images, training=False))
    dropped = np.array(model(images, training=True))
    active = np.array(model(images, training=False)) > 0
    assert 0.4 < (dropped[active] == 0).mean() < 0.65
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.2, 0.5]


def test_l2_adds_the_squares_of_the_kernels_but_not_of_the_biases():
    model = mlp(replace(TINY, l2=0.01), image_shape=SHAPE, num_classes=6)
    for layer in model.layers[2:]:
        if layer.weights:
            layer.set_weights([w + 1 if w.ndim == 1 else w for w in layer.get_weights()])
    expected = 0.01 * sum((w**2).sum() for w in model.get_weights() if w.ndim == 2)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_initializer_sets_the_spread_of_every_kernel():
    keras.utils.set_random_seed(0)
    for initializer, variance in (("he_normal", lambda i, o: 2 / i), ("glorot_uniform", lambda i, o: 2 / (i + o))):
        model = mlp(MLPConfig(hidden=(300, 200), initializer=initializer), image_shape=(10, 10, 3), num_classes=100)
        for kernel in (w for w in model.get_weights() if w.ndim == 2):
            assert kernel.var() == pytest.approx(variance(*kernel.shape), rel=0.05)
        assert all((w == 0).all() for w in model.get_weights() if w.ndim == 1)


def test_mixed_precision_keeps_float32_weights_and_logits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = mlp(replace(TINY, normalization="batch"), image_shape=SHAPE, num_classes=3)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("hidden0").compute_dtype == "bfloat16"
    assert {w.dtype for w in model.weights} == {"float32"}
    assert keras.backend.standardize_dtype(model(images_of(2, *SHAPE)).dtype) == "float32"


def test_pixels_are_normalized_inside():
    inside, outside = (mlp(TINY, image_shape=SHAPE, normalize=mode) for mode in ("unit", None))
    outside.set_weights(inside.get_weights())
    images = images_of(2, *SHAPE)
    np.testing.assert_allclose(inside(images), outside(2 * images - 1), atol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(hidden=(12, 0)), r"positive numbers of units, not \(12, 0\)"),
        (dict(activation="relu7"), "no activation 'relu7'.*gelu_tanh"),
        (dict(normalization="weight"), "no normalization 'weight'.*group"),
        (dict(dropout=1.0), "dropout must be at least 0 and below 1, not 1.0"),
        (dict(input_dropout=-0.1), "input_dropout must be .* not -0.1"),
        (dict(l2=-1.0), "l2 must not be negative; it is -1.0"),
    ],
)
def test_config_out_of_range_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"fixed image_shape, not \(None, None, 1\)"):
        mlp(TINY, image_shape=(None, None, 1))
    with pytest.raises(ValueError, match="32 groups do not divide 12 channels"):
        mlp(replace(TINY, normalization="group"), image_shape=SHAPE)
    with pytest.raises(ValueError, match=r"instance normalization needs a shape \(B, H, W, C\)"):
        mlp(replace(TINY, normalization="instance"), image_shape=SHAPE)
