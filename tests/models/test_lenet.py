"""LeNet-5: the counts of the paper, layer by layer, Table I, and the contract's corners."""

import keras
import numpy as np
import pytest

from tests.harness import images_of, outline
from tfdl.core.outline import multiply_adds, parameters
from tfdl.models.convnets.lenet import TABLE, LeNetConfig, lenet

PAPER = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164, "logits": 0}  # section II.B


def tiny(variant="nano", seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return lenet(variant, **{"image_shape": (21, 26, 1), "num_classes": 5, **kwargs})


def test_all_maps_connected_make_61706_parameters():
    assert lenet("lenet5").count_params() == parameters(lenet("lenet5")) == 61_706


def test_original_has_60000_parameters_shared_out_as_in_the_paper():
    model = lenet("original")
    assert {name: parameters(model.get_layer(name)) for name in PAPER} == PAPER
    assert parameters(model) == 60_000
    assert model.count_params() == 60_000 + 10 * 84  # the codes, which do not learn


def test_original_multiplies_as_often_as_the_paper_counts_connections():
    biases = {"c1": 6 * 28 * 28, "c3": 16 * 10 * 10, "c5": 120, "f6": 84}  # the paper counts them with the others
    connections = {"c1": 122_304, "c3": 151_600, "c5": 48_120, "f6": 10_164}  # section II.B; pooling is only a sum
    model = outline(lenet, "original")
    assert multiply_adds(model) == sum(connections[name] - biases[name] for name in connections) + 10 * 84


def test_table_1_is_the_paper_s():
    rows = ["X...XXX..XXXX.XX", "XX...XXX..XXXX.X", "XXX...XXX..X.XXX", ".XXX..XXXX..X.XX", "..XXX..XXXX.XX.X"]
    rows.append("...XXX..XXXX.XXX")  # the sixth map of S2
    for channel, row in enumerate(rows):
        assert "".join("X" if channel in seen else "." for seen in TABLE) == row


def test_shapes_are_those_of_figure_2():
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in lenet("original").layers}
    figure = {"c1": (28, 28, 6), "s2": (14, 14, 6), "c3": (10, 10, 16), "s4": (5, 5, 16), "c5": (120,), "f6": (84,)}
    assert figure.items() <= shapes.items()


@pytest.mark.parametrize("variant", ["lenet5", "original"])
def test_without_classes_it_gives_the_last_map_at_each_stride(variant):
    maps = lenet(variant, image_shape=(33, 28, 3), num_classes=None).output
    shapes = {name: tuple(m.shape[1:]) for name, m in maps.items()}
    assert shapes == {"stride1": (29, 24, 6), "stride2": (10, 8, 16), "stride4": (5, 4, 16)}


@pytest.mark.parametrize("variant", ["nano", "original"])
@pytest.mark.parametrize("shape", [(16, 16, 1), (28, 28, 1), (33, 19, 3)])
def test_any_image_from_16_pixels_gives_finite_logits(variant, shape):
    logits = tiny(variant, image_shape=shape)(images_of(2, *shape))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_original_is_saved_and_loaded(tmp_path):
    model = tiny("original")
    model.save(tmp_path / "model.keras")
    images = images_of(2, 21, 26, 1)
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(images), model(images))
    np.testing.assert_array_equal(loaded.get_layer("logits").codes, model.get_layer("logits").codes)


def test_original_learns_to_tell_five_images_apart():
    model, images = tiny("original", image_shape=(32, 32, 1)), images_of(5, 32, 32, 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"], jit_compile=False)
    codes = np.array(model.get_layer("logits").codes)
    history = model.fit(images, np.arange(5), epochs=15, batch_size=5, verbose=0).history
    assert history["accuracy"][-1] == 1.0, history
    np.testing.assert_array_equal(model.get_layer("logits").codes, codes)


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"at least 16 pixels a side, not \(15, 20, 1\)"):
        tiny(image_shape=(15, 20, 1))
    with pytest.raises(ValueError, match=r"fixed image_shape .*not \(None, 20, 1\)"):
        tiny(image_shape=(None, 20, 1))
    with pytest.raises(ValueError, match=r"needs channels=\(6, 16\).*, not \(4, 8\)"):
        LeNetConfig(channels=(4, 8), original=True)
