"""Every model of the catalog keeps the contract of its kind."""

import functools
import importlib
import re

import pytest

import tfdl
from tests.harness import check_classifier, check_features

CLASSIFIERS = {  # key -> does it give a feature pyramid?
    topic.key: ".foundation." not in topic.module
    for topic in tfdl.topics(built=True)
    if topic.is_model and re.search(r"\.(convnets|foundation|vision_transformers)\.", topic.module)
}


IMAGE_SHAPES = {"vit": (32, 48, 3)}  # its patches must tile the image
UNPADDED = {"alexnet", "lenet"}
SLOW_STARTERS = {"swin", "vit"}  # transformers want a smaller rate, as dense layers do


def test_the_catalog_has_classifiers():
    assert {"mobilenet": True, "mlp": False}.items() <= CLASSIFIERS.items()


@pytest.mark.parametrize("key", CLASSIFIERS)
def test_classifier_keeps_the_contract(key, tmp_path):
    build = functools.partial(tfdl.build, key, "nano")
    pace = {} if key not in SLOW_STARTERS and CLASSIFIERS[key] else {"rate": 1e-3, "steps": 40}
    image_shape = IMAGE_SHAPES.get(key, (34, 45, 3))
    check_classifier(build, image_shape=image_shape, tmp_path=tmp_path, **pace)
    check_features(build, image_shape=image_shape, pyramid=CLASSIFIERS[key], padded=key not in UNPADDED)


@pytest.mark.parametrize("key", [t.key for t in tfdl.topics(built=True) if t.is_model])
def test_smallest_variant_comes_first_and_is_called_nano(key):
    module = importlib.import_module(next(t.module for t in tfdl.topics() if t.key == key))
    assert next(iter(module.VARIANTS)) == "nano"
