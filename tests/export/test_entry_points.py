"""Several entry points in one file: each is there, computes what the live model does, and they share their weights."""

import json
import shutil

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from tests import forked
from tests.export.entry_point_models import (
    Decoder,
    DecoderConfig,
    TowersConfig,
    Translator,
    TranslatorConfig,
    TwoTowers,
)
from tfdl.__main__ import main
from tfdl.commands import bench, export
from tfdl.core.files import sha256
from tfdl.core.model import Argument
from tfdl.core.quiet import muffled
from tfdl.export import entry_points
from tfdl.export.card import overview, write_card
from tfdl.export.exporter import export_model
from tfdl.export.parity import ExportError, Reference
from tfdl.export.savedmodel import load_entry_points
from tfdl.export.verify import digest, verify_export

LENGTH, PLACES = 8, 16  # of the prompt and of the cache


def exported(model, folder, **options):
    keras.utils.set_random_seed(4)
    return model, folder, export_model(model, folder, progress=None, **options)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """(model, folder, report); read only."""
    formats = ("savedmodel", "tflite", "tflite_dynamic")
    return exported(Decoder(DecoderConfig()), tmp_path_factory.mktemp("decoder") / "export", formats=formats)


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    model = Translator(TranslatorConfig())
    return exported(model, tmp_path_factory.mktemp("translator") / "export", formats=("tflite",))


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    model = TwoTowers(TowersConfig())
    model.build()
    folder = tmp_path_factory.mktemp("towers") / "export"
    return exported(model, folder, formats=("tflite_float16",), sizes={"text_length": 5})


def runner(folder, name, file="model.tflite"):
    return Interpreter(model_path=str(folder / file)).get_signature_runner(name)


def zeros(model, length=PLACES):
    return {name: np.array(values) for name, values in model.empty_cache(1, length).items()}


def test_every_entry_point_is_in_each_file_that_can_hold_it(decoder):
    _, folder, report = decoder
    assert {name: set(row["signatures"]) for name, row in report["artifacts"].items()} == {
        "saved_model": {"prefill", "step", "complete"},
        "model.tflite": {"prefill", "step"},  # no texts
        "model_dynamic.tflite": {"prefill", "step"},
    }
    assert set(Interpreter(model_path=str(folder / "model.tflite")).get_signature_list()) == {"prefill", "step"}
    step = report["signatures"]["step"]
    assert step["inputs"]["position"] == {"shape": [], "dtype": "int32"}
    assert step["inputs"]["keys_0"] == step["outputs"]["keys_0"] == {"shape": [None, 3, PLACES, 32], "dtype": "float32"}
    assert report["signatures"]["complete"]["outputs"] == {"texts": {"shape": [None], "dtype": "string"}}
    assert report["sizes"] == {"prompt_length": LENGTH, "cache_length": PLACES}


def test_each_entry_point_was_compared_and_wrong_weights_would_have_failed(decoder, translator, towers):
    for _, _, report in (decoder, translator, towers):
        for artifact in report["artifacts"].values():
            rows = artifact["signatures"].values()
            assert artifact["difference"] == max(row["difference"] for row in rows)
            for row in rows:
                assert row["control"]["noise"] > 20 * row["noise"] or row["control"]["difference"] > 0.9  # texts
    for name, limit in (("saved_model", 1e-6), ("model.tflite", 1e-5), ("model_dynamic.tflite", 0.2)):
        assert decoder[2]["artifacts"][name]["difference"] < limit


def test_entry_points_share_one_set_of_weights(decoder, towers):
    _, folder, report = decoder
    weights = 4 * report["parameters"]
    content = (folder / "model.tflite").read_bytes()
    buffers = schema.Model.GetRootAsModel(content, 0)
    constants = sum(buffers.Buffers(i).DataLength() for i in range(buffers.BuffersLength()))
    assert 0.97 * weights < constants < 1.01 * weights  # equal arrays, such as biases of zero, are kept once
    assert len(content) < 1.1 * weights
    assert report["artifacts"]["model_dynamic.tflite"]["bytes"] < 0.4 * weights
    assert towers[2]["artifacts"]["model_float16.tflite"]["bytes"] < 4 * towers[2]["parameters"] + 8000


def test_prompt_and_steps_of_the_file_give_the_live_models_logits(decoder):
    model, folder, _ = decoder
    prefill, step = runner(folder, "prefill"), runner(folder, "step")
    prompt = [5, 9, 3]
    padded = np.array([prompt + [0] * (LENGTH - len(prompt))], "int32")
    outputs = prefill(tokens=padded, length=np.array([len(prompt)], "int32"), **zeros(model))
    tokens = list(prompt)
    for _ in range(6):
        logits = outputs.pop("logits")
        live = np.asarray(model(np.array([tokens], "int32")))[:, -1]
        np.testing.assert_allclose(logits, live, atol=1e-5)
        tokens.append(int(logits.argmax()))
        position = np.array(len(tokens) - 1, "int32")
        outputs = step(tokens=np.array([tokens[-1:]], "int32"), position=position, **outputs)
    assert len(set(tokens[3:])) > 1  # it does not just repeat one token


def test_one_buffer_serves_as_input_and_output_of_the_state(decoder):
    """What docs/deployment.md recommends: no step copies the cache."""
    model, folder, _ = decoder
    step, state = runner(folder, "step"), zeros(model)
    with muffled():
        compiled = CompiledModel.from_file(str(folder / "model.tflite"))
        buffers = {name: compiled.create_input_buffer_by_name("step", name) for name in [*state, "tokens", "position"]}
        logits = compiled.create_output_buffer_by_name("step", "logits")
        for name, values in state.items():
            buffers[name].write(values)
        for position, token in enumerate([4, 11, 2, 7]):
            tokens, place = np.array([[token]], "int32"), np.array(position, "int32")
            buffers["tokens"].write(tokens)
            buffers["position"].write(np.atleast_1d(place))
            compiled.run_by_name("step", buffers, {"logits": logits} | {name: buffers[name] for name in state})
            state = step(tokens=tokens, position=place, **state)
            expected = state.pop("logits")
            np.testing.assert_allclose(logits.read(expected.size, np.float32), expected[0], atol=1e-5)
        del compiled, buffers, logits


def test_texts_go_in_and_come_out_of_the_saved_model(decoder):
    model, folder, _ = decoder
    texts = np.array(["hello", "abc", "z"])
    found = load_entry_points(folder / "saved_model")({"texts": texts}, "complete")["texts"]
    assert [text[: len(start)] for text, start in zip(found, texts)] == texts.tolist()
    assert [len(text) - len(start) for text, start in zip(found, texts)] == [2, 2, 2]
    live = model.complete(texts)["texts"].numpy()
    assert [text.decode() for text in live] == found.tolist()


def test_encoder_and_decoder_work_together(translator):
    model, folder, _ = translator
    encode, step = runner(folder, "encode"), runner(folder, "step")
    source = np.array([[4, 8, 1, 22, 0, 0, 0]], "int32")
    read = encode(source=source)
    live = model.encode(source)
    np.testing.assert_allclose(read["memory"], live["memory"], atol=1e-5)
    np.testing.assert_array_equal(read["counts"], source > 0)
    state = {name: np.zeros((1, 2, 9, 10), "float32") for name in ("keys", "values")}
    expected = dict(state)
    for position, token in enumerate([3, 17, 5]):
        inputs = {"tokens": np.array([[token]], "int32"), "position": np.array(position, "int32")}
        state = step(**inputs, **read, **state)
        expected = model.step(**inputs, **live, **expected)
        np.testing.assert_allclose(state.pop("logits"), expected.pop("logits"), atol=1e-5)


def test_two_towers_apart_give_what_they_give_together(towers):
    model, folder, report = towers
    assert report["signatures"]["embed_texts"]["inputs"]["tokens"]["shape"] == [None, 5]
    assert report["sizes"] == {"height": 12, "text_length": 5}, "those that were asked for, and the model's own"
    random = np.random.default_rng(1)
    images = random.random((1, 12, 8, 3), dtype="float32")
    tokens = random.integers(0, 41, (1, 5), dtype="int32")
    file = "model_float16.tflite"
    picture = runner(folder, "embed_images", file)(images=images)["vectors"]
    text = runner(folder, "embed_texts", file)(tokens=tokens)["vectors"]
    together = runner(folder, "compare", file)(images=images, tokens=tokens)["similarity"]
    np.testing.assert_allclose(np.exp(2.6) * np.sum(picture * text, axis=1, keepdims=True), together, rtol=1e-3)
    np.testing.assert_allclose(together, model.compare(images, tokens)["similarity"], rtol=1e-2)


def test_verify_runs_each_entry_point_again(decoder, tmp_path, capsys):
    folder = shutil.copytree(decoder[1], tmp_path / "copy")
    assert main(["verify", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "model.tflite step" in printed and "saved_model complete" in printed
    with np.load(folder / "probe.npz") as stored:
        arrays = dict(stored)
    arrays["live/step/logits"] = arrays["live/step/logits"] + 1
    np.savez(folder / "probe.npz", **arrays)
    row = {"bytes": (folder / "probe.npz").stat().st_size, "sha256": sha256(folder / "probe.npz")}
    report = json.loads((folder / "report.json").read_text())
    report["files"]["probe.npz"] = row  # a careful forger signs it again
    (folder / "report.json").write_text(json.dumps(report | {"digest": digest(report)}))
    with pytest.raises(ExportError) as error:
        verify_export(folder)
    assert [line.split(",")[0] for line in str(error.value).splitlines()[1:]] == [
        f"  {file}: step: against the live model" for file in decoder[2]["artifacts"]
    ]


def test_the_probe_of_a_long_cache_stays_small(decoder):
    """Noise repeats, so that its inputs can be packed; the outputs of one small decoder weigh as much again."""
    with np.load(decoder[1] / "probe.npz") as probe:
        size = sum(values.nbytes for values in probe.values())
        assert probe["inputs/complete/texts"].dtype.kind == "U" and len(probe["inputs/step/tokens"]) == 8
    assert (decoder[1] / "probe.npz").stat().st_size < size / 2


def test_the_probe_has_as_many_samples_as_fit(towers, monkeypatch):
    points = entry_points.built(entry_points.entry_points(towers[0]))
    samples = entry_points.samples_of(points, {})
    references = {name: Reference(inputs=values, live=values, wrong=None) for name, values in samples.items()}
    monkeypatch.setattr(entry_points, "PROBE_BYTES", 3 * 4 * (12 * 8 * 3 + 18))  # three pictures with their vectors
    kept = entry_points.probe(points, references, {"model.tflite": samples})
    assert kept.keys() == {"inputs", "live", "model.tflite"}
    for arrays in kept.values():
        assert len(arrays["embed_images/images"]) == 3 and len(arrays["embed_texts/tokens"]) == 8


def test_terminal_card_and_bench_have_a_row_for_each_entry_point(translator, tmp_path):
    _, folder, report = translator
    lines = overview(report).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["model.tflite", "encode", "step"]
    write_card(tmp_path / "card.md", title="t", summary="s", report=report, data="d.", metrics={})
    card = (tmp_path / "card.md").read_text()
    assert "| `step` | `tokens` int32 (B, 1), `position` int32 (), `memory` float32 (B, 7, 20)" in card
    code = card.partition("```python\n")[2].partition("```")[0]
    done = forked.code(code, cwd=folder)  # the card's example runs
    assert done.returncode == 0, done.stderr[-2000:]
    rows = bench.table(bench.measure([folder / "model.tflite"], threads=1)).splitlines()
    assert [row.split()[1] for row in rows[1:]] == ["encode", "step"]
    step = report["artifacts"]["model.tflite"]["signatures"]["step"]
    assert step["latency"]["median_ms"] > 0 and step["latency"]["threads"] == 1


def test_weights_of_another_model_do_not_pass(monkeypatch, tmp_path, towers):
    other = TwoTowers(TowersConfig())
    other.build()
    points = entry_points.built(entry_points.entry_points(other))
    original = entry_points.write_entry_points
    monkeypatch.setattr(entry_points, "write_entry_points", lambda model, _, folder: original(other, points, folder))
    with pytest.raises(ExportError, match=r"saved_model: embed_images does not compute what the live model does"):
        export_model(towers[0], tmp_path / "e", formats=("savedmodel",), progress=None)
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_bfloat16_is_exported_in_float32_and_left_as_it_was(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")  # of the layers inside too
    try:
        model = Decoder(DecoderConfig(width=12))
    finally:
        keras.config.set_dtype_policy(policy)
    before = [
        weight.copy() for weight in (entry_points.built(entry_points.entry_points(model)), model.get_weights())[1]
    ]
    report = export_model(model, tmp_path / "e", formats=("savedmodel",), progress=None)
    assert report["precision"]["rebuilt"] and 0 < report["precision"]["noise"] < 0.2
    assert report["artifacts"]["saved_model"]["difference"] < 1e-5
    written = saved_model_pb2.SavedModel.FromString((tmp_path / "e" / "saved_model" / "saved_model.pb").read_bytes())
    graph = written.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    kinds = {value.type for node in nodes for value in node.attr.values()}
    assert types_pb2.DT_FLOAT in kinds and types_pb2.DT_BFLOAT16 not in kinds
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class Odd(keras.Model):
    """A model whose `signatures` a test chooses."""

    def __init__(self, rows):
        super().__init__(name="odd")
        self.rows, self.dense = lambda: rows, keras.layers.Dense(2)

    def signatures(self):
        return self.rows()


X = {"x": Argument((None, 3))}


@pytest.mark.parametrize(
    "rows, words",
    [
        ({}, "The signatures of 'odd' are {}; signatures returns"),
        ([1], "signatures returns {name: .function, {input name: Argument}.}"),
        ({"run": 5}, "The signature 'run' of 'odd' is 5"),
        ({"run it": (lambda x: {"y": x}, X)}, "The name 'run it' cannot be exported"),
        ({"run": (lambda x: {"y": x}, {"x": (None, 3)})}, "The inputs of the signature 'run'"),
        ({"run": (lambda x: x, X)}, "'run' returns .*; return {name: tensor}"),
        ({"run": (lambda x: {"y": keras.ops.sum(x)}, X)}, "The output 'y' of 'run' has the shape .*first axis must be"),
    ],
)
def test_odd_signatures_are_one_sentence(tmp_path, rows, words):
    with pytest.raises(ValueError, match=words):
        export_model(Odd(rows), tmp_path / "e", formats=("tflite",), progress=None)
    assert not (tmp_path / "e").exists()


def test_wrong_arguments_are_refused_at_the_door(tmp_path, towers, tiny):
    model = towers[0]
    for options, words in (
        ({"sizes": {"depth": 3}}, "has no size 'depth'; its sizes are height, text_length"),
        ({"sizes": {"height": 0}}, "The size height is 0; give a whole number"),
        ({"labels": ["a"]}, "has several entry points, which take no labels"),
        ({"formats": ("tflite_int8",)}, "a model with several entry points has savedmodel, tflite"),
        ({"softmax": True}, "which take no softmax"),
        ({"representative": np.zeros((4, 3))}, "representative is ndarray; for a model with several entry points give"),
        ({"representative": {"embed": {}}}, "representative is .'embed'."),
        ({"representative": {"embed_texts": {"tokens": np.zeros((4, 9), "int32")}}}, "the model wants .6,."),
    ):
        with pytest.raises(ValueError, match=words):
            export_model(model, tmp_path / "e", **{"formats": ("tflite",), "progress": None, **options})
    with pytest.raises(ValueError, match="has no `signatures` to take them"):
        export_model(tiny(), tmp_path / "e", formats=("tflite",), sizes={"height": 3})
    texts = Odd({"run": (lambda x: {"y": x}, {"x": Argument((None,), "string", ("a",))})})
    with pytest.raises(ValueError, match="takes or gives texts, which TFLite does not have"):
        export_model(texts, tmp_path / "e", formats=("tflite",), progress=None)
    for shape, dtype, words in (
        ((2, 3), "float32", "The shape of an input is .2, 3.; give"),
        ((None, 0), "float32", "The shape of an input"),
        ((None,), "int64", "'int64'; choose from float32, int32"),
        ((None,), "int32", "has no values; give what its elements may be"),
    ):
        with pytest.raises(ValueError, match=words):
            Argument(shape, dtype)


def test_report_is_json(decoder):
    assert json.loads((decoder[1] / "report.json").read_text()) == json.loads(json.dumps(decoder[2]))


def test_sizes_on_the_command_line_are_names_and_numbers():
    assert export.sizes_of(["cache_length=512", "width=3"]) == {"cache_length": 512, "width": 3}
    for word in ("cache_length", "cache_length=", "=3", "a=b", "a=-1"):
        with pytest.raises(ValueError, match=f"--size {word!r} is no size"):
            export.sizes_of([word])
