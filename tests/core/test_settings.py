"""Variables of the environment are checked before anything starts; one sentence names the variable and its value."""

import json

import pytest

from tfdl.core import settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    for name in ("KERAS_BACKEND", "TFDL_LOGICAL_CPUS", "TFDL_PROFILE", "TFDL_HEARTBEAT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def test_nothing_set_is_right():
    settings.check()
    assert (settings.logical_cpus(), settings.profiled_batches(), settings.heartbeat()) == (1, 0, None)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("KERAS_BACKEND", "foo", "KERAS_BACKEND is 'foo'; tfdl supports tensorflow, jax, torch: unset KERAS_BACKEND"),
        ("KERAS_BACKEND", "jax", "KERAS_BACKEND is 'jax', but this command needs Keras on TensorFlow; unset"),
        *(("TFDL_LOGICAL_CPUS", text, "from 1 to 64") for text in ("0", "-1", "abc", "", "1.5", "²", "65", "9" * 5000)),
        *(("TFDL_PROFILE", text, "10,20") for text in ("9,2", "0,5", "a,b", "1,2,3", "-3", "", ",", "1;2")),
    ],
)
def test_bad_value_is_one_sentence_with_the_name(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words) as error:
        settings.check()
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("value, batches", [("0", 0), ("7", 7), ("2,9", (2, 9)), ("3,3", (3, 3))])
def test_batches_to_profile(monkeypatch, value, batches):
    monkeypatch.setenv("TFDL_PROFILE", value)
    assert settings.profiled_batches() == batches


def test_a_backend_that_is_not_installed_is_named_before_keras_is_imported(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(settings, "is_installed", lambda module: False)
    with pytest.raises(ValueError, match="KERAS_BACKEND is 'jax', which is not installed; .*pip install jax"):
        settings.check(tensorflow=False)
    monkeypatch.setattr(settings, "is_installed", lambda module: True)
    settings.check(tensorflow=False)


@pytest.mark.parametrize(
    "content, words",
    [
        ({"floatx": "float64"}, r"keras\.json sets floatx to 'float64'; tfdl needs 'float32': correct the file"),
        ({"image_data_format": "channels_first"}, "sets image_data_format to 'channels_first'"),
        ({"backend": "torch"}, r"keras\.json's backend is 'torch', but .*; set KERAS_BACKEND=tensorflow"),
        ([], "is not a JSON object"),
    ],
)
def test_keras_json_is_read_too(tmp_path, content, words):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        settings.check()


def test_the_variable_goes_before_the_file_and_a_broken_file_is_ignored_as_keras_does(tmp_path, monkeypatch):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text('{"backend": "torch"}')
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    settings.check()
    (tmp_path / "keras" / "keras.json").write_text("{")
    settings.check()


def test_a_heartbeat_never_overwrites_another_file(tmp_path, monkeypatch):
    path = tmp_path / "thesis"
    monkeypatch.setenv("TFDL_HEARTBEAT", str(path))
    for content in ("busy", "idle", ""):
        path.write_text(content)
        assert settings.heartbeat() == path
    for content in ("my work", "bus", "\0"):
        path.write_text(content)
        with pytest.raises(ValueError, match="is not a heartbeat file"):
            settings.heartbeat()
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(ValueError, match="is not a heartbeat file"):
        settings.heartbeat()
    monkeypatch.setenv("TFDL_HEARTBEAT", str(tmp_path / "none" / "beat"))
    with pytest.raises(ValueError, match="whose folder does not exist"):
        settings.heartbeat()
