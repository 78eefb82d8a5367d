"""Exports of models as people write them: plain Keras, none of our helpers.  README.md has a line for each."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers, ops

import tfdl
from tfdl.__main__ import main

RANDOM = np.random.default_rng(0)
export = functools.partial(tfdl.export_model, progress=None)


def runner(file):
    """A function of the .tflite file; it keeps its interpreter."""
    interpreter = Interpreter(model_path=str(file))
    ready = interpreter.get_signature_runner()
    return lambda **inputs: interpreter and ready(**inputs)


def test_a_model_of_raw_pixels_is_served_raw_pixels(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 9, 3)), layers.Rescaling(1 / 255), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(4)]
    )
    pixels = RANDOM.integers(0, 256, (5, 8, 9, 3), dtype="uint8")
    live = np.asarray(model(pixels.astype("float32")))
    report = export(model, tmp_path / "e", formats=("savedmodel", "tflite"), input_range=(0, 255))
    served = tf.saved_model.load(tmp_path / "e" / "saved_model")
    answers = served.signatures["serve_uint8"](inputs=tf.constant(pixels))["dense"]
    np.testing.assert_allclose(answers, live, atol=1e-5)
    phone = runner(tmp_path / "e" / "model.tflite")(inputs=pixels[:1].astype("float32"))["dense"]
    np.testing.assert_allclose(phone, live[:1], atol=1e-5)
    assert report["task"]["input_range"] == [0, 255]


def test_what_is_no_picture_is_calibrated_as_it_is(tmp_path):
    x = keras.Input((12, 6, 1), name="logmel")
    model = keras.Model(x, layers.Dense(3, name="word")(layers.Flatten()(layers.Conv2D(2, 3)(x))))
    sounds = RANDOM.uniform(-8, 0, (40, 12, 6, 1)).astype("float32")
    export(model, tmp_path / "e", formats=("tflite_int8",), representative=sounds)
    file = tmp_path / "e" / "model_int8.tflite"
    found = np.concatenate([runner(file)(logmel=sound[None])["word"] for sound in sounds[:8]])
    assert np.abs(found - model(sounds[:8])).max() < 0.1 * np.std(model(sounds))
    assert not (tmp_path / "e" / "model_uint8.tflite").exists()


def test_a_sequential_model_that_was_built_by_calling_it(tmp_path):
    model = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(3)])
    x = RANDOM.normal(size=(6, 5)).astype("float32")
    live = model(x)
    export(model, tmp_path / "e", formats=("tflite",))
    np.testing.assert_allclose(runner(tmp_path / "e" / "model.tflite")(inputs=x[:1])["dense"], live[:1], atol=1e-6)


def test_texts_go_into_the_model_of_a_server_and_are_refused_for_a_phone(tmp_path):
    color, text = keras.Input((1,), dtype="string", name="color"), keras.Input((), dtype="string", name="text")
    one_hot = layers.StringLookup(vocabulary=["red", "blue"], output_mode="one_hot")(color)
    tokens = layers.TextVectorization(output_sequence_length=3, vocabulary=["good", "bad"])(text)
    x = layers.Concatenate()([one_hot, layers.Flatten()(layers.Embedding(4, 2)(tokens))])
    model = keras.Model([color, text], layers.Dense(2, name="mood")(x))
    export(model, tmp_path / "e", formats=("savedmodel",))
    tfdl.verify_export(tmp_path / "e")
    words = {"color": tf.constant([["blue"], ["pink"]]), "text": tf.constant(["bad, bad", "so good"])}
    served = tf.saved_model.load(tmp_path / "e" / "saved_model")
    found = served.signatures["serve"](**words)["mood"]
    np.testing.assert_allclose(found, model([words["color"], words["text"]]), atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    with pytest.raises(ValueError, match="input 'color' of .* is text, which TFLite does not take; choose formats="):
        export(model, tmp_path / "phone", formats=("savedmodel", "tflite"))


def test_a_server_takes_pictures_of_any_size(tmp_path):
    x = keras.Input((None, None, 3), name="photos")
    model = keras.Model(x, layers.Dense(2, name="y")(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 5)(x))))
    report = export(model, tmp_path / "e", formats=("savedmodel",), input_range=(0, 1))
    tfdl.verify_export(tmp_path / "e")
    assert report["signature"]["inputs"]["photos"]["shape"] == [None, None, 3]
    served = tf.saved_model.load(tmp_path / "e" / "saved_model")
    for size in ((7, 30), (41, 6)):
        photos = RANDOM.integers(0, 256, (2, *size, 3), dtype="uint8")
        live = model(photos / np.float32(255))
        np.testing.assert_allclose(served.signatures["serve_uint8"](photos=tf.constant(photos))["y"], live, atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(None, None, None, 3\); TFLite needs every size but the batch fixed"):
        export(model, tmp_path / "phone", formats=("tflite",))


class Centered(keras.Model):
    """It has no get_config, and ends with an operation that Keras numbers."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, x):
        y = self.network(x)
        return y - ops.mean(y, axis=-1, keepdims=True)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_mixed_precision_with_code_that_keras_cannot_save(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        x = keras.Input((4,), name="x")
        inside = keras.Sequential([layers.Dense(5), layers.Lambda(lambda y: 2 * y), layers.Dense(3)])
        model = keras.Model(x, Centered(inside)(x))
    finally:
        keras.config.set_dtype_policy("float32")
    inputs = RANDOM.normal(size=(5, 4)).astype("float32")
    before, weights = np.asarray(ops.cast(model(inputs), "float32")), model.get_weights()
    report = export(model, tmp_path / "e", formats=("tflite",))
    (found,) = runner(tmp_path / "e" / "model.tflite")(x=inputs[:1]).values()
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, before[:1], atol=0.02 * np.abs(before).max())
    assert report["artifacts"]["model.tflite"]["difference"] < 1e-5 < report["precision"]["difference"]
    after = ops.cast(model(inputs), "float32")  # the user's model computes as it did, in its own precision
    np.testing.assert_array_equal(after, before)
    assert [w.dtype for w in model.get_weights()] == [w.dtype for w in weights]


def test_a_formula_has_a_control_and_preprocessing_has_none(tmp_path):
    x = keras.Input((1,), name="celsius")
    line = layers.Dense(1, name="fahrenheit")
    formula = keras.Model(x, line(x))
    line.set_weights([np.array([[1.8]]), np.array([32.0])])
    report = export(formula, tmp_path / "e", formats=("tflite",))
    assert report["artifacts"]["model.tflite"]["control"]["noise"] > 1
    answer = runner(tmp_path / "e" / "model.tflite")(celsius=np.float32([[100.0]]))["fahrenheit"]
    np.testing.assert_allclose(answer, [[212.0]], rtol=1e-6)
    normalization = layers.Normalization()
    normalization.adapt(RANDOM.normal(3, 2, (50, 1)))
    lines = []
    table = keras.Model(x, normalization(x))
    report = tfdl.export_model(table, tmp_path / "e", formats=("tflite",), progress=lines.append)
    assert report["artifacts"]["model.tflite"]["control"] is None
    assert "export: no control: other weights hardly change the outputs" in lines


@pytest.fixture(scope="module")
def pair():
    """(model of the inputs a and b, 24 samples of a, of b)."""
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], layers.Dense(2, name="y")(layers.Concatenate()([a, b])))
    return model, RANDOM.normal(size=(24, 2)).astype("float32"), RANDOM.normal(size=(24, 3)).astype("float32")


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_the_sample_that_is_not_finite_is_named(tmp_path, pair, value):
    model, a, b = pair
    broken = b.copy()
    broken[5, 1] = value
    with pytest.raises(ValueError, match="representative sample 5 of 'b' has a value that is NaN or infinite"):
        export(model, tmp_path / "e", representative={"a": a, "b": broken})
    assert list(tmp_path.iterdir()) == []


class Pairs(keras.utils.PyDataset):
    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = a, b

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        return (self.a[part], self.b[part]), np.zeros(8)


def steps(a, b):
    """As TensorFlow's guide writes a representative data set."""
    for i in range(24):
        yield [a[i : i + 1], b[i : i + 1]]


WAYS = {
    "generator": steps,
    "function": lambda a, b: lambda: steps(a, b),
    "tuples": lambda a, b: zip(a, b),
    "PyDataset": Pairs,
    "Dataset": lambda a, b: tf.data.Dataset.from_tensor_slices(((a, b), np.zeros(24))).batch(5),
    "tuple": lambda a, b: (a, b),
    "list of steps": lambda a, b: list(steps(a, b)),
}


def test_samples_as_people_have_them(tmp_path, pair):
    model, a, b = pair
    for way in WAYS.values():
        report = export(model, tmp_path / "e", formats=("savedmodel",), representative=way(a, b))
        assert report["samples"] == {"source": "representative", "calibration": 12, "held_out": 12}
        with np.load(tmp_path / "e" / "probe.npz") as probe:
            np.testing.assert_array_equal(probe["inputs/a"], a[12:20])
            np.testing.assert_array_equal(probe["inputs/b"], b[12:20])


def test_names_do_not_depend_on_what_was_built_before(tmp_path):
    signatures = []
    for _ in range(2):
        a, b = keras.Input((3,)), keras.Input((2,))
        model = keras.Model([a, b], [layers.Dense(2)(a), layers.Dense(2)(b)])
        signatures.append(export(model, tmp_path / "e", formats=("savedmodel",))["signature"])
    assert signatures[0] == signatures[1]
    assert list(signatures[0]["inputs"]) == ["inputs", "inputs_1"]
    assert list(signatures[0]["outputs"]) == ["dense", "dense_1"]


def test_mistakes_are_answered_in_one_sentence(tmp_path):
    x, spaced = keras.Input((3,), name="x"), keras.Input((3,), name="my image")
    three, score = keras.Model(x, layers.Dense(3)(x)), keras.Model(x, layers.Dense(1, activation="sigmoid")(x))
    nested = keras.Model(x, {"a": {"b": layers.Dense(2)(x)}, "c": layers.Dense(1)(x)})
    for model, options, words in (
        (keras.Model(spaced, layers.Dense(2)(spaced)), {}, "input name 'my image' cannot be exported; use letters"),
        (nested, {}, "outputs of .* are nested; return a dict of tensors"),
        (three, {"labels": ["a\nb", "c", "d"]}, "label 'a.nb' is empty or has a line break"),
        (three, {"labels": "abc"}, "labels is the str 'abc'; give a list"),
        (three, {"labels": {"a", "b", "c"}}, "labels is the set"),
        (score, {"labels": ["cat", "dog"]}, "one number, which has one name, not the two .*labels=.'dog'."),
        (three, {"formats": "tflite"}, "formats is the text 'tflite'; give a tuple"),
    ):
        with pytest.raises(ValueError, match=f"(?s){words}"):
            export(model, tmp_path / "e", **{"formats": ("tflite",), **options})
    assert list(tmp_path.iterdir()) == []


RECURRENT = {
    "LSTM": lambda: [layers.LSTM(4)],
    "GRU and SimpleRNN": lambda: [layers.GRU(4, return_sequences=True), layers.SimpleRNN(3)],
    "Bidirectional": lambda: [layers.Bidirectional(layers.LSTM(3))],
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_become_int8(tmp_path, kind):
    model = keras.Sequential([keras.Input((5, 3), name="steps"), *RECURRENT[kind](), layers.Dense(2, name="y")])
    steps = RANDOM.uniform(-1, 1, (300, 5, 3)).astype("float32")
    report = export(model, tmp_path / "e", formats=("tflite_int8",), representative=steps)
    assert "FULLY_CONNECTED" in report["artifacts"]["model_int8.tflite"]["operators"]
    phone, live = runner(tmp_path / "e" / "model_int8.tflite"), np.asarray(model(steps[:40]))
    found = np.concatenate([phone(steps=sample[None])["y"] for sample in steps[:40]])
    assert np.sqrt(np.mean((found - live) ** 2)) < 0.2 * np.std(live)


def test_other_peoples_constants_stay_as_they_are_in_int8(tmp_path):
    x = keras.Input((6,), name="x")
    y = layers.Dense(6)(x)
    gelu = keras.activations.gelu(layers.Dense(6)(x), approximate=True)
    outputs = {"power": y**3.0, "gelu": gelu, "above": ops.relu(y - 3.0)}
    inputs = RANDOM.uniform(-4, 4, (40, 6)).astype("float32")
    report = export(keras.Model(x, outputs), tmp_path / "e", formats=("tflite_int8",), representative=inputs)
    operators = report["artifacts"]["model_int8.tflite"]["operators"]
    assert operators["GELU"] == operators["POW"] == 1 and "TANH" not in operators


def test_a_file_takes_as_many_samples_at_a_time_as_were_asked_for(tmp_path):
    x = keras.Input((6,), name="x")
    model = keras.Model(x, layers.Dense(3, name="y")(layers.Dense(5, activation="relu")(x)))
    inputs = RANDOM.uniform(-1, 1, (30, 6)).astype("float32")
    formats = ("tflite", "tflite_int8")
    export(model, tmp_path / "e", formats=formats, representative=inputs, batch_size=4)
    tfdl.verify_export(tmp_path / "e")
    for file, tolerance in (("model.tflite", 1e-6), ("model_int8.tflite", 0.1)):
        found = runner(tmp_path / "e" / file)(x=inputs[:4])["y"]
        np.testing.assert_allclose(found, model(inputs[:4]), atol=tolerance)
    for wrong in (0, 2.5, "4", True):
        with pytest.raises(ValueError, match="batch_size is .*give a whole number from 1"):
            export(model, tmp_path / "e", formats=("tflite",), batch_size=wrong)


def test_small_files_without_data_and_exact_ones_with_16_bits(tmp_path):
    x = keras.Input((64,), name="x")
    model = keras.Model(x, layers.Dense(3, name="y")(layers.Dense(64, activation="relu")(x)))
    inputs = RANDOM.uniform(-1, 1, (200, 64)).astype("float32")
    plain = export(model, tmp_path / "a", formats=("tflite", "tflite_dynamic"))["artifacts"]
    assert plain["model_dynamic.tflite"]["bytes"] < 0.5 * plain["model.tflite"]["bytes"]
    wide = export(model, tmp_path / "b", formats=("tflite_int8", "tflite_int16"), representative=inputs)["artifacts"]
    assert wide["model_int16.tflite"]["noise"] < wide["model_int8.tflite"]["noise"]
    for file in (tmp_path / "a" / "model_dynamic.tflite", tmp_path / "b" / "model_int16.tflite"):
        np.testing.assert_allclose(runner(file)(x=inputs[:1])["y"], model(inputs[:1]), atol=0.05)


@pytest.fixture(scope="module")
def classifier():
    """A small model of three classes, and 40 inputs."""
    x = keras.Input((7,), name="x")
    model = keras.Model(x, layers.Dense(3, name="y")(layers.Dense(6, activation="relu")(x)))
    return model, RANDOM.uniform(-1, 1, (40, 7)).astype("float32")


@pytest.mark.parametrize("kind", ["model.h5", "saved_model"])
def test_the_command_exports_what_other_programs_have_saved(tmp_path, classifier, kind):
    model, inputs = classifier
    if kind == "model.h5":
        model.save(tmp_path / kind)
    else:
        model.export(tmp_path / kind, verbose=False)
    assert main(["export", str(tmp_path / kind), str(tmp_path / "e"), "--formats", "tflite", "tflite_dynamic"]) == 0
    (found,) = runner(tmp_path / "e" / "model.tflite")(x=inputs[:1]).values()
    np.testing.assert_allclose(found, model(inputs[:1]), atol=1e-6)


def test_files_with_code_or_without_a_model_are_one_sentence(tmp_path, classifier, capsys):
    model, _ = classifier
    x = keras.Input((4,))
    keras.Model(x, layers.Lambda(lambda y: 2 * y)(x)).save(tmp_path / "code.h5")
    model.save_weights(tmp_path / "only.weights.h5")
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    for name, words in (
        ("code.h5", "has a Lambda layer, whose Python code is not run"),
        ("only.weights.h5", "it has weights only; build the model and call model.load_weights"),
        ("empty", "has the signatures none; one must be serving_default"),
    ):
        assert main(["export", str(tmp_path / name), str(tmp_path / "e")]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
