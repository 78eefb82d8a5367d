"""The `tfdl` command: quick, quiet, helpful, and honest in its exit codes."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import tfdl.__main__ as command_line
from tfdl.commands import bench, doctor, export, run, verify
from tfdl.commands import list as list_command
from tfdl.core import errors, quiet
from tfdl.export import exporter

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("tensorflow", "keras", "numpy", "tyro")


def tfdl(*words):
    """The command in this process: its exit code."""
    return command_line.main(list(words))


@pytest.fixture(autouse=True)
def same_process(monkeypatch):
    """What `main` does to the process for good must not leak into other tests."""
    monkeypatch.setenv("TFDL_VERBOSE", "")


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["list"], ["list", "--stage", "2", "--unbuilt"], ["show", "mobilenet"]]
)
def test_help_list_and_show_load_nothing_heavy(words):
    probe = f"""
        import sys
        from tfdl.__main__ import main
        code = main({words!r})
        print("loaded:", *[name for name in {HEAVY} if name in sys.modules], "code:", code)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(probe)], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "loaded: code: 0", result.stderr


def test_help_names_every_command_and_every_command_has_help(capsys):
    assert tfdl("--help") == 0
    text = capsys.readouterr().out
    for name in command_line.COMMANDS:
        assert f"  {name} " in text
        assert (ROOT / "tfdl" / "commands" / f"{name}.py").is_file()


@pytest.mark.parametrize("name", [name for name in command_line.COMMANDS if name != "run"])
def test_each_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        tfdl(name, "--help")
    assert stop.value.code == 0
    assert f"usage: tfdl {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["lits"], "no command 'lits'; the nearest are 'list', "),
        (["show", "resnt"], "no topic 'resnt'; the nearest are 'resnet', "),
        (["run", "clasify_images"], "no recipe or topic 'clasify_images'; the nearest are 'classify_images', "),
        (["run", "stylegan"], "StyleGAN ('stylegan') is not built yet"),
        (["verify", "nowhere"], "nowhere"),
        (["bench", "nowhere.tflite"], "no file nowhere.tflite"),
        (["export", "nowhere.keras", "out"], "no model at nowhere.keras"),
    ],
)
def test_mistake_is_one_sentence_and_code_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tfdl(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert error.count("\n") == 1 and "Traceback" not in error


def test_verbose_adds_the_traceback(capsys):
    assert tfdl("--verbose", "show", "resnt") == 2
    assert "Traceback" in capsys.readouterr().err
    assert os.environ["TFDL_VERBOSE"] == "1"


def raising(error):
    def main(argv):
        raise error

    return types.SimpleNamespace(main=main)


def test_error_of_a_library_keeps_its_traceback(capsys, monkeypatch):
    monkeypatch.setattr(list_command, "main", lambda argv: np.zeros((2, 3)) @ np.zeros((2, 3)))
    assert tfdl("list") == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_is_code_130(capsys, monkeypatch):
    monkeypatch.setattr(list_command, "main", raising(KeyboardInterrupt()).main)
    assert tfdl("list") == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """A checkout with one recipe, which prints its flags and may fail."""
    recipe = tmp_path / "recipes" / "1_foundation" / "classify_images.py"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(
        '"""Classify images.\n\nMore."""\nimport sys\n'
        'if __name__ == "__main__":\n'
        "    print(sys.argv[1:])\n"
        '    if "--code" in sys.argv:\n        sys.exit(75)\n'
        '    if "--fail" in sys.argv:\n        raise ValueError("rate is -1; give a positive number")\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(run, "RECIPES", tmp_path / "recipes")
    monkeypatch.setattr(errors, "PACKAGE", tmp_path / "tfdl")
    monkeypatch.chdir(tmp_path)
    return recipe.parent.parent


def test_run_passes_flags_of_topic_and_user_in_that_order(recipes, capsys):
    before = sys.argv
    assert tfdl("run", "classify_images", "--epochs", "3", "--help") == 0
    assert capsys.readouterr().out == "['--epochs', '3', '--help']\n"
    assert tfdl("run", "mobilenet", "--variant", "v1") == 0
    assert capsys.readouterr().out.rstrip().endswith("'--variant', 'v2_small_images', '--variant', 'v1']")
    assert sys.argv is before


def test_run_passes_on_the_recipes_exit_code(recipes):
    with pytest.raises(SystemExit) as stop:
        tfdl("run", "classify_images", "--code")
    assert stop.value.code == 75


def test_error_of_a_recipe_is_one_sentence(recipes, capsys):
    assert tfdl("run", "classify_images", "--fail") == 2
    assert capsys.readouterr().err == "error: rate is -1; give a positive number\n"


def test_run_alone_lists_recipes_with_their_first_line(recipes, capsys):
    assert tfdl("run") == 0
    text = capsys.readouterr().out
    assert "classify_images  Classify images." in text and "More" not in text


def test_run_without_a_checkout_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "RECIPES", tmp_path / "recipes")
    assert tfdl("run", "classify_images") == 2
    assert "clone the repository" in capsys.readouterr().err


def test_export_takes_the_best_checkpoint_of_a_run_folder(tmp_path):
    best = tmp_path / "checkpoints" / "best" / "model.keras"
    best.parent.mkdir(parents=True)
    best.touch()
    assert export.model_file(tmp_path) == best
    assert export.model_file(best) == best


def test_export_knows_every_format_and_the_set_that_a_run_was_trained_on(tmp_path):
    assert export.FORMATS == exporter.FORMATS
    assert export.trained_on(tmp_path) is None
    (tmp_path / "config.json").write_text('{"data": "digits", "run.seed": 0}', encoding="utf-8")
    assert export.trained_on(tmp_path) == "digits"


def test_export_asks_for_what_int8_needs(exported, tmp_path, capsys):
    model = str(exported.parent / "model.keras")
    assert tfdl("export", model, str(tmp_path / "out"), "--formats", "tflite_int8") == 2
    assert "--representative" in capsys.readouterr().err


def test_export_refuses_what_is_no_model(tmp_path, capsys):
    (tmp_path / "model.keras").write_bytes(b"no zip")
    assert tfdl("export", str(tmp_path / "model.keras"), str(tmp_path / "out")) == 2
    assert "no Keras model file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny classifier's .keras file, exported by the command."""
    place = tmp_path_factory.mktemp("exported")
    images = keras.Input((8, 10, 1), name="images")
    logits = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(images))
    keras.Model(images, logits).save(place / "model.keras")
    assert export.main([str(place / "model.keras"), str(place / "out"), "--formats", "tflite", "tflite_float16"]) == 0
    return place / "out"


def test_verify_passes_then_sees_a_changed_byte(exported, tmp_path, capsys):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in exported.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert tfdl("verify", str(copy)) == 0
    assert "model.tflite" in capsys.readouterr().out
    content = bytearray((copy / "model.tflite").read_bytes())
    content[-1] ^= 1
    (copy / "model.tflite").write_bytes(content)
    assert tfdl("verify", str(copy)) == 1
    assert "model.tflite" in capsys.readouterr().err


def test_verify_table_shows_each_artifact():
    text = verify.table({"files": {"a.tflite": "ok"}, "artifacts": {"a.tflite": {"difference": 1.5e-6}}})
    assert "a.tflite  ok" in text and "1.50e-06" in text


def test_bench_compares_with_the_first_file(tmp_path):
    files = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for i, file in enumerate(files):
        file.write_bytes(b"x" * 1000 * (i + 1))
    results = [{"median_ms": 3.0, "p90_ms": 4.0, "partitions": 1}, {"median_ms": 1.5, "p90_ms": 2.0, "partitions": 2}]
    _, first, second = bench.table(files, results).splitlines()
    assert first.split()[1:] == ["1", "3.000", "4.000", "1.00", "1"]
    assert second.split()[1:] == ["2", "1.500", "2.000", "2.00", "2"]


def test_bench_runs_every_file_below_saved_models(exported, tmp_path, monkeypatch, capsys):
    (tmp_path / "saved_models").mkdir()
    monkeypatch.chdir(tmp_path)
    assert tfdl("bench") == 2
    assert "make demo" in capsys.readouterr().err
    (tmp_path / "saved_models" / "a.tflite").write_bytes((exported / "model.tflite").read_bytes())
    assert tfdl("bench") == 0
    assert "a.tflite" in capsys.readouterr().out


def test_doctor_fails_on_what_is_essential(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDL_DATA_DIR", str(tmp_path / "nowhere"))
    assert [finding.state for finding in doctor.data()] == ["FAIL"]
    monkeypatch.setattr(doctor, "ESSENTIAL", ("no-such-package",))
    monkeypatch.setattr(doctor, "OPTIONAL", ("none-such-either",))
    assert [finding.state for finding in doctor.versions()][1:] == ["FAIL", "note"]


def test_doctor_counts_prepared_sets(tmp_path, monkeypatch):
    for name in ("mnist/3.0.1", "xquad/en/3.0.0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "dataset_info.json").touch()
    monkeypatch.setenv("TFDL_DATA_DIR", str(tmp_path))
    (finding,) = doctor.data()
    assert finding.state == "ok" and "2 prepared sets (mnist, xquad)" in finding.text


def test_doctor_tries_a_training_step_under_each_strategy(capsys, tmp_path):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)}
    environment.pop("TFDL_DATA_DIR", None)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TFDL_LOGICAL_CPUS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "tfdl", "doctor"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "strategy mirrored    2 replica(s)" in result.stdout
    assert "all essential checks passed" in result.stdout
    assert result.stderr == "", "TensorFlow's start-up messages should be silenced"


def test_caught_output_is_shown_only_when_loading_fails(capfd):
    def load(module):
        os.write(2, b"chatter\n")
        if module == "bad":
            raise ImportError("broken")

    quiet.caught(load)("good")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError):
        quiet.caught(load)("bad")
    assert capfd.readouterr().err == "chatter\n"


def test_import_hook_waits_for_tensorflow_only(monkeypatch):
    hook = quiet.QuietTensorFlow()
    monkeypatch.setattr(sys, "meta_path", [hook, *sys.meta_path])
    assert hook.find_spec("json") is None
    assert hook in sys.meta_path
    loader = types.SimpleNamespace(exec_module=print)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: types.SimpleNamespace(loader=loader))
    assert hook.find_spec("tensorflow").loader.exec_module is not print
    assert hook not in sys.meta_path


def test_publish_keeps_an_export_with_its_row(tmp_path, monkeypatch, capsys):
    from tfdl.export import manifest

    run_folder, called = tmp_path / "run", {}
    run_folder.mkdir()
    summary = {"name": "digits", "command": "python recipes/x/train.py --a 1", "metrics": {"test_accuracy": 0.5}}
    summary["commit"] = "abc"
    (run_folder / "summary.json").write_text(json.dumps(summary))

    def fake(folder, **arguments):
        called.update(arguments, folder=folder)
        return {"bytes": 12}

    monkeypatch.setattr(manifest, "publish", fake)
    assert tfdl("publish", str(run_folder)) == 0
    assert called == {
        "folder": run_folder / "export",
        "name": "digits",
        "recipe": "recipes/x/train.py",
        "metric": {"test_accuracy": 0.5},
        "command": "python recipes/x/train.py --a 1",
        "commit": "abc",
    }
    assert "saved_models/digits" in capsys.readouterr().out


def test_publishing_an_unfinished_run_is_one_sentence(tmp_path, capsys):
    assert tfdl("publish", str(tmp_path)) == 2
    assert "There is no file" in capsys.readouterr().err
