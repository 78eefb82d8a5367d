"""A SavedModel that would touch files or run Python is refused before TensorFlow loads it."""

import re

import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from tfdl.core.graphs import REFUSED, check_saved_model
from tfdl.inference.source import load

# An argument with such a name is a file, an address, or code.
TELLING = re.compile(
    r"(\w+_)?(file|files|filename|filenames|path|dir|logdir|directory|address|urls?|uri|descriptor_source|region_name"
    r"|stream|prefix|prefixes|patterns|file_pattern|filespec|host_mlir_module|token)"
)
HARMLESS = {
    "TensorListStream",
    "BoostedTreesCreateEnsemble",  # stamp_token
    "BoostedTreesDeserializeEnsemble",
    "WordpieceTokenizeWithOffsets",  # a table in memory; there once tensorflow-text is loaded
}


def operators():
    listing = op_def_pb2.OpList()
    listing.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return listing.op


def test_every_operator_with_a_file_or_an_address_is_refused():
    telling = {
        op.name for op in operators() for argument in [*op.input_arg, *op.attr] if TELLING.fullmatch(argument.name)
    }
    assert len(telling) > 60
    assert {name for name in telling - HARMLESS if not REFUSED.fullmatch(name)} == set()


def test_what_networks_are_made_of_passes():
    for name in (
        "Conv2D", "MatMul", "FusedBatchNormV3", "StatefulPartitionedCall", "While", "StatelessIf", "VarHandleOp",
        "ReadVariableOp", "AssignVariableOp", "ResizeBilinear", "DecodeImage", "DecodeJpeg", "NonMaxSuppressionV4",
        "StatelessRandomUniformV2", "LookupTableFindV2", "HashTableV2", "TensorListReserve", "Einsum", "Assert",
    ):  # fmt: skip
        assert not REFUSED.fullmatch(name), name


class Program(tf.Module):
    """A classifier that does something else on its way."""

    def __init__(self, act):
        super().__init__()
        self.weight = tf.Variable(tf.ones((4, 2)))
        self.act = act

    @tf.function(input_signature=[tf.TensorSpec((None, 2, 2, 1), tf.float32, name="images")])
    def serve(self, images):
        with tf.control_dependencies([self.act()]):
            return {"logits": tf.reshape(images, (-1, 4)) @ self.weight}


def nested(act):
    """The same action inside a condition inside a function, where a search of the main graph does not find it."""
    inner = tf.function(lambda: tf.cond(tf.random.uniform(()) > 2, act, lambda: tf.constant(0)))
    return lambda: tf.identity(inner())


def wrote(name):
    with tf.control_dependencies([tf.io.write_file(name, "x")]):
        return tf.constant(0)


ACTIONS = {
    "WriteFile": lambda: wrote("written"),
    "ReadFile": lambda: tf.strings.length(tf.io.read_file("secret")),
    "MatchingFiles": lambda: tf.size(tf.io.matching_files("*")),
    "EagerPyFunc": lambda: tf.py_function(lambda: 0, [], tf.int32),
    "PyFunc": lambda: tf.numpy_function(lambda: 0, [], tf.int32),
    "SaveV2": lambda: saved("written"),
    "PrintV2": lambda: printed("file://written"),
}


def saved(prefix):
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)])
    return tf.constant(0)


def printed(stream):
    tf.raw_ops.PrintV2(input="x", output_stream=stream)
    return tf.constant(0)


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("place", [lambda act: act, nested], ids=["plain", "nested"])
def test_program_that_touches_files_or_python_is_not_loaded(name, place, tmp_path, monkeypatch):
    module = Program(place(ACTIONS[name]))
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serve": module.serve})
    monkeypatch.setattr(tf.saved_model, "load", lambda folder: pytest.fail("it was loaded"))
    with pytest.raises(ValueError, match=rf"access files, the network or Python \(.*{name}"):
        load(tmp_path / "model")
    assert not (tmp_path / "written").exists()


def test_harmless_program_is_loaded(tmp_path):
    module = Program(lambda: tf.constant(0))
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.serve})
    assert check_saved_model(tmp_path / "model") == ["serving_default"]
    assert load(tmp_path / "model").task.image_shape == (2, 2, 1)


def test_signature_of_another_name_is_named(tmp_path):
    module = Program(lambda: tf.constant(0))
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"train": module.serve})
    with pytest.raises(ValueError, match="has the signatures train; tfdl runs serve or serving_default"):
        load(tmp_path / "model")
