"""The pyramid's maps keep their sizes, and coarse maps reach fine ones but not the reverse."""

import keras
import numpy as np
import pytest

from tfdl.layers.feature_pyramid import feature_pyramid

SIZES = ((9, 14, 6), (5, 7, 8), (3, 4, 10))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    maps = [keras.Input(size) for size in SIZES]
    return keras.Model(maps, feature_pyramid(maps, 5))


def test_sizes_stay_and_channels_are_equal(model):
    assert [x.shape[1:] for x in model.outputs] == [(9, 14, 5), (5, 7, 5), (3, 4, 5)]
    assert model.count_params() == sum(5 * c + 5 + 9 * 25 + 5 for *_, c in SIZES)


def test_information_flows_from_coarse_to_fine(model):
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(1, *size)).astype("float32") for size in SIZES]
    before = [np.array(x) for x in model(maps)]
    for changed in range(3):
        other = [x + (i == changed) for i, x in enumerate(maps)]
        differs = [np.abs(np.array(x) - old).max() > 1e-4 for x, old in zip(model(other), before)]
        assert differs == [i <= changed for i in range(3)]


def test_each_coarse_point_covers_four_fine_ones(model):
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(1, *size)).astype("float32") for size in SIZES]
    values = {layer.name: layer.output for layer in model.layers}
    fine, coarse, joined = keras.Model(
        model.inputs, [values[f"pyramid_{name}"] for name in ("thin1", "thin2", "add1")]
    )(maps)
    fine, coarse, joined = map(np.array, (fine, coarse, joined))
    repeated = coarse.repeat(2, axis=1).repeat(2, axis=2)[:, :5, :7]
    np.testing.assert_allclose(joined, fine + repeated, atol=1e-6)
