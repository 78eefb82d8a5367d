import keras
import numpy as np
import pytest

from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, operators, run_tflite
from tfdl.layers.channel_shuffle import ChannelShuffle


def values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("groups, channels", [(2, 6), (3, 12), (1, 5), (5, 5)])
def test_channels_are_those_of_a_transposed_table(groups, channels):
    x = values(2, 3, 4, channels)
    order = np.arange(channels).reshape(groups, -1).T.ravel()
    np.testing.assert_array_equal(ChannelShuffle(groups)(x), x[..., order])


def test_first_channels_of_all_groups_come_first():
    x = np.arange(6, dtype="float32").reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(np.ravel(ChannelShuffle(3)(x)), [0, 2, 4, 1, 3, 5])


def test_shuffle_by_the_other_factor_is_the_inverse():
    x = values(2, 5, 3, 12)
    np.testing.assert_array_equal(ChannelShuffle(4)(ChannelShuffle(3)(x)), x)


def test_every_group_reads_from_every_group():
    channels, groups = 12, 3
    x = np.repeat(np.arange(groups), channels // groups).astype("float32")  # each channel holds its group's number
    y = np.array(ChannelShuffle(groups)(x.reshape(1, 1, 1, -1))).reshape(groups, -1)
    assert all(set(row) == {0, 1, 2} for row in y)


@pytest.mark.parametrize("shape", [(3, 5, 8), (None, None, 8)])
def test_size_may_be_free(shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, ChannelShuffle(2)(inputs))
    x = values(2, 3, 5, 8)
    assert model.output_shape == (None, *shape)
    np.testing.assert_array_equal(model(x), ChannelShuffle(2)(x))


def test_save_and_load_changes_nothing(tmp_path):
    inputs = keras.Input((3, 5, 8))
    model = keras.Model(inputs, ChannelShuffle(4)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(values(2, 3, 5, 8)), model(values(2, 3, 5, 8)))


@pytest.mark.parametrize("groups", [4, 0, -2])
def test_groups_that_do_not_divide_are_refused(groups):
    with pytest.raises(ValueError, match=f"{groups} groups do not divide 6 channels"):
        ChannelShuffle(groups)(values(1, 2, 2, 6))


def test_phones_get_two_reshapes_and_a_transpose():
    inputs = keras.Input((3, 5, 8), name="images")
    model = keras.Model(inputs, ChannelShuffle(2, name="shuffled")(inputs))
    content = convert_float(graph(model, signature_of(model)))
    assert operators(content) == {"RESHAPE": 2, "TRANSPOSE": 1}
    x = values(2, 3, 5, 8)
    np.testing.assert_array_equal(run_tflite(content, {"images": x})["shuffled"], model(x))
