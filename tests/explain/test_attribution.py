"""The method fits the network, and hiding what it points at changes the class more often than hiding anything else."""

import numpy as np
import pytest

from tests.explain.planted import SIZE, planted, trained
from tfdl.explain.attribution import attribution, cases, explanations, hiding_test, inner_maps
from tfdl.explain.grad_cam import grad_cam
from tfdl.explain.rollout import attention_rollout


def test_convnet_gets_grad_cam_and_vit_gets_rollout():
    images, classes, _ = planted(3, 1)
    name, maps = attribution(trained("convnet"), images, classes)
    assert name == "Grad-CAM"
    np.testing.assert_array_equal(maps, grad_cam(trained("convnet"), images, classes))
    name, maps = attribution(trained("vit"), images, classes)
    assert name == "attention rollout"
    np.testing.assert_array_equal(maps, attention_rollout(trained("vit"), images))


def test_inside_are_feature_maps_or_what_each_head_looks_at():
    images, _, _ = planted(1, 1)
    assert [m.shape for m in inner_maps(trained("convnet"), images[0]).values()] == [(28, 28, 8), (14, 14, 16)]
    assert [m.shape for m in inner_maps(trained("vit"), images[0]).values()] == [(7, 7, 3), (7, 7, 3)]


def test_explanations_come_with_their_check():
    images, classes, _ = planted(2, 1)
    maps = explanations(trained("convnet"), images, classes)
    assert {name: m.shape for name, m in maps.items()} == {"Grad-CAM": (2, 14, 14), "occlusion": (2, 28, 28)}


def test_cases_are_the_likeliest_classes_of_one_image_and_one_of_each_other():
    images, classes, _ = planted(4, 1)
    names = ["red", "green", "blue"]
    shown, numbers, titles = cases(trained("convnet"), images[0], images[1:], names, likeliest=2)
    np.testing.assert_array_equal(shown, images[[0, 0, 1, 2, 3]])
    np.testing.assert_array_equal(numbers[[0, 2, 3, 4]], classes)
    assert numbers[1] != classes[0]
    assert [title.split()[0] for title in titles] == [names[number] for number in numbers]
    shares = [int(title.split()[1].rstrip("%")) for title in titles]
    assert shares[0] > 50 > shares[1]


def test_data_with_other_classes_is_refused():
    images, _, _ = planted(2, 1)
    with pytest.raises(ValueError, match="3 classes apart, but the data has 2"):
        cases(trained("convnet"), images[0], images[1:], ["cat", "dog"])


def test_peak_matters_more_than_any_place():
    images, classes, _ = planted(64, 1)
    numbers = hiding_test(trained("convnet"), images, classes, seed=0, side=10)
    assert numbers["accuracy"] > 0.95
    assert numbers["changed_at_peak"] > 0.4 > 0.2 > numbers["changed_at_random"]


def test_random_places_come_from_the_seed_and_spread_over_the_image():
    images, classes, _ = planted(8, 1)
    first, again = (hiding_test(trained("convnet"), images, classes, seed=3) for _ in range(2))
    assert first == again
    everything = hiding_test(trained("convnet"), images, classes, seed=3, side=2 * SIZE)
    assert everything["changed_at_peak"] == everything["changed_at_random"], "one color: nothing is left to see"


def test_layer_of_a_vit_is_refused():
    images, classes, _ = planted(1, 1)
    with pytest.raises(ValueError, match="leave out 'block0_attention'"):
        attribution(trained("vit"), images, classes, layer="block0_attention")
