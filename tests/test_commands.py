"""The `tfdl` command: quick, quiet, helpful, and honest in its exit codes."""

import errno
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

import tfdl.__main__ as command_line
from tfdl.commands import list as list_command
from tfdl.commands import run
from tfdl.core import errors, settings

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


@pytest.mark.parametrize(
    "error, code", [(OSError(errno.ENOSPC, "full"), 74), (FileNotFoundError("none"), 2), (KeyError("bug"), 1)]
)
def test_exit_code_tells_what_kind_of_error_it_was(monkeypatch, capsys, error, code):
    monkeypatch.setattr(list_command, "main", raising(error).main)
    assert tfdl("list") == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


@pytest.mark.parametrize("name", [name for name in command_line.COMMANDS if name not in ("list", "bench", "doctor")])
@pytest.mark.parametrize(
    "variable, value", [("KERAS_BACKEND", "foo"), ("TFDL_LOGICAL_CPUS", "0"), ("TFDL_PROFILE", "9,2")]
)
def test_a_broken_environment_is_one_sentence_before_anything_is_written(
    name, variable, value, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    assert tfdl(name, "x", "y") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {variable} is {value!r}") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_another_backend_runs_what_it_can_and_nothing_else(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(settings, "is_installed", lambda backend: True)
    assert tfdl("show", "mobilenet") == 0 and tfdl("list") == 0
    assert tfdl("run", "classify_images") == 2
    assert "KERAS_BACKEND is 'jax', but this command needs Keras on TensorFlow" in capsys.readouterr().err


def test_a_full_disk_behind_standard_output_is_an_error():
    command = f"{sys.executable} -m tfdl list > /dev/full"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (74, "error: No space left on device\n")


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
