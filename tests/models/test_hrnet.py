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


def test_pose_network_has_the_parameters_of_the_authors_model():
    """28,535,552 up to the last convolution, which has 17 x 32 weights and 17 biases for COCO's key points."""
    model = outline(hrnet, "w32", image_shape=(256, 192, 3), keypoints=17)
    assert parameters(model) == by_hand(32) + 17 * 33
    assert by_hand(32) == 28_535_552
    assert {name: x.shape for name, x in model.output.items()} == {"heatmaps": (None, 64, 48, 17)}


def by_hand(channels):
    """Weights of convolutions k x k without biases, each with scale and shift of a normalization, term by term."""

    def conv(k, inside, outside):
        return k * k * inside * outside + 2 * outside

    def bottleneck(inside):
        return conv(1, inside, 64) + conv(3, 64, 64) + conv(1, 64, 256)

    widths = [channels * 2**i for i in range(4)]
    basic = [2 * conv(3, w, w) for w in widths]

    def to(place, count):
        """What the map at `place` gets from the other ones, of `count`."""
        coarser = sum(conv(1, widths[j], widths[place]) for j in range(place + 1, count))
        finer = sum(
            (place - j - 1) * conv(3, widths[j], widths[j]) + conv(3, widths[j], widths[place]) for j in range(place)
        )
        return coarser + finer

    stem = conv(3, 3, 64) + conv(3, 64, 64)
    first = bottleneck(64) + conv(1, 64, 256) + 3 * bottleneck(256)
    transitions = conv(3, 256, widths[0]) + conv(3, 256, widths[1])
    transitions += conv(3, widths[1], widths[2]) + conv(3, widths[2], widths[3])
    stages = sum(
        modules * (4 * sum(basic[:count]) + sum(to(i, count) for i in range(count)))
        for count, modules in ((2, 1), (3, 4), (4, 3))
    )
    unused = sum(to(i, 4) for i in (1, 2, 3))  # the last module gives the finest map only
    return stem + first + transitions + stages - unused


def test_every_map_tells_the_heat_maps_what_it_saw():
    keras.utils.set_random_seed(0)
    model = hrnet("nano", image_shape=(64, 96, 3), keypoints=3)
    settle(model)
    kernels = [model.get_layer(f"stage4_module0_map{i}_block0_conv1_conv").kernel.value for i in range(4)]
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        total = tf.reduce_sum(model(images_of(2, 64, 96, 3))["heatmaps"] ** 2)
    assert all(np.abs(g).max() > 1e-9 for g in tape.gradient(total, kernels))
    assert model(images_of(2, 64, 96, 3))["heatmaps"].shape == (2, 16, 24, 3)


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
    with pytest.raises(ValueError, match="keypoints is 0; give the number of key points"):
        hrnet("nano", keypoints=0)
