import gc
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import colored
from tfdl.export import graph as module
from tfdl.export.graph import graph
from tfdl.export.quantize import convert_int8, with_pixels
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, convert_weights, run_tflite

IMAGES = colored(8, 16, 12, 3)
CONVERSIONS = {
    "float32": lambda source, signature: convert_float(source),
    "float16": lambda source, signature: convert_float(source, half=True),
    "int8 weights": lambda source, signature: convert_weights(source),
    "int8": lambda source, signature: convert_int8(source, signature, {"images": IMAGES}),
    "uint8": lambda source, signature: with_pixels(convert_int8(source, signature, {"images": IMAGES})),
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
    assert {path.name for path in Path(small.folder.name).iterdir()} == {"graph.pb", "names.json"}
    assert small.names is None and large.names == ["serving_default"]
    frozen = tf.compat.v1.GraphDef.FromString(Path(small.folder.name, "graph.pb").read_bytes())
    assert not [node.name for node in frozen.node if node.op in ("ReadVariableOp", "VarHandleOp")]
    assert tf.saved_model.load(large.folder.name).weights


def test_files_stay_as_long_as_their_source_and_go_with_it(model):
    source = graph(model, signature_of(model))
    folder = Path(source.folder.name)
    assert folder.exists() and convert_float(source)
    del source
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


def test_recurrent_layers_are_unrolled_for_integers_and_only_for_them():
    x = keras.Input((4, 3), name="tokens")
    layer = keras.layers.LSTM(2, name="memory")
    model = keras.Model(x, layer(x))
    signature = signature_of(model)
    sources = [graph(model, signature, integers=integers) for integers in (False, True)]
    files = [Path(source.folder.name, "graph.pb").read_bytes() for source in sources]
    definitions = [tf.compat.v1.GraphDef.FromString(content) for content in files]
    assert [module.has_loop(definition) for definition in definitions] == [True, False]
    assert layer.unroll is False


def test_loops_that_cannot_be_unrolled_are_refused_for_integers(monkeypatch):
    x = keras.Input((4, 3), name="tokens")
    model = keras.Model(x, keras.layers.GRU(2, name="memory")(x))
    monkeypatch.setattr(module, "LONGEST", 3)
    with pytest.raises(module.LoopError, match="has a loop, .*are unrolled for it up to 3 steps"):
        graph(model, signature_of(model), integers=True)
