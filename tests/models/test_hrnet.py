"""HRNet: counts as published, four maps that all reach each other, and the common contract of classifiers."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import check_classifier, images_of, outline, settle
from tfdl.core.outline import parameters
from tfdl.models.pose.hrnet import HRNetConfig, hrnet

COUNTS = {"w18": 21_299_004, "w32": 41_232_680}


@pytest.mark.parametrize("variant", COUNTS)
def test_counts_are_the_published_ones(variant):
    assert parameters(outline(hrnet, variant)) == COUNTS[variant]


def test_without_classes_there_are_four_maps():
    maps = outline(hrnet, "w18", image_shape=(75, 98, 3), num_classes=None).output
    assert {name: x.shape[1:] for name, x in maps.items()} == {
        f"stride{s}": (-(-75 // s), -(-98 // s), 18 * s // 4) for s in (4, 8, 16, 32)
    }


def test_every_map_knows_what_every_other_saw():
    """Gradients of each of the last maps reach the convolutions of all maps in the module before."""
    keras.utils.set_random_seed(0)
    model = hrnet("nano", image_shape=(64, 96, 3), num_classes=None)
    settle(model)
    kernels = [model.get_layer(f"stage4_module0_map{i}_block0_conv1_conv").kernel.value for i in range(4)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(kernels)
        totals = [tf.reduce_sum(x**2) for x in model(images_of(2, 64, 96, 3)).values()]
    for total in totals:
        assert all(np.abs(g).max() > 1e-7 for g in tape.gradient(total, kernels))


def test_contract_of_classifiers(tmp_path):
    check_classifier(functools.partial(hrnet, "nano"), image_shape=(34, 45, 3), tmp_path=tmp_path)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"3 stages of modules and 4 heads, not \(1, 2\)"):
        HRNetConfig(channels=4, modules=(1, 2))
    with pytest.raises(ValueError, match="sizes of at least 1"):
        HRNetConfig(channels=0)
