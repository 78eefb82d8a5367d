from dataclasses import replace

import numpy as np
import pytest

from tests.harness import images_of
from tfdl.models.foundation.convolutional_topology import VARIANTS as CONVOLUTIONAL
from tfdl.models.foundation.convolutional_topology import convolutional_topology
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.models.foundation.recurrent_topology import VARIANTS as RECURRENT
from tfdl.models.foundation.recurrent_topology import recurrent_topology

SHAPE = (9, 6, 2)
BUILDERS = {"convolutional_topology": convolutional_topology, "recurrent_topology": recurrent_topology}


def test_the_three_topologies_side_by_side_have_as_many_parameters():
    counts = [m.count_params() for m in (mlp(MLPConfig(hidden=(32,))), convolutional_topology(), recurrent_topology())]
    assert counts == [25_450, 25_570, 25_390]


def test_convolution_moves_with_the_image_and_full_connection_does_not():
    image = np.zeros((1, 16, 16, 1), "float32")
    image[0, 4:8, 4:8] = images_of(1, 4, 4, 1)[0]
    moved = np.roll(image, (4, 4), axis=(1, 2))
    model = convolutional_topology("nano", image_shape=(16, 16, 1), num_classes=None)
    before, after = (np.array(model(x)).reshape(4, 4, 8) for x in (image, moved))
    assert before.any()
    np.testing.assert_allclose(np.roll(before, (1, 1), axis=(0, 1)), after, atol=1e-6)
    features = mlp("nano", image_shape=(16, 16, 1), num_classes=None)
    assert np.abs(features(image) - features(moved)).max() > 1e-3


def test_recurrent_topology_is_elmans_recurrence_over_the_rows():
    model = recurrent_topology("nano", image_shape=SHAPE, num_classes=None)
    w, b, r = model.get_weights()
    images, state = images_of(3, *SHAPE), np.zeros((3, 20))
    for row in range(SHAPE[0]):
        state = np.tanh(images[:, row].reshape(3, -1) @ w + state @ r + b)
    np.testing.assert_allclose(model(images), state, atol=1e-5)


def test_weights_of_the_recurrent_topology_do_not_grow_with_the_number_of_rows():
    counts = [recurrent_topology("nano", image_shape=(rows, 6, 2)).count_params() for rows in (3, 11)]
    assert counts[0] == counts[1]


def test_without_classes_they_give_their_last_features():
    assert convolutional_topology("nano", image_shape=SHAPE, num_classes=None).output_shape == (None, 3 * 2 * 8)
    assert recurrent_topology("nano", image_shape=SHAPE, num_classes=None).output_shape == (None, 20)


@pytest.mark.parametrize("name", BUILDERS)
def test_arguments_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=r"fixed image_shape, not \(None, 8, 1\)"):
        BUILDERS[name]("nano", image_shape=(None, 8, 1))


def test_configs_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"filters and kernel must be positive; they are \(6, 0\) and 3"):
        replace(CONVOLUTIONAL["nano"], filters=(6, 0))
    with pytest.raises(ValueError, match=r"they are \(\) and 3"):
        replace(CONVOLUTIONAL["nano"], filters=())
    with pytest.raises(ValueError, match="no activation 'relu7'"):
        replace(CONVOLUTIONAL["nano"], activation="relu7")
    with pytest.raises(ValueError, match="units must be positive, not 0"):
        replace(RECURRENT["nano"], units=0)
    with pytest.raises(ValueError, match="no recurrent cell 'relu7'"):
        replace(RECURRENT["nano"], cell="relu7")
