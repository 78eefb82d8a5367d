"""Outlines hold no values, and the multiply-adds of each kind of layer are counted as a run makes them."""

import keras
import numpy as np
import pytest
from keras import layers

from tfdl.core.outline import multiply_adds, outline, parameters


def network(*stack, shape):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


def test_a_trillion_parameters_take_no_memory():
    model = outline(lambda: network(layers.Dense(10**6), shape=(10**6,)))
    assert parameters(model) == 10**12 + 10**6
    assert multiply_adds(model) == 10**12


def test_nobody_gives_the_values_later():
    asked = []  # shape inference asks too, for placeholders

    def start(shape, dtype=None):
        asked.append(shape)
        return keras.ops.zeros(shape, dtype)

    def build(fails=False):
        model = network(layers.Dense(5, kernel_initializer=start), shape=(3,))
        return model / 0 if fails else model

    outline(build)
    with pytest.raises(TypeError):
        outline(build, fails=True)
    before = len(asked)
    with keras.StatelessScope():  # gives values to all variables that wait for them
        pass
    assert len(asked) == before
    build()
    assert len(asked) > before


def test_an_outline_counts_what_the_model_itself_counts():
    def build():
        stack = layers.Conv2D(4, 3), layers.BatchNormalization(), layers.GlobalAveragePooling2D(), layers.Dense(7)
        return network(*stack, shape=(6, 5, 2))

    sketched, real = outline(build), build()
    assert parameters(sketched) == parameters(real) == (9 * 2 + 1) * 4 + 2 * 4 + 5 * 7  # moving statistics do not learn
    assert multiply_adds(sketched) == multiply_adds(real) == 4 * 3 * 9 * 2 * 4 + 4 * 7


@pytest.mark.parametrize(
    "layer, shape, count",
    [
        (layers.Conv2D(4, (3, 5), strides=2, padding="same"), (7, 9, 6), 4 * 5 * 15 * 6 * 4),
        (layers.Conv2D(4, 3, groups=2), (7, 9, 6), 5 * 7 * 9 * 3 * 4),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (7, 9, 6), 5 * 7 * 9 * 6 * 2),
        (layers.SeparableConv2D(4, 3), (7, 9, 6), 5 * 7 * (9 * 6 + 6 * 4)),
        (layers.Conv2DTranspose(4, 3, strides=2), (7, 9, 6), 7 * 9 * 9 * 6 * 4),
        (layers.Dense(5), (7, 3), 7 * 3 * 5),
        (layers.TimeDistributed(layers.Dense(5)), (7, 3), 7 * 3 * 5),
        (layers.SimpleRNN(5), (7, 3), 7 * (3 + 5) * 5),
        (layers.LSTM(5, return_sequences=True), (7, 3), 7 * (3 + 5) * 4 * 5),
        (layers.Bidirectional(layers.GRU(5)), (7, 3), 2 * 7 * (3 + 5) * 3 * 5),
        (layers.Embedding(11, 3), (7,), 0),
        (layers.MaxPooling2D(2), (7, 9, 6), 0),
        (layers.LayerNormalization(), (7, 9, 6), 0),
    ],
    ids=lambda value: value.name if isinstance(value, layers.Layer) else None,
)
def test_each_kind_of_layer_has_its_count(layer, shape, count):
    assert multiply_adds(network(layer, shape=shape)) == count


def test_a_layer_counts_as_often_as_it_stands_in_the_graph_and_a_network_inside_as_a_whole():
    dense, inputs = layers.Dense(6), keras.Input((6,))
    inside = network(layers.Dense(3), layers.Dense(2), shape=(6,))
    model = keras.Model(inputs, inside(dense(dense(inputs))))
    other = keras.Input((6,))
    keras.Model(other, dense(other))  # uses the layer again, in a graph of its own
    assert multiply_adds(model) == 2 * 36 + 18 + 6
    assert multiply_adds(keras.Model(inputs, keras.Sequential([layers.Dense(4), layers.Dense(3)])(inputs))) == 24 + 12


def test_a_layer_may_say_itself_what_it_multiplies():
    class Squares(layers.Dense):
        def multiply_adds(self, shape):
            return shape[-1] ** 2

    assert multiply_adds(network(Squares(3), shape=(5,))) == 25


def test_what_cannot_be_counted_is_one_sentence():
    with pytest.raises(ValueError, match=r"need fixed sizes, but 'wide' maps .* to \(None, None, None, 4\)"):
        multiply_adds(network(layers.Conv2D(4, 3, name="wide"), shape=(None, None, 3)))
    with pytest.raises(ValueError, match="cannot count 'product', which contains an EinsumDense"):
        multiply_adds(network(layers.EinsumDense("abc,cd->abd", (5, 4), name="product"), shape=(5, 3)))

    class Own(keras.Model):
        def call(self, x):
            return x

    own = Own(name="own")
    own(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="graph of a functional model, which 'own' is not"):
        multiply_adds(own)
