"""Every kind of source gives the answers of the live model, and says in one sentence what it cannot do."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import tfdl
from tests.inference.trained import NAMES, TASK, classifier, held_out, picture
from tfdl.core.task import KINDS, Task
from tfdl.core.tflite_metadata import Metadata
from tfdl.inference.inputs import Broken
from tfdl.inference.kinds import ANSWERS
from tfdl.inference.source import load

IMAGES, LABELS = held_out()


def softmax(logits):
    return np.array(keras.ops.softmax(logits))


@pytest.mark.parametrize(
    "source, file, tolerance",
    [
        (".", None, 1e-5),
        ("checkpoints/best/model.keras", None, 1e-5),
        ("export", None, 1e-5),
        ("export/saved_model", None, 1e-5),
        ("export", "model.tflite", 1e-5),
        ("export/model.tflite", None, 1e-5),
        (".", "model_float16.tflite", 1e-2),
        ("export", "model_int8.tflite", 0.1),
        ("export", "model_uint8.tflite", 0.1),
    ],
)
def test_every_source_agrees_with_the_live_model(source, file, tolerance, live, run_folder, photos):
    model = tfdl.load(run_folder / source, file=file)
    answers = model.predict(str(photos), batch_size=4)
    assert model.task == TASK
    assert [answer.path for answer in answers] == [
        str(photos / (f"digit{i}.png" if i < 7 else f"more/digit{i}.PNG")) for i in range(10)
    ]
    images = np.stack([picture(i) for i in range(10)]).astype("float32") / 255
    expected = softmax(live(images))
    np.testing.assert_allclose([answer.probabilities for answer in answers], expected, atol=tolerance)
    assert [answer.label for answer in answers] == [NAMES[i] for i in expected.argmax(-1)]


def test_arrays_of_any_form_give_the_same_answers(run_folder):
    model = load(run_folder)
    whole = model.predict(IMAGES[:5])
    for given in (
        IMAGES[:5].astype("float32") / 255,
        list(IMAGES[:5]),
        [np.repeat(image, 3, axis=-1) for image in IMAGES[:5]],  # red, green and blue alike
        [np.kron(image, np.ones((2, 2, 1), "uint8")) for image in IMAGES[:5]],  # twice as large
    ):
        for one, other in zip(model.predict(given, batch_size=2), whole, strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    (alone,) = model.predict(IMAGES[0])
    assert alone.path is None and alone.label == whole[0].label


def test_answers_do_not_depend_on_the_batch(run_folder):
    model = load(run_folder)
    one, many = (model.predict(IMAGES[:7], batch_size=size) for size in (1, 7))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)


def test_the_stored_range_and_way_to_resize_are_used(live, tmp_path, photos):
    images = keras.Input((8, 8, 1))
    shifted = keras.Model(images, live(keras.layers.Rescaling(0.5, 0.5)(images)))  # [-1, 1] -> [0, 1]
    file = tmp_path / "run" / "checkpoints" / "best" / "model.keras"
    file.parent.mkdir(parents=True)
    shifted.save(file)
    task = Task(labels=NAMES, image_shape=(8, 8, 1), input_range=(-1.0, 1.0), resize="crop")
    (tmp_path / "run" / "task.json").write_text(json.dumps(task.to_json()))
    model = load(tmp_path / "run")
    expected = softmax(live(IMAGES[:3].astype("float32") / 255))
    answers = model.predict(IMAGES[:3])
    np.testing.assert_allclose([answer.probabilities for answer in answers], expected, atol=1e-5)
    wide = np.concatenate([np.full((8, 8, 1), 255, "uint8"), IMAGES[0], np.full((8, 8, 1), 255, "uint8")], axis=1)
    np.testing.assert_allclose(model.predict(wide)[0].probabilities, expected[0], atol=1e-5)


def test_probabilities_are_taken_as_they_are(live, tmp_path):
    keras.Model(live.inputs, keras.layers.Softmax()(live.outputs[0])).save(tmp_path / "ends_in_softmax.keras")
    answers = load(tmp_path / "ends_in_softmax.keras").predict(IMAGES[:4])
    expected = softmax(live(IMAGES[:4].astype("float32") / 255))
    np.testing.assert_allclose([answer.probabilities for answer in answers], expected, atol=1e-5)


def test_a_file_by_itself_has_numbers_unless_labels_are_given(run_folder, tmp_path):
    for name in ("export/model.tflite", "checkpoints/best/model.keras"):
        shutil.copy(run_folder / name, tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(reversed(NAMES)) + "\n")
    assert load(tmp_path / "model.keras").predict(picture(3))[0].label == "3"
    assert load(tmp_path / "model.keras", labels=tmp_path / "names.txt").predict(picture(3))[0].label == "six"
    assert load(tmp_path / "model.tflite").predict(picture(3))[0].label == "three"  # from its metadata
    assert load(tmp_path / "model.tflite", labels=[str(i) for i in range(10)]).predict(picture(3))[0].label == "3"


def test_an_export_without_a_task_still_has_its_labels(run_folder, tmp_path):
    folder = shutil.copytree(run_folder / "export", tmp_path / "export")
    report = json.loads((folder / "report.json").read_text())
    del report["task"]
    (folder / "report.json").write_text(json.dumps(report))
    assert load(folder).predict(picture(7))[0].label == "seven"


def test_a_model_of_several_outputs_or_inputs_is_refused(tmp_path):
    model = classifier()
    keras.Model(model.input, {"a": model.output, "b": model.output}).save(tmp_path / "two.keras")
    with pytest.raises(ValueError, match=r"one output \(B, classes\), but this model has a \(B, 10\), b \(B, 10\)"):
        load(tmp_path / "two.keras")
    other = keras.Input((8, 8, 1), name="other")
    keras.Model([model.input, other], model.output).save(tmp_path / "inputs.keras")
    with pytest.raises(ValueError, match="takes 2 inputs"):
        load(tmp_path / "inputs.keras")


def test_top_is_sorted_and_its_shares_are_the_probabilities(run_folder):
    (answer,) = load(run_folder).predict(IMAGES[:1])
    shares = [share for _, share in answer.top(10)]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-5)
    assert answer.top(1) == [(answer.label, answer.probability)]
    assert answer.label in repr(answer)


def test_stream_goes_on_after_a_broken_file_and_predict_does_not(run_folder, photos):
    (photos / "digit3.png").write_bytes((photos / "digit3.png").read_bytes()[:40])
    (photos / "digit5.png").write_text("no picture")
    model = load(run_folder)
    results = list(model.stream(str(photos), batch_size=2))
    broken = [result for result in results if isinstance(result, Broken)]
    assert [result.path for result in broken] == [str(photos / "digit3.png"), str(photos / "digit5.png")]
    assert len(results) == 10 and all(result.reason for result in broken)
    assert [results[i].label for i in (0, 4, 7)] == ["zero", "four", "seven"]
    with pytest.raises(ValueError, match="digit3.png cannot be read: "):
        model.predict(str(photos))


def test_stream_with_batch_size_1_answers_before_it_takes_the_next(run_folder, photos):
    taken = []

    def paths():
        for number in range(3):
            taken.append(number)
            yield str(photos / f"digit{number}.png")

    stream = load(run_folder).stream(paths(), batch_size=1)
    assert next(stream).label == "zero" and taken == [0]
    assert next(stream).label == "one" and taken == [0, 1]


def test_a_tiff_is_answered_like_the_same_png(run_folder, photos):
    Image.open(photos / "digit2.png").save(photos / "digit2.tiff")
    model = load(run_folder)
    png, tiff = model.predict([photos / "digit2.png", photos / "digit2.tiff"])
    np.testing.assert_allclose(png.probabilities, tiff.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros((8, 8)), "the shape"),
        (np.zeros((8, 8, 4), "uint8"), r"\(8, 8, 4\)"),
        (np.full((8, 8, 1), 200.0), "values from 200 to 200"),
        (np.full((8, 8, 1), np.nan), "values from nan"),
    ],
)
def test_what_is_no_image_is_refused(image, message, run_folder):
    with pytest.raises(ValueError, match=message):
        load(run_folder).predict([image])


@pytest.fixture
def damaged(tmp_path, run_folder):
    """A folder of sources that cannot work."""
    (tmp_path / "model.h5").write_bytes(b"x")
    (tmp_path / "model.keras").write_bytes(b"no zip")
    (tmp_path / "model.tflite").write_bytes(b"no flatbuffer at all")
    (tmp_path / "cut.tflite").write_bytes((run_folder / "export" / "model.tflite").read_bytes()[:2000])
    (tmp_path / "empty").mkdir()
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "saved_model.pb").write_bytes(b"\xff\xff")
    (tmp_path / "comparison" / "variants" / "wide" / "checkpoints" / "best").mkdir(parents=True)
    (tmp_path / "comparison" / "variants" / "wide" / "checkpoints" / "best" / "model.keras").touch()
    other = tmp_path / "other"
    shutil.copytree(run_folder / "checkpoints", other / "checkpoints")
    (other / "task.json").write_text(json.dumps({"labels": ["a", "b"]}))
    shutil.copytree(run_folder / "checkpoints", tmp_path / "size" / "checkpoints")
    (tmp_path / "size" / "task.json").write_text(json.dumps({"image_shape": [9, 8, 1]}))
    shutil.copytree(run_folder / "checkpoints", tmp_path / "kind" / "checkpoints")
    (tmp_path / "kind" / "task.json").write_text(json.dumps({"kind": "divination"}))
    return tmp_path


@pytest.mark.parametrize(
    "name, message",
    [
        ("nowhere", "There is no .*nowhere; give a run folder"),
        ("model.h5", "no kind of model"),
        ("model.keras", "is not a Keras model"),
        ("model.tflite", "no TFLite file"),
        ("cut.tflite", "cut.tflite"),
        ("empty", "holds no model"),
        ("graph", "not a SavedModel"),
        ("comparison", r"several trainings \(wide\)"),
        ("other", "2 labels for 10 classes"),
        ("size", r"its task says \(9, 8, 1\)"),
        ("kind", "task.json: There is no task 'divination'"),
    ],
)
def test_a_source_that_cannot_work_is_explained(name, message, damaged):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(damaged / name)


def test_the_chosen_file_must_be_one_of_the_export(run_folder):
    with pytest.raises(FileNotFoundError, match="no model_int4.tflite; the nearest are 'model_int8.tflite', "):
        load(run_folder / "export", file="model_int4.tflite")
    with pytest.raises(FileNotFoundError, match="no ../task.json"):
        load(run_folder / "export", file="../task.json")
    with pytest.raises(ValueError, match="a single file"):
        load(run_folder / "export" / "model.tflite", file="model.tflite")


def test_every_kind_of_task_has_its_answers():
    assert {*ANSWERS, "text_generation"} == set(KINDS)  # a `TextWriter` answers by itself


def test_the_normalization_in_the_metadata_becomes_the_range_of_the_input(run_folder):
    backend = load(run_folder / "export" / "model.tflite").backend
    assert backend.range_of(Metadata(mean=(127.5,), std=(127.5,)), "x") == (-1.0, 1.0)
    assert backend.range_of(Metadata(mean=(0.0,), std=(1.0,)), "x") == (0.0, 255.0)
    assert backend.range_of(Metadata(), "x") is None
    with pytest.raises(ValueError, match="another mean for each channel"):
        backend.range_of(Metadata(mean=(124.0, 117.0, 104.0), std=(58.0, 57.0, 57.0)), "x")
    with pytest.raises(ValueError, match="divided by 0"):
        backend.range_of(Metadata(mean=(0.0,), std=(0.0,)), "x")
