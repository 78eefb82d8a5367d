"""Every model of the catalog keeps the contract of its kind."""

import dataclasses
import functools
import importlib

import keras
import pytest

import tfdl
from tests.harness import (
    CLASSIFIERS,
    MODELS,
    READERS,
    check_classifier,
    check_features,
    check_strides_removed,
    check_token_model,
)

FLAT = {key for key in CLASSIFIERS if ".foundation." in MODELS[key]}  # they have no feature pyramid
IMAGE_SHAPES = {"vit": (32, 48, 3)}  # its patches must tile the image
UNPADDED = {"alexnet", "lenet"}
# Trained for a few steps, one of each kind: dense, recurrent, batch normalization and dropped branches, attention.
TRAINED = {
    "mlp": {"rate": 1e-3, "steps": 40},
    "recurrent_topology": {"rate": 1e-3, "steps": 40},
    "efficientnet": {},
    "vit": {"rate": 1e-3, "steps": 40},
}


def variants(key):
    return importlib.import_module(MODELS[key]).VARIANTS


def test_the_catalog_has_classifiers():
    assert set(TRAINED) <= set(CLASSIFIERS)
    assert "mlp" in FLAT and "mobilenet" not in FLAT


@pytest.mark.parametrize("key", CLASSIFIERS)
def test_classifier_keeps_the_contract(key, tmp_path):
    build = functools.partial(tfdl.build, key, "nano")
    image_shape = IMAGE_SHAPES.get(key, (34, 45, 3))
    model = check_classifier(build, image_shape=image_shape, tmp_path=tmp_path, pace=TRAINED.get(key))
    assert model.name == key
    check_features(build, image_shape=image_shape, pyramid=key not in FLAT, padded=key not in UNPADDED)


@pytest.mark.parametrize("key", READERS)
def test_reader_of_tokens_keeps_the_contract(key, tmp_path):
    assert check_token_model(functools.partial(tfdl.build, key, "nano"), tmp_path=tmp_path).name == key


@pytest.mark.parametrize("key", MODELS)
def test_smallest_variant_comes_first_and_is_called_nano(key):
    assert next(iter(variants(key))) == "nano"


@pytest.mark.parametrize("key", MODELS)
def test_unknown_variant_is_answered_with_all_that_there_are(key):
    names = ", ".join(variants(key))
    with pytest.raises(ValueError, match=f"{key} has no variant 'giant'; it has {names}.*dataclasses.replace"):
        tfdl.build(key, "giant")


@pytest.mark.parametrize("key", MODELS)
def test_every_config_is_stored_and_read_back(key):
    for config in variants(key).values():
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(config)) == config


@pytest.mark.parametrize("key", MODELS)
def test_canonical_images_and_classes_belong_to_variants(key):
    canonical = getattr(importlib.import_module(MODELS[key]), "CANONICAL", {})
    assert canonical.keys() <= variants(key).keys()
    assert all(name in canonical for name in variants(key) if name.endswith("small_images"))


@pytest.mark.parametrize("key", [key for key in CLASSIFIERS if hasattr(variants(key)["nano"], "strides_removed")])
def test_removed_strides_keep_small_images_large_and_cost_no_parameter(key):
    config = variants(key)["nano"]
    check_strides_removed(functools.partial(tfdl.build, key), config)
    there = config.strides().count(2)
    with pytest.raises(ValueError, match=f"strides_removed must be from 0 to {there}, not {there + 1}"):
        dataclasses.replace(config, strides_removed=there + 1)
