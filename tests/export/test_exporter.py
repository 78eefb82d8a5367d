import errno
import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tests import forked
from tests.export.conftest import LABELS, TASK
from tfdl.export import exporter
from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.exporter import export_model
from tfdl.export.graph import graph
from tfdl.export.parity import ExportError
from tfdl.export.quantize import convert_int8
from tfdl.export.savedmodel import load_saved_model
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, operators, run_tflite

export = functools.partial(export_model, progress=None)
FILES = ("model.tflite", "model_float16.tflite", "model_int8.tflite", "model_uint8.tflite")


def fresh_images(count):
    return np.random.default_rng(11).random((count, 16, 12, 3), dtype="float32")


@pytest.mark.parametrize("file, tolerance", zip(FILES, (1e-5, 5e-3, 0.2, 0.2)))
def test_tflite_file_computes_what_the_model_does(all_formats, file, tolerance):
    model, folder = all_formats
    x = fresh_images(7)
    logits = run_tflite((folder / file).read_bytes(), {"images": x})["logits"]
    assert logits.shape == (7, 5)
    np.testing.assert_allclose(logits, model(x), atol=tolerance)


def test_saved_model_takes_any_batch_and_raw_pixels(all_formats):
    model, folder = all_formats
    run = load_saved_model(folder / "saved_model")
    for count in (1, 7):
        x = fresh_images(count)
        np.testing.assert_allclose(run({"images": x})["logits"], model(x), atol=1e-6)
    pixels = np.random.default_rng(2).integers(0, 256, (3, 16, 12, 3), dtype="uint8")
    served = run({"images": pixels}, endpoint="serve_uint8")["logits"]
    np.testing.assert_allclose(served, model(pixels / np.float32(255)), atol=1e-6)


def test_int8_file_holds_integers_inside_and_the_promised_types_outside(all_formats):
    for file, dtype in (("model_int8.tflite", np.float32), ("model_uint8.tflite", np.uint8)):
        interpreter = Interpreter(model_path=str(all_formats[1] / file))
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert taken["dtype"] == given["dtype"] == dtype
        assert list(taken["shape"]) == [1, 16, 12, 3]
        kinds = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
        assert "int8" in kinds
    scale, zero = taken["quantization"]  # a camera's pixel p is read as p / 255
    assert scale == pytest.approx(1 / 255, rel=1e-6) and zero == 0


def test_report_tells_what_was_measured(all_formats, report):
    assert set(report["artifacts"]) == {"saved_model", *FILES}
    assert report["samples"] == {"source": "representative", "calibration": 24, "held_out": 24}
    assert report["signature"] == {
        "inputs": {"images": {"shape": [16, 12, 3], "dtype": "float32"}},
        "outputs": {"logits": {"shape": [5]}},
    }
    assert report["parameters"] == all_formats[0].count_params(), "moving statistics are in the files too"
    assert report["labels"] == ["cat", "dog", "emu", "fox", "gnu"]
    assert (all_formats[1] / "labels.txt").read_text().split() == report["labels"]
    for name, row in report["artifacts"].items():
        assert row["control"]["noise"] > 2 * row["noise"], name
        if name.endswith(".tflite"):
            assert row["latency"]["median_ms"] > 0 and row["latency"]["partitions"] == 1
            assert row["bytes"] == (all_formats[1] / name).stat().st_size
    assert report["softmax"] is False and report["left_out"] == {}
    assert report["task"] == {
        **TASK.to_json(),
        "labels": list(LABELS),
        "image_shape": [16, 12, 3],
        "input_range": [0, 1],
        "lines": [],
    }


def test_probe_keeps_inputs_live_outputs_and_those_of_each_file(all_formats):
    model, folder = all_formats
    with np.load(folder / "probe.npz") as probe:
        np.testing.assert_allclose(probe["live/logits"], model(probe["inputs/images"]), atol=1e-5)
        assert {"saved_model/logits", *(f"{file}/logits" for file in FILES)} < set(probe.files)


def test_weights_of_another_model_do_not_pass(monkeypatch, tmp_path, tiny):
    keras.utils.set_random_seed(8)
    other = tiny()
    original = exporter.graph
    monkeypatch.setattr(exporter, "graph", lambda model, signature, **options: original(other, signature, **options))
    with pytest.raises(ExportError, match=r"model.tflite does not compute what the live model does"):
        export(tiny(), tmp_path / "e", formats=("tflite",))
    assert list(tmp_path.iterdir()) == []


def test_integers_that_are_too_coarse_are_left_out_with_the_reason(monkeypatch, tmp_path, tiny):
    keras.utils.set_random_seed(8)
    other, original = tiny(), exporter.graph

    def of_another(model, signature, integers=False, **options):
        return original(other if integers else model, signature, integers=integers, **options)

    monkeypatch.setattr(exporter, "graph", of_another)
    samples = np.random.default_rng(0).random((40, *tiny().input_shape[1:]), dtype="float32")
    report = export(tiny(), tmp_path / "e", formats=("tflite", "tflite_int8"), representative=samples)
    assert "does not compute what the live model does" in report["left_out"]["tflite_int8"]
    assert not list((tmp_path / "e").glob("*int8*")) and set(report["artifacts"]) == {"model.tflite"}
    with pytest.raises(ValueError, match="tflite_int8 cannot be made: .* does not compute what the live model does"):
        export(tiny(), tmp_path / "alone", formats=("tflite_int8",), representative=samples)


def test_wrong_weights_that_pass_are_an_error_and_not_a_control(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(exporter, "wrong_outputs", lambda run, weights, live: live)
    with pytest.raises(ExportError, match="proves nothing: wrong weights pass it too"):
        export(tiny(), tmp_path / "e", formats=("tflite",))


@keras.saving.register_keras_serializable("tests")
class Inverse(keras.layers.Layer):
    def call(self, x):
        return tf.linalg.inv(x[:, :4, :4, 0] + 5.0 * tf.eye(4))


def test_foreign_operator_is_named(tmp_path):
    x = keras.Input((6, 7, 3), name="images")
    y = keras.layers.Dense(3, name="d")(keras.layers.Flatten()(Inverse()(keras.layers.Conv2D(2, 3, padding="same")(x))))
    with pytest.raises(ExportError, match="MatrixInverse"):
        export(keras.Model(x, y), tmp_path / "e", formats=("tflite",))
    best = keras.ops.cast(keras.ops.argmax(keras.layers.Conv2D(4, 3)(x), axis=-1), "float32")
    with pytest.raises(ExportError, match="BitwiseAnd"):
        export(keras.Model(x, best), tmp_path / "e", formats=("tflite",))


def test_dict_outputs_and_several_inputs_keep_their_names(tmp_path):
    images, age = keras.Input((8, 10, 1), name="images"), keras.Input((3,), name="age")
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(images))
    x = keras.layers.Concatenate()([x, age])
    outputs = {"zebra": keras.layers.Dense(4)(x), "apple": keras.layers.Dense(6)(x)}
    model = keras.Model({"images": images, "age": age}, outputs)
    data = {"images": np.random.rand(20, 8, 10, 1), "age": np.random.rand(20, 3)}
    report = export(model, tmp_path / "e", representative=data)
    assert report["signature"]["outputs"] == {"apple": {"shape": [6]}, "zebra": {"shape": [4]}}
    assert set(report["artifacts"]) == {"saved_model", "model.tflite", "model_float16.tflite", "model_int8.tflite"}
    x = {name: value[:2].astype("float32") for name, value in data.items()}
    got = run_tflite((tmp_path / "e" / "model.tflite").read_bytes(), x)
    for name, value in model(x).items():
        np.testing.assert_allclose(got[name], value, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_model_becomes_a_float32_file(tmp_path, policy, tiny, images):
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny()
        report = export(model, tmp_path / "e", formats=("tflite", "savedmodel"), representative=images)
        assert keras.config.dtype_policy().name == policy
    finally:
        keras.config.set_dtype_policy("float32")
    assert report["precision"]["rebuilt"] and 0 < report["precision"]["noise"] < 0.2
    assert report["artifacts"]["model.tflite"]["difference"] < 1e-5
    logits = run_tflite((tmp_path / "e" / "model.tflite").read_bytes(), {"images": images[:4]})["logits"]
    np.testing.assert_allclose(logits, np.asarray(model(images[:4])), atol=5e-2)


MIRRORED = """
import sys
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tfdl.export.exporter import export_model
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    x = keras.Input((9, 7, 3), name="images")
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(x))
    model = keras.Model(x, keras.layers.Dense(5, name="logits")(keras.layers.Flatten()(y)))
    model.compile("sgd", "mse")
    try:
        export_model(model, sys.argv[1], formats=("tflite",))
    except RuntimeError as error:
        assert "strategy.scope()" in str(error)
    else:
        raise SystemExit("exported inside the scope")
model.fit(np.random.rand(8, 9, 7, 3), np.random.rand(8, 5), batch_size=4, verbose=0)
report = export_model(model, sys.argv[1], representative=np.random.rand(24, 9, 7, 3))
assert report["precision"]["rebuilt"] and report["precision"]["noise"] < 1e-4, report["precision"]
print("devices", strategy.num_replicas_in_sync, sorted(report["artifacts"]))
"""


def test_model_of_a_mirrored_strategy_exports(tmp_path):
    (tmp_path / "mirrored.py").write_text(MIRRORED)
    done = forked.python(tmp_path / "mirrored.py", tmp_path / "e")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "devices 2 ['model.tflite', 'model_float16.tflite'" in done.stdout


def test_missing_representative_says_what_to_pass(tmp_path, tiny):
    with pytest.raises(ValueError, match=r"tflite_int8 needs representative=.*\[0, 1\]"):
        export(tiny(), tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_wrong_arguments_are_refused_at_the_door(tmp_path, tiny):
    with pytest.raises(ValueError, match="choose from savedmodel, tflite"):
        export(tiny(), tmp_path / "e", formats=("onnx",))
    for labels, words in (
        (["a", "b", "c"], "3 labels do not fit"),
        ("abcde", "labels is the str 'abcde'; give a list"),
        (["a", "b\nb", "c", "d", "e"], "label 'b.nb' is empty or has a line break"),
        (["a", "", "c", "d", "e"], "label '' is empty"),
    ):
        with pytest.raises(ValueError, match=words):
            export(tiny(), tmp_path / "e", formats=("tflite",), labels=labels)
    with pytest.raises(ValueError, match="formats is the text 'tflite'; give a tuple"):
        export(tiny(), tmp_path / "e", formats="tflite")
    open_size = keras.Input((None, None, 3), name="images")
    with pytest.raises(ValueError, match="every size but the batch fixed"):
        export(keras.Model(open_size, keras.layers.Conv2D(1, 1)(open_size)), tmp_path / "e", formats=("tflite",))

    with pytest.raises(ValueError, match="does not say what it takes: give samples as representative="):
        export_model(Doubled(), tmp_path / "e", formats=("tflite",))


class Doubled(keras.Model):
    def call(self, amounts):
        return 2 * amounts


@pytest.mark.parametrize("kind", ["array", "dict", "dataset"])
def test_subclass_of_model_takes_what_its_samples_show(kind, tmp_path):
    amounts = np.linspace(-1, 1, 16, dtype="float32").reshape(8, 2)
    samples = {
        "array": amounts,
        "dict": {"amounts": amounts},
        "dataset": tf.data.Dataset.from_tensor_slices((amounts, np.zeros(8))).batch(4),
    }

    class FromDict(keras.Model):
        def call(self, inputs):
            return {"doubled": 2 * inputs["amounts"]}

    model, output = (FromDict(), "doubled") if kind == "dict" else (Doubled(), "outputs")
    report = export_model(model, tmp_path / "e", formats=("tflite",), representative=samples[kind])
    assert report["signature"]["inputs"] == {"amounts": {"shape": [2], "dtype": "float32"}}
    runner = Interpreter(str(tmp_path / "e" / "model.tflite")).get_signature_runner()
    np.testing.assert_array_equal(runner(amounts=amounts[:1])[output], 2 * amounts[:1])


def test_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path, tiny):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="Choose a folder that can be written"):
        export(tiny(), tmp_path / "file" / "e", formats=("tflite",))


def test_earlier_export_is_replaced_whole_and_other_folders_never(tmp_path, tiny, copied):
    before = sorted(path.name for path in copied.iterdir())
    broken = tiny()
    broken.get_layer("logits").set_weights([np.full((90, 5), np.nan), np.zeros(5)])
    with pytest.raises(ExportError):
        export(broken, copied, formats=("tflite",))
    assert sorted(path.name for path in copied.iterdir()) == before  # a failed export leaves the old one
    export(tiny(), copied, formats=("tflite",))
    assert sorted(path.name for path in copied.iterdir()) == ["model.tflite", "probe.npz", "report.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["copied"]  # no temporary folder is left

    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("work")
    with pytest.raises(ValueError, match="exists and contains no report.json"):
        export(tiny(), tmp_path / "precious", formats=("tflite",))
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "work"


def test_float32_model_is_exported_as_it_is_and_left_alone(tmp_path, tiny):
    model = tiny()
    before = [weight.copy() for weight in model.get_weights()]
    export(model, tmp_path / "e", formats=("savedmodel",))  # the control runs other weights through the model
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_output_is_named_after_the_layer_that_makes_it(tiny):
    assert list(signature_of(tiny()).outputs) == ["logits"]


def test_benchmark_counts_operators_and_partitions(all_formats):
    content = (all_formats[1] / "model.tflite").read_bytes()
    result = benchmark_tflite(content, runs=7)
    assert result["runs"] == 7 and result["threads"] == 1 and result["partitions"] == 1
    assert operators(content)["CONV_2D"] == 1 and operators(content)["DEPTHWISE_CONV_2D"] == 1


def test_report_on_disk_is_the_one_returned(tmp_path, tiny):
    report = export(tiny(channels=1), tmp_path / "e", formats=("tflite",))
    assert json.loads((tmp_path / "e" / "report.json").read_text()) == report
    assert report["samples"]["source"] == "noise" and report["artifacts"]["model.tflite"]["metadata"]


def test_half_of_the_digits_are_half_of_the_file_and_integers_a_quarter():
    x = keras.Input((300,), name="x")
    model = keras.Model(x, keras.layers.Dense(100, name="y")(x))
    signature, samples = signature_of(model), {"x": np.random.rand(8, 300).astype("float32")}
    module = graph(model, signature)
    full, half = convert_float(module), convert_float(module, half=True)
    integers = convert_int8(module, signature, samples)
    assert 0.5 <= len(half) / len(full) < 0.55
    assert 0.25 <= len(integers) / len(full) < 0.32


@pytest.mark.parametrize("file", ["model_int8.tflite", "model_uint8.tflite"])
def test_values_out_of_the_range_count_as_the_nearest_and_do_not_wrap(all_formats, file):
    content = (all_formats[1] / file).read_bytes()
    x = fresh_images(4)
    outside = np.where(x < 0.5, -0.4, 1.4)
    inside = np.where(x < 0.5, 0.0, 1.0).astype("float32")
    np.testing.assert_array_equal(
        run_tflite(content, {"images": outside})["logits"], run_tflite(content, {"images": inside})["logits"]
    )


def test_what_calibrates_does_not_judge(tmp_path, monkeypatch, tiny, images):
    calibrated, judged = [], []
    convert, compare = exporter.convert_int8, exporter.check
    monkeypatch.setattr(
        exporter, "convert_int8", lambda *args, **how: (calibrated.append(args[2]), convert(*args, **how))[1]
    )
    monkeypatch.setattr(exporter, "check", lambda *args: (judged.append(args[2].inputs), compare(*args))[1])
    export(tiny(), tmp_path / "e", formats=("tflite_int8",), representative=images)
    assert len(calibrated) == 1 and len(judged) == 2  # the uint8 file is made of the int8 file
    np.testing.assert_array_equal(calibrated[0]["images"], images[:24])
    for held_out in judged:
        np.testing.assert_array_equal(held_out["images"], images[24:])


def test_progress_tells_what_goes_on_and_how_long_it_took(tmp_path, tiny, capsys):
    lines = []
    export_model(tiny(), tmp_path / "e", formats=("savedmodel", "tflite"), progress=lines.append)
    assert lines[0] == "export: SavedModel ..." and lines[2] == "export: TFLite float32 ..."
    assert lines[1].startswith("export: SavedModel done in ") and lines[3].endswith(" s")
    export(tiny(), tmp_path / "e", formats=("tflite",))
    assert capsys.readouterr().out == ""


def test_too_few_samples_leave_out_the_int8_files_and_say_so(tmp_path, tiny, images):
    lines = []
    report = export_model(tiny(), tmp_path / "e", representative=images[:2], progress=lines.append)
    assert "export: no tflite_int8: 2 representative samples; integers need at least 8" in lines
    assert set(report["artifacts"]) == {"saved_model", "model.tflite", "model_float16.tflite"}
    assert report["left_out"] == {"tflite_int8": "2 representative samples; integers need at least 8"}
    assert report["samples"]["source"] == "noise"
    with pytest.raises(ValueError, match="tflite_int8 cannot be made: 2 representative samples"):
        export(tiny(), tmp_path / "other", formats=("tflite_int8",), representative=images[:2])
    assert not (tmp_path / "other").exists()


def test_a_network_with_a_loop_is_exported_without_int8(tmp_path, monkeypatch):
    monkeypatch.setattr("tfdl.export.graph.LONGEST", 3)
    x = keras.Input((4, 3), name="tokens")
    model = keras.Model(x, keras.layers.GRU(2)(x))
    samples = np.random.rand(20, 4, 3)
    report = export(model, tmp_path / "e", formats=("tflite", "tflite_int8"), representative=samples)
    assert set(report["artifacts"]) == {"model.tflite"} and "up to 3 steps" in report["left_out"]["tflite_int8"]
    with pytest.raises(ValueError, match="tflite_int8 cannot be made: .* has a loop"):
        export(model, tmp_path / "e", formats=("tflite_int8",), representative=samples)


@pytest.mark.parametrize("file", ["model.tflite", "probe.npz", "report.json", "saved_model"])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, tiny, monkeypatch, file):
    def full(path, *_, **__):
        if str(path).endswith(file):
            raise OSError(errno.ENOSPC, f"Cannot write {path}: No space left on device. Free some space.")
        return write(path, *_, **__)

    def saving(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "variables/x.tempstate; No space left on device")

    name = "write_json" if file == "report.json" else "write_bytes"
    write = getattr(exporter, name)
    monkeypatch.setattr(exporter, name, full)
    if file == "saved_model":
        monkeypatch.setattr(type(keras.export.ExportArchive()), "write_out", saving)
    with pytest.raises(OSError, match=rf"Cannot write .*/e/{file}: No space left on device") as error:
        export(tiny(), tmp_path / "e", formats=("savedmodel",) if file == "saved_model" else ("tflite",))
    assert error.value.errno == errno.ENOSPC and ".new" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_probabilities_in_the_file_are_the_softmax_of_the_live_models_logits(tmp_path, tiny, images):
    model = tiny()
    report = export(model, tmp_path / "e", representative=images, labels=LABELS, softmax=True)
    assert report["softmax"] and report["signature"]["outputs"] == {"probabilities": {"shape": [5]}}
    x = fresh_images(6)
    logits = np.asarray(model(x), "float64")
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for file, tolerance in zip(FILES, (1e-6, 1e-3, 0.02, 0.02)):
        found = run_tflite((tmp_path / "e" / file).read_bytes(), {"images": x})["probabilities"]
        np.testing.assert_allclose(found, expected, atol=tolerance)
    run = load_saved_model(tmp_path / "e" / "saved_model")
    np.testing.assert_allclose(run({"images": x})["probabilities"], expected, atol=1e-6)
    assert [layer.name for layer in model.layers][-1] == "logits"  # the live model is left alone


def test_probabilities_are_not_taken_twice(tmp_path, tiny):
    model = tiny()
    ends = keras.Model(model.input, keras.layers.Softmax()(model.output))
    with pytest.raises(ValueError, match="are probabilities already; leave softmax=True out"):
        export(ends, tmp_path / "e", formats=("tflite",), softmax=True)
    x = keras.Input((3,), name="x")
    with pytest.raises(ValueError, match="needs one output .batch, classes."):
        export(keras.Model(x, keras.layers.Dense(1)(x)), tmp_path / "e", formats=("tflite",), softmax=True)
    assert not (tmp_path / "e").exists()


def test_a_model_that_rescales_by_itself_does_not_count_as_one_of_the_catalog(tiny):
    """Its input may be called "images" too, but what its pixels are nobody says."""
    x = keras.Input((8, 10, 3), name="images")
    own = keras.Model(x, keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x)))
    assert signature_of(own).input_range is None and signature_of(own, input_range=(0, 255)).input_range == (0, 255)
    assert signature_of(tiny()).input_range == (0, 1) and not signature_of(tiny()).is_range_certain


def test_the_range_of_pixels_is_the_one_that_is_given(tmp_path):
    """A model of 0..255, as many tutorials have it."""
    stack = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(3, 3), keras.layers.Flatten(), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input((8, 10, 3)), *stack])
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 10, 3), dtype="uint8")
    report = export(model, tmp_path / "e", representative=pixels, input_range=(0, 255))
    assert report["task"]["input_range"] == [0, 255] and report["task"]["image_shape"] == [8, 10, 3]
    run = load_saved_model(tmp_path / "e" / "saved_model")
    live = np.asarray(model(pixels.astype("float32")))
    np.testing.assert_allclose(run({"inputs": pixels}, endpoint="serve_uint8")["dense"], live, atol=1e-5)
    camera = Interpreter(model_path=str(tmp_path / "e" / "model_uint8.tflite"))
    scale, zero = camera.get_input_details()[0]["quantization"]
    assert (scale, zero) == (pytest.approx(1.0), 0)
    centered = export(model, tmp_path / "centered", formats=("savedmodel",), input_range=(-1, 1))
    with np.load(tmp_path / "centered" / "probe.npz") as probe:
        assert probe["inputs/inputs"].min() < -0.9 and probe["inputs/inputs"].max() > 0.9
    assert centered["artifacts"]["saved_model"]["serve_uint8"]["difference"] < 1e-5
    plain = export(model, tmp_path / "plain", formats=("tflite",))  # nobody says what it takes: no model of pictures
    assert plain["task"] is None and not plain["artifacts"]["model.tflite"]["metadata"]


def test_a_sequential_model_and_its_numbered_names_export_alike_in_every_process(tmp_path):
    reports = []
    for _ in range(2):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5), keras.layers.Dense(3)])
        reports.append(export(model, tmp_path / "e", formats=("tflite", "savedmodel")))
    for report in reports:
        assert list(report["signature"]["inputs"]) == ["inputs"] and list(report["signature"]["outputs"]) == ["dense"]
    with pytest.raises(ValueError, match="does not know its input yet"):
        export(keras.Sequential([keras.layers.Dense(3)]), tmp_path / "other", formats=("tflite",))


def test_task_and_model_must_agree(tmp_path, tiny):
    with pytest.raises(ValueError, match="input_range is .0, 255., but task.input_range is .0.0, 1.0."):
        export(tiny(), tmp_path / "e", formats=("tflite",), task=TASK, input_range=(0, 255))
    with pytest.raises(ValueError, match=r"The task is for images of \(16, 12, 3\), but the model takes \(16, 12, 1\)"):
        export(tiny(channels=1), tmp_path / "e", formats=("tflite",), task=TASK)
    x = keras.Input((3,), name="x")
    with pytest.raises(ValueError, match="is for models with one input"):
        export(keras.Model(x, keras.layers.Dense(2)(x)), tmp_path / "e", formats=("tflite",), input_range=(0, 1))


def test_a_formula_without_weights_or_with_two_numbers_exports(tmp_path):
    x = keras.Input((1,), name="celsius")
    line = keras.layers.Dense(1, name="fahrenheit")
    model = keras.Model(x, line(x))
    line.set_weights([np.array([[1.8]]), np.array([32.0])])
    assert export(model, tmp_path / "e", formats=("tflite",))["artifacts"]["model.tflite"]["control"]["noise"] > 1
    formula = keras.Model(x, keras.layers.Rescaling(1.8, 32.0, name="fahrenheit")(x))
    assert export(formula, tmp_path / "e", formats=("tflite",))["artifacts"]["model.tflite"]["control"] is None
