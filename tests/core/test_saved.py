"""A .keras file of our layers loads without importing them first, and imports nothing else."""

import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tfdl
from tfdl.core.saved import has_class, load_model, own_modules

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(model, file) of a network with a layer of ours."""
    model = tfdl.build("vit", "nano", image_shape=(16, 16, 3), num_classes=4)
    assert any(type(layer).__module__.startswith("tfdl.layers") for layer in model.layers)
    file = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(file)
    return model, file


def test_only_import_tfdl_is_needed(saved):
    model, file = saved
    images = np.linspace(0, 1, 2 * 16 * 16 * 3, dtype="float32").reshape(2, 16, 16, 3)
    program = f"""
        import numpy as np
        import tfdl
        images = np.linspace(0, 1, 2 * 16 * 16 * 3, dtype="float32").reshape(2, 16, 16, 3)
        print(np.array(tfdl.load_model({str(file)!r})(images, training=False)).tolist())
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), np.array(model(images, training=False)), atol=1e-6)


def test_only_our_own_modules_are_imported():
    config = {
        "module": "os.path",
        "config": [{"module": "tfdl.core.config"}, {"module": "tfdl.x; import os"}, {"module": 3}],
    }
    assert own_modules(config) == {"tfdl.core.config"}


def altered(file, target, change):
    """A copy of a .keras file with another config.json."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "config.json" else content)
    return target


def test_a_module_that_this_version_lacks_is_named(saved, tmp_path):
    file = altered(saved[1], tmp_path / "new.keras", lambda text: text.replace("tfdl.layers.", "tfdl.future_layers."))
    with pytest.raises(ValueError, match=r"needs the module tfdl\.future_layers\.\w+, which this version of tfdl"):
        load_model(file)


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    import keras

    images = keras.Input((4, 4, 1))
    model = keras.Model(images, keras.layers.Lambda(lambda x: x * 2)(images))
    model.save(tmp_path / "code.keras")
    with pytest.raises(ValueError, match=r"code\.keras cannot be loaded: .*[Ll]ambda"):
        load_model(tmp_path / "code.keras")


def test_a_class_is_found_however_deep_it_lies():
    inner = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}}
    outer = {"class_name": "Functional", "config": {"layers": [{"class_name": "Dense"}, inner]}}
    assert has_class(outer, "Lambda") and has_class(outer, "Functional")
    assert not has_class(outer, "LSTM")


def test_a_file_without_its_weights_is_explained(saved, tmp_path):
    with zipfile.ZipFile(saved[1]) as old, zipfile.ZipFile(tmp_path / "part.keras", "w") as new:
        new.writestr("config.json", old.read("config.json"))
        new.writestr("metadata.json", old.read("metadata.json"))
    with pytest.raises(ValueError, match=r"part\.keras cannot be loaded: "):
        load_model(tmp_path / "part.keras")


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_what_is_no_model_file_is_explained(content, tmp_path):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.keras is not a Keras model"):
        load_model(tmp_path / "model.keras")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_model(tmp_path / "other.keras")


def test_a_class_of_somebody_else_is_named(tmp_path):
    import keras

    class Stranger(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    keras.Sequential([keras.Input((4,)), Stranger()]).save(tmp_path / "strange.keras")
    with pytest.raises(ValueError, match=r"strange\.keras cannot be loaded: Could not locate class 'Stranger'$"):
        load_model(tmp_path / "strange.keras")
