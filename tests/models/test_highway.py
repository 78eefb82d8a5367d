from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import check_gradients_reach_every_weight, check_loss_falls, check_save_and_load, images_of
from tfdl.models.foundation.highway import KINDS, VARIANTS, HighwayConfig, gate_activity, highway

SHAPE = (5, 4, 3)


def tiny(kind="highway", depth=4, **more):
    return highway(HighwayConfig(kind=kind, depth=depth, width=12), **{"image_shape": SHAPE, "num_classes": 3} | more)


@pytest.mark.parametrize(
    "variant, each", [("plain_50", 71 * 72), ("residual_50", 71 * 72), ("highway_50", 2 * 50 * 51)]
)
def test_parameters_per_layer_are_the_papers(variant, each):
    c = VARIANTS[variant]
    two, five = (highway(replace(c, depth=depth)).count_params() for depth in (2, 5))
    assert c.depth == 50 and five - two == 3 * each
    assert two == 785 * c.width + each + (c.width + 1) * 10
    assert each == pytest.approx(5100, rel=0.01)  # section 3: about the same for both kinds


@pytest.mark.parametrize("kind", KINDS)
def test_contract_holds_for_every_kind(kind, tmp_path):
    keras.utils.set_random_seed(0)
    model = tiny(kind)
    assert [t.name for t in model.inputs] == ["images"] and model.output_shape == (None, 3)
    check_save_and_load(model, SHAPE, tmp_path)
    check_gradients_reach_every_weight(model, SHAPE)


def test_it_learns():
    keras.utils.set_random_seed(0)
    wide = HighwayConfig(kind="highway", depth=2, width=48)
    check_loss_falls(highway(wide, image_shape=(12, 9, 3), num_classes=3), (12, 9, 3))


def test_fresh_residual_network_is_its_first_layer():
    model = tiny("residual", depth=9, num_classes=None)
    first = keras.Model(model.input, model.get_layer("layer0").output)
    images = images_of(3, *SHAPE)
    np.testing.assert_allclose(model(images), first(images), atol=1e-6)


def test_first_layer_of_a_deep_highway_gets_a_gradient_where_plain_sigmoids_get_none():
    norms = {}
    for kind in ("plain", "highway"):
        keras.utils.set_random_seed(0)
        config = HighwayConfig(kind=kind, depth=20, width=12, activation="sigmoid", transform_bias=-4.0)
        model = highway(config, image_shape=SHAPE, num_classes=3)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(images_of(6, *SHAPE)) ** 2)
        first = model.get_layer("layer0").kernel.value
        norms[kind] = float(tf.norm(tape.gradient(loss, first)))
    assert norms["plain"] < 1e-9
    assert norms["highway"] > 1e-3


def test_gate_activity_is_what_each_gate_says():
    model, images = tiny(), images_of(5, *SHAPE)
    activity = gate_activity(model, images)
    assert activity.shape == (5, 3, 12)  # the first of the four layers has no gate
    second = model.get_layer("layer2")
    t = second.gate(keras.Model(model.input, model.get_layer("layer1").output)(images))
    np.testing.assert_allclose(activity[:, 1], t, atol=1e-6)


def test_transform_bias_of_the_config_opens_and_closes_the_gates():
    images = images_of(5, *SHAPE)
    for bias, low, high in ((-6.0, 0.0, 0.05), (6.0, 0.95, 1.0)):
        config = replace(VARIANTS["nano"], transform_bias=bias)
        mean = gate_activity(highway(config, image_shape=SHAPE), images).mean()
        assert low < mean < high


def test_without_classes_it_gives_the_last_hidden_units():
    assert tiny(num_classes=None).output_shape == (None, 12)


def test_mixed_precision_keeps_float32_weights_and_logits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("layer1").gate.compute_dtype == "bfloat16"
    assert {w.dtype for w in model.weights} == {"float32"}
    assert keras.backend.standardize_dtype(model(images_of(2, *SHAPE)).dtype) == "float32"


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="no kind 'dense'.*plain, residual, highway"):
        replace(VARIANTS["nano"], kind="dense")
    with pytest.raises(ValueError, match="no activation 'relu7'"):
        replace(VARIANTS["nano"], activation="relu7")
    with pytest.raises(ValueError, match="at least 1; they are 0 and 12"):
        replace(VARIANTS["nano"], depth=0)
    with pytest.raises(ValueError, match=r"fixed image_shape, not \(None, 4, 3\)"):
        tiny(image_shape=(None, 4, 3))
    with pytest.raises(ValueError, match="'highway' has no highway layer"):
        gate_activity(tiny("plain"), images_of(2, *SHAPE))
