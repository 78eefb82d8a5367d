"""Weights in 4 bits: smaller than 8, stored once for all entry points, near the live model."""

import sys

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import tfdl
from tests.models.language_models import moved
from tfdl.export.int4 import sharing_buffers, with_int4_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("int4") / "export"
    model = moved("gpt", vocabulary_size=13)  # most weights are in the blocks
    tfdl.export_model(model, folder, formats=("tflite", "tflite_dynamic", "tflite_int4"), progress=None)
    return folder


def weights_of(content):
    """The bytes of all large buffers that tensors of a file refer to."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    stored = [model.buffers[i].data for i in used]
    return [bytes(np.asarray(data)) for data in stored if data is not None and len(data) > 100]


def test_half_the_bytes_of_int8_and_each_weight_once(folder):
    sizes = {
        name: sum(map(len, weights_of((folder / name).read_bytes()))) for name in ("model.tflite", "model_int4.tflite")
    }
    assert sizes["model_int4.tflite"] < 0.25 * sizes["model.tflite"]
    found = weights_of((folder / "model_int4.tflite").read_bytes())
    assert len(found) == len(set(found))


def test_the_file_was_compared_and_wrong_weights_would_have_failed(folder):
    row = tfdl.verify_export(folder)["artifacts"]["model_int4.tflite"]
    assert 1e-3 < row["noise"] < 0.6  # not exact: else nothing was rounded


def outside(content):
    """The same file with all weights behind the table of contents, as the quantizer leaves those of large networks."""
    model, tail = schema.ModelT.InitFromPackedBuf(content, 0), []
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 100:
            tail.append((buffer, bytes(np.asarray(buffer.data, np.uint8))))
            buffer.data, buffer.offset, buffer.size = None, 2, len(tail[-1][1])  # numbers of the same length
    for _ in range(2):  # once to learn how long the table is
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), b"TFL3")
        table = bytes(builder.Output())
        place = -(-len(table) // 16) * 16
        written = table + bytes(place - len(table))
        for buffer, data in tail:
            buffer.offset = len(written)
            written += data + bytes(-len(data) % 16)
    return written


def test_weights_behind_the_table_of_contents_are_kept(folder):
    content = (folder / "model.tflite").read_bytes()
    file = sharing_buffers(outside(content))
    assert sum(map(len, weights_of(file))) == sum(map(len, weights_of(content)))
    np.testing.assert_array_equal(*(logits_of(version) for version in (content, file)))


def logits_of(content):
    """Of the token 1 at the beginning."""
    runner = Interpreter(model_content=content).get_signature_runner("step")
    inputs = {name: np.zeros(row["shape"], row["dtype"]) for name, row in runner.get_input_details().items()}
    inputs["tokens"][:] = 1
    return runner(**inputs)["logits"]


def test_it_is_not_made_unasked():
    from tfdl.export import entry_points, exporter

    assert "tflite_int4" not in exporter.FORMATS + entry_points.FORMATS


def test_without_the_extra_the_message_names_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(ImportError, match="pip install 'tfdl\\[edge\\]'"):
        with_int4_weights((folder / "model.tflite").read_bytes())
