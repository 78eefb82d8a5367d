import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tfdl.export import exporter
from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.exporter import export_model
from tfdl.export.parity import ExportError
from tfdl.export.savedmodel import load_saved_model
from tfdl.export.signatures import portable, signature_of
from tfdl.export.tflite import operators, run_tflite

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
    assert report["labels"] == ["cat", "dog", "emu", "fox", "gnu"]
    assert (all_formats[1] / "labels.txt").read_text().split() == report["labels"]
    for name, row in report["artifacts"].items():
        assert row["control"]["noise"] > 2 * row["noise"], name
        if name.endswith(".tflite"):
            assert row["latency"]["median_ms"] > 0 and row["latency"]["partitions"] == 1
            assert row["bytes"] == (all_formats[1] / name).stat().st_size
    sizes = [report["artifacts"][file]["bytes"] for file in FILES]
    assert sizes[1] < sizes[0]


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
        export_model(tiny(), tmp_path / "e", formats=("tflite",))
    assert list(tmp_path.iterdir()) == []


def test_model_that_ignores_its_weights_is_refused_by_the_control(tmp_path, tiny):
    model = tiny()
    model.get_layer("logits").set_weights([np.zeros((90, 5)), np.full(5, 0.5)])
    with pytest.raises(ExportError, match="proves nothing: shuffled weights pass it too"):
        export_model(model, tmp_path / "e", formats=("tflite",))


@keras.saving.register_keras_serializable("tests")
class Inverse(keras.layers.Layer):
    def call(self, x):
        return tf.linalg.inv(x[:, :4, :4, 0] + 5.0 * tf.eye(4))


def test_foreign_operator_is_named(tmp_path):
    x = keras.Input((6, 7, 3), name="images")
    y = keras.layers.Dense(3, name="d")(keras.layers.Flatten()(Inverse()(keras.layers.Conv2D(2, 3, padding="same")(x))))
    with pytest.raises(ExportError, match="MatrixInverse"):
        export_model(keras.Model(x, y), tmp_path / "e", formats=("tflite",))
    best = keras.ops.cast(keras.ops.argmax(keras.layers.Conv2D(4, 3)(x), axis=-1), "float32")
    with pytest.raises(ExportError, match="BitwiseAnd"):
        export_model(keras.Model(x, best), tmp_path / "e", formats=("tflite",))


def test_dict_outputs_and_several_inputs_keep_their_names(tmp_path):
    images, age = keras.Input((8, 10, 1), name="images"), keras.Input((3,), name="age")
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(images))
    x = keras.layers.Concatenate()([x, age])
    outputs = {"zebra": keras.layers.Dense(4)(x), "apple": keras.layers.Dense(6)(x)}
    model = keras.Model({"images": images, "age": age}, outputs)
    data = {"images": np.random.rand(20, 8, 10, 1), "age": np.random.rand(20, 3)}
    report = export_model(model, tmp_path / "e", representative=data)
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
        report = export_model(model, tmp_path / "e", formats=("tflite", "savedmodel"), representative=images)
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
    run = subprocess.run([sys.executable, "-c", MIRRORED, str(tmp_path / "e")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "devices 2 ['model.tflite', 'model_float16.tflite'" in run.stdout


def test_missing_representative_says_what_to_pass(tmp_path, tiny):
    with pytest.raises(ValueError, match=r"tflite_int8 needs representative=.*\[0, 1\]"):
        export_model(tiny(), tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_wrong_arguments_are_refused_at_the_door(tmp_path, tiny):
    with pytest.raises(ValueError, match="choose from savedmodel, tflite"):
        export_model(tiny(), tmp_path / "e", formats=("onnx",))
    with pytest.raises(ValueError, match="3 labels do not fit"):
        export_model(tiny(), tmp_path / "e", formats=("tflite",), labels="abc")
    open_size = keras.Input((None, None, 3), name="images")
    with pytest.raises(ValueError, match="every size but the batch fixed"):
        export_model(keras.Model(open_size, keras.layers.Conv2D(1, 1)(open_size)), tmp_path / "e", formats=("tflite",))

    class Loop(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="no symbolic inputs; wrap it"):
        export_model(Loop(), tmp_path / "e", formats=("tflite",))


def test_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path, tiny):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="Choose a folder that can be written"):
        export_model(tiny(), tmp_path / "file" / "e", formats=("tflite",))


def test_earlier_export_is_replaced_whole_and_other_folders_never(tmp_path, tiny, copied):
    before = sorted(path.name for path in copied.iterdir())
    broken = tiny()
    broken.get_layer("logits").set_weights([np.zeros((90, 5)), np.zeros(5)])
    with pytest.raises(ExportError):
        export_model(broken, copied, formats=("tflite",))
    assert sorted(path.name for path in copied.iterdir()) == before  # a failed export leaves the old one
    export_model(tiny(), copied, formats=("tflite",))
    assert sorted(path.name for path in copied.iterdir()) == ["model.tflite", "probe.npz", "report.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["copied"]  # no temporary folder is left

    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("work")
    with pytest.raises(ValueError, match="exists and holds no report.json"):
        export_model(tiny(), tmp_path / "precious", formats=("tflite",))
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "work"


def test_float32_model_is_exported_as_it_is_and_left_alone(tmp_path, tiny):
    model = tiny()
    before = [weight.copy() for weight in model.get_weights()]
    assert portable(model) is model
    export_model(model, tmp_path / "e", formats=("savedmodel",))  # the control runs other weights through the model
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
    report = export_model(tiny(channels=1), tmp_path / "e", formats=("tflite",))
    assert json.loads((tmp_path / "e" / "report.json").read_text()) == report
    assert report["samples"]["source"] == "noise" and report["artifacts"]["model.tflite"]["metadata"]
