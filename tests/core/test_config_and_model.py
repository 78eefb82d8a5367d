"""A config survives a saved model, at every depth."""

import dataclasses

import keras
import numpy as np
import pytest

from tfdl.core.config import choose_variant, config
from tfdl.core.model import ConfiguredModel
from tfdl.core.serial import serializable


@config
class Inner:
    rates: tuple[float, ...] = (0.1, 0.2)


@config
class Outer:
    width: int
    table: tuple[tuple, ...] = ((1, None, "a"), (2, 3.5, "b"))
    inner: Inner = Inner()
    name: str | None = None


@serializable
class Net(ConfiguredModel):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.dense = keras.layers.Dense(config.width)

    def call(self, x):
        return self.dense(x)


def test_config_is_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Outer(width=3).width = 4
    with pytest.raises(TypeError):
        Outer(3)


def test_config_comes_back_equal_from_json():
    original = Outer(width=5, inner=Inner(rates=(0.5,)), table=((1, (2, (3,))),))
    assert Outer.from_config(original.get_config()) == original


def test_config_names_an_unknown_field():
    with pytest.raises(ValueError, match="Outer has no field depth; it has"):
        Outer.from_config({"width": 1, "depth": 2})


def test_configured_model_is_saved_as_its_config(tmp_path):
    model = Net(Outer(width=4, name="x"))
    x = np.ones((2, 3), "float32")
    expected = model(x)
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras", safe_mode=True)
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded(x), expected)


def test_variant_is_a_name_or_a_config():
    variants = {"nano": Inner(rates=(1.0,)), "base": Inner()}
    assert choose_variant("base", variants, model="net") == Inner()
    assert choose_variant(Inner(rates=()), variants, model="net") == Inner(rates=())
    with pytest.raises(ValueError, match="net has no variant 'bse'; it has nano, base"):
        choose_variant("bse", variants, model="net")
