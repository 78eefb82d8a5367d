"""Every model of the catalog keeps the contract of its kind."""

import functools
import importlib

import pytest

import tfdl
from tests.harness import check_classifier

CLASSIFIERS = [t.key for t in tfdl.topics(built=True) if t.is_model and ".convnets." in t.module]


def test_the_catalog_has_classifiers():
    assert "mobilenet" in CLASSIFIERS


@pytest.mark.parametrize("key", CLASSIFIERS)
def test_classifier_keeps_the_contract(key, tmp_path):
    check_classifier(functools.partial(tfdl.build, key, "nano"), image_shape=(34, 45, 3), tmp_path=tmp_path)


@pytest.mark.parametrize("key", [t.key for t in tfdl.topics(built=True) if t.is_model])
def test_smallest_variant_comes_first_and_is_called_nano(key):
    module = importlib.import_module(next(t.module for t in tfdl.topics() if t.key == key))
    assert next(iter(module.VARIANTS)) == "nano"
