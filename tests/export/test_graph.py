from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfdl
from tests.harness import colored
from tfdl.export import graph as module
from tfdl.export.graph import graph
from tfdl.export.quantize import convert_int8
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, converter, run_tflite

IMAGES = colored(8, 32, 32, 3)
CONVERSIONS = {
    "float32": lambda source, signature: convert_float(source),
    "float16": lambda source, signature: convert_float(source, half=True),
    "int8": lambda source, signature: convert_int8(source, signature, {"images": IMAGES}),
    "uint8": lambda source, signature: convert_int8(source, signature, {"images": IMAGES}, pixels=True),
}


@pytest.fixture(scope="module")
def model():
    return tfdl.build("vit", "nano", image_shape=(32, 32, 3), num_classes=10)


@pytest.fixture
def both(model, monkeypatch):
    """(signature, the graph of a small network, the same taken for a large one)."""
    signature = signature_of(model)
    small = graph(model, signature)
    monkeypatch.setattr(module, "LARGE", 0)
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


def test_converter_keeps_the_files_it_reads(model, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 0)
    setup = converter(graph(model, signature_of(model)))
    assert setup.convert()


def test_only_real_threes_are_nudged():
    """The constant of hard swish moves by one float32, an index stays."""

    @tf.function(input_signature=[tf.TensorSpec((2, 5))])
    def function(x):
        return tf.nn.relu6(x + 3.0) * tf.gather(x, tf.constant(3), axis=1)[:, None]

    before = function.get_concrete_function()
    after = module.hard_swish_in_pieces(before)
    constants = [tf.get_static_value(op.outputs[0]) for op in after.graph.get_operations() if op.type == "Const"]
    assert sorted(c.item() for c in constants if c.size == 1 and 3 <= c < 4) == [3, np.nextafter(np.float32(3), 4)]
    x = tf.random.uniform((2, 5))
    np.testing.assert_allclose(after(x)[0], before(x), atol=1e-5)


def test_files_of_a_large_network_go_with_it(model, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 0)
    source = graph(model, signature_of(model))
    folder = Path(source.folder.name)
    assert tf.saved_model.contains_saved_model(str(folder))
    del source
    assert not folder.exists()
