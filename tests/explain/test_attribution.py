"""The method fits the network, and masking its peak changes the prediction more often than masking other places."""

import keras
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
    maps = {name: m.shape for name, m in inner_maps(trained("convnet"), images[0]).items()}
    assert maps == {"full resolution": (28, 28, 8), "1/2 resolution": (14, 14, 16)}
    heads = {name: m.shape for name, m in inner_maps(trained("vit"), images[0]).items()}
    assert heads == {"attention of block 1": (7, 7, 3), "attention of block 2": (7, 7, 3)}


@pytest.mark.parametrize("strides, names", [
    ([(1, 1), (2, 1)], ["full resolution", "1/2 x 1/1 resolution"]),
    ([(3, 3), (1, 1)], ["1/3 resolution", "1/3 resolution (9 x 9)"]),
])  # fmt: skip
def test_resolutions_are_named_by_their_part_of_the_image(strides, names):
    inputs = x = keras.Input((28, 28, 1))
    for size, padding in zip(strides, ("same", "same") if strides[0] == (1, 1) else ("same", "valid")):
        x = keras.layers.Conv2D(2, 2, strides=size, padding=padding)(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert list(inner_maps(model, np.zeros((28, 28, 1), "float32"))) == names


def test_explanations_come_with_their_check():
    images, classes, _ = planted(2, 1)
    maps = explanations(trained("convnet"), images, classes)
    assert {name: m.shape for name, m in maps.items()} == {"Grad-CAM": (2, 14, 14), "occlusion": (2, 28, 28)}


def test_cases_are_the_likeliest_classes_of_one_image_and_one_of_each_other():
    images, classes, _ = planted(4, 1)
    names = ["red", "green", "blue"]
    shown, numbers, titles = cases(trained("convnet"), images[0], images[1:], names, likeliest=2, least=0.0)
    np.testing.assert_array_equal(shown, images[[0, 0, 1, 2, 3]])
    np.testing.assert_array_equal(numbers[[0, 2, 3, 4]], classes)
    assert numbers[1] != classes[0]
    assert [title.split()[0] for title in titles] == [names[number] for number in numbers]
    percent = [int(title.split()[1].rstrip("%")) for title in titles]
    assert percent[0] > 50 > percent[1]


def test_classes_that_the_model_rules_out_are_not_explained():
    images, _, _ = planted(2, 1)
    model = two_classes(0.97)
    for least, rows in ((0.02, 3), (0.04, 2), (0.99, 2)):
        _, numbers, titles = cases(model, images[0], images[1:], ["a", "b"], least=least)
        assert len(numbers) == rows
        assert titles[0] == "a 97%", "the likeliest class is always explained"


def test_true_class_stands_below_where_it_is_known():
    images, _, _ = planted(3, 1)
    _, _, titles = cases(two_classes(0.97), images[0], images[1:], ["a", "b"], truth=[-1, 0, 1], likeliest=1)
    assert titles == ["a 97%", "a 97%\ntrue class: a", "a 97%\ntrue class: b"]
    with pytest.raises(ValueError, match="each of the 3 images"):
        cases(two_classes(0.97), images[0], images[1:], ["a", "b"], truth=[0, 1])


def two_classes(probability):
    """A model that gives the first class this probability, whatever it sees."""
    inputs = keras.Input((SIZE, SIZE, 3))
    dense = keras.layers.Dense(2, kernel_initializer="zeros")
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(inputs)))
    dense.bias.assign(np.log([probability, 1 - probability]))
    return model


def test_data_with_other_classes_is_refused():
    images, _, _ = planted(2, 1)
    with pytest.raises(ValueError, match="3 classes, but the data has 2"):
        cases(trained("convnet"), images[0], images[1:], ["cat", "dog"])


def test_peak_matters_more_than_any_place():
    images, classes, _ = planted(64, 1)
    numbers = hiding_test(trained("convnet"), images, classes, seed=0, side=10)
    assert numbers["accuracy"] > 0.95
    assert numbers["changed_at_peak"] > 0.4 > 0.2 > numbers["changed_at_random"]


@pytest.mark.parametrize("place, changed", [((SIZE - 1) / 2, 1.0), ((SIZE - 1) / 4, 0.0), ((SIZE - 1) * 3 / 4, 0.0)])
def test_middle_is_the_middle_of_the_image(place, changed, monkeypatch):
    """The class depends on a square of 4 pixels; a mask of 6 pixels covers it only if it is where the square is."""
    monkeypatch.setattr("tfdl.explain.attribution.attribution", lambda *_, **__: ("none", np.zeros((6, 7, 7))))
    start = round(place - 1.5)
    images = np.zeros((6, SIZE, SIZE, 3), "float32")
    images[:, start : start + 4, start : start + 4] = 1.0
    inputs = keras.Input((SIZE, SIZE, 3))
    brightest = keras.layers.GlobalMaxPooling2D()(inputs)
    dense = keras.layers.Dense(2, use_bias=True)
    model = keras.Model(inputs, dense(brightest))
    dense.set_weights([np.full((3, 2), [0.0, 1.0]), np.array([1.5, 0.0])])  # class 1 where something is bright
    numbers = hiding_test(model, images, np.ones(6), seed=0, side=6)
    assert numbers["accuracy"] == 1
    assert numbers["changed_at_center"] == changed


def test_random_places_come_from_the_seed_and_spread_over_the_image():
    images, classes, _ = planted(8, 1)
    first, again = (hiding_test(trained("convnet"), images, classes, seed=3) for _ in range(2))
    assert first == again
    everything = hiding_test(trained("convnet"), images, classes, seed=3, side=2 * SIZE)
    assert everything["changed_at_peak"] == everything["changed_at_random"], "one color: nothing is left to see"


def test_layer_of_a_vit_is_refused():
    images, classes, _ = planted(1, 1)
    with pytest.raises(ValueError, match="do not name 'block0_attention'"):
        attribution(trained("vit"), images, classes, layer="block0_attention")
