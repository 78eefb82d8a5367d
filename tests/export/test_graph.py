import gc
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import colored
from tfdl.export import graph as module
from tfdl.export.graph import graph
from tfdl.export.quantize import convert_int8
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, converter, run_tflite

IMAGES = colored(8, 16, 12, 3)
CONVERSIONS = {
    "float32": lambda source, signature: convert_float(source),
    "float16": lambda source, signature: convert_float(source, half=True),
    "int8": lambda source, signature: convert_int8(source, signature, {"images": IMAGES}),
    "uint8": lambda source, signature: convert_int8(source, signature, {"images": IMAGES}, pixels=True),
}


@pytest.fixture(scope="module")
def model(tiny):
    return tiny()


@pytest.fixture(scope="module")
def both(model):
    """(signature, the graph of a small network, the same taken for a large one)."""
    signature = signature_of(model)
    with pytest.MonkeyPatch.context() as patch:
        small = graph(model, signature)
        patch.setattr(module, "LARGE", 0)
        return signature, small, graph(model, signature)


@pytest.mark.parametrize("form", CONVERSIONS)
def test_large_networks_become_the_same_files_as_small_ones(both, form):
    signature, *graphs = both
    files = [CONVERSIONS[form](source, signature) for source in graphs]
    small, large = (run_tflite(content, {"images": IMAGES}) for content in files)
    assert small.keys() == large.keys() == {"logits"}
    np.testing.assert_array_equal(small["logits"], large["logits"])
    assert len(np.unique(small["logits"])) > len(IMAGES), "it tells no images apart: nothing is compared"


def test_only_small_networks_hold_their_weights_as_constants(both):
    _, small, large = both
    kinds = [
        {node.type for node in source.serve.get_concrete_function().graph.get_operations()} for source in (small, large)
    ]
    assert ["ReadVariableOp" in kind for kind in kinds] == [False, True]
    assert small.folder is None


def test_files_of_a_large_network_stay_as_long_as_its_converter_and_go_with_it(model, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 0)
    source = graph(model, signature_of(model))
    folder, setup = Path(source.folder.name), converter(source)
    assert tf.saved_model.contains_saved_model(str(folder))
    del source
    assert folder.exists() and setup.convert()
    del setup
    gc.collect()
    assert not folder.exists()


def test_only_the_three_of_hard_swish_changes():
    """By one float32; every other 3 is somebody's constant."""

    @tf.function(input_signature=[tf.TensorSpec((2, 5))])
    def function(x):
        three = tf.constant(3.0)
        swish = x * tf.nn.relu6(x + three) / 6.0
        same = tf.cast(tf.equal(x, three), tf.float32) + tf.cast(x >= 3.0, tf.float32)
        return swish, same, tf.pow(x, 3.0), tf.math.floormod(x, 3.0), x + 3.0, tf.gather(x, tf.constant(3), axis=1)

    before = function.get_concrete_function()
    after = module.hard_swish_in_pieces(before)
    constants = [tf.get_static_value(op.outputs[0]) for op in after.graph.get_operations() if op.type == "Const"]
    nudged = [c for c in constants if c.size == 1 and c.item() == np.nextafter(np.float32(3), 4)]
    assert len(nudged) == 1
    x = tf.constant([[3.0, -3.0, 6.0, 2.9999998, 1.5], [0.1, 9.0, -1.0, 3.0, 30.0]])
    swish, *others = after(x)
    np.testing.assert_allclose(swish, before(x)[0], atol=1e-5)
    for found, expected in zip(others, before(x)[1:], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("layer", [keras.layers.LSTM, keras.layers.GRU])
def test_loops_are_refused_for_integers_before_they_end_the_process(layer):
    x = keras.Input((4, 3), name="tokens")
    looping = keras.Model(x, layer(2, name="memory")(x))
    graph(looping, signature_of(looping))
    with pytest.raises(module.LoopError, match="has a loop, .*unroll=True"):
        graph(looping, signature_of(looping), integers=True)
    unrolled = keras.Model(x, layer(2, unroll=True)(x))
    graph(unrolled, signature_of(unrolled), integers=True)
