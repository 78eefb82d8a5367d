"""A recipe as a command: defaults of the model that is given, one sentence for bad values, codes with a meaning."""

import dataclasses
import errno
import importlib.util
import math
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfdl
from tfdl.catalog import find
from tfdl.session import command_line
from tfdl.session.defaults import CLASSIFIERS, with_defaults
from tfdl.session.limits import LIMITS, check_flags
from tfdl.train.callbacks import Interrupted, NonFiniteLoss

RECIPES = {path.stem: path for path in (Path(__file__).parents[2] / "recipes").glob("*/*.py")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Train."""

    data: str = "mnist"
    """the data"""
    model: str = "mobilenet"
    """the model"""
    variant: str | None = None
    """the variant"""
    image_size: int | None = None
    """side in pixels"""
    learning_rate: float | None = None
    """of the optimizer"""
    epochs: int = 3
    """passes"""
    run: tfdl.Run = tfdl.Run()


@pytest.fixture
def load(monkeypatch):
    """Recipe's name -> its module, which is not run."""

    def module(name):
        spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPES[name])
        found = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, found)
        spec.loader.exec_module(found)
        return found

    return module


def launched(monkeypatch, main, config, *flags):
    """The exit code of a recipe's command; 0 if it returns."""
    monkeypatch.setattr(sys, "argv", ["recipe.py", *flags])
    try:
        command_line.launch(main, config)
    except SystemExit as end:
        return end.code or 0
    return 0


def seen(monkeypatch, *flags):
    """The Config that `main` gets."""
    found = []

    def main(config):
        found.append(config)

    assert launched(monkeypatch, main, Config, *flags) == 0
    return found[0]


def test_defaults_follow_the_model(monkeypatch):
    assert seen(monkeypatch).variant == CLASSIFIERS["mobilenet"].variant
    assert seen(monkeypatch, "--model", "resnet").variant == CLASSIFIERS["resnet"].variant
    assert seen(monkeypatch, "--model=vit").learning_rate == CLASSIFIERS["vit"].learning_rate
    assert seen(monkeypatch, "--model", "vgg", "--model", "vit").learning_rate == CLASSIFIERS["vit"].learning_rate
    assert seen(monkeypatch, "--model", "vit", "--learning-rate", "0.5").learning_rate == 0.5
    assert seen(monkeypatch, "--data", "digits").image_size == 16 < seen(monkeypatch).image_size


def test_help_shows_the_defaults_of_the_model_that_is_given(monkeypatch, capsys):
    assert launched(monkeypatch, print, Config, "--model", "resnet", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cifar20" in text and "v2_small_images" not in text and "go on" not in text


def test_help_keeps_the_lines_of_the_docstring(load, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    recipe = load("classify_images")
    assert launched(monkeypatch, recipe.main, recipe.Config, "--help") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "Run:     tfdl run classify_images --data digits" in lines
    assert any("--run.resume" in line for line in lines) and "usage: tfdl run recipe [-h] [OPTIONS]" in lines


def test_unknown_model_is_one_sentence_with_the_nearest(monkeypatch, capsys):
    assert launched(monkeypatch, print, Config, "--model", "resnett") == 2
    assert capsys.readouterr().err.startswith("error: There are no training settings for the model 'resnett'; the near")


def test_defaults_are_those_of_models_that_exist():
    for model, row in CLASSIFIERS.items():
        module = importlib.import_module(find(model).module)
        assert row.variant in module.VARIANTS, model


def test_given_values_are_never_replaced():
    config = with_defaults(Config(model="vit", learning_rate=0.25))
    assert config.learning_rate == 0.25 and config.variant == CLASSIFIERS["vit"].variant


@pytest.mark.parametrize("name", LIMITS)
def test_value_outside_its_limits_names_the_flag_and_the_remedy(name):
    lowest, highest, remedy = LIMITS[name]
    for wrong in (lowest - 1, highest + 1, math.nan, math.inf):
        with pytest.raises(ValueError) as error:
            check_flags({name: wrong})
        assert str(error.value) == f"--{name.replace('_', '-')} is {wrong}; give {remedy}."
    check_flags({name: lowest})
    check_flags({name: highest})


@pytest.mark.parametrize(
    "error, code",
    [
        (ValueError("bad"), 2),
        (FileNotFoundError("gone"), 2),
        (OSError(errno.ENOSPC, "full"), 74),
        (NonFiniteLoss("nan"), 3),
        (Interrupted("stopped", signal.SIGTERM), 75),
        (Interrupted("stopped", signal.SIGINT), 130),
    ],
)
def test_exit_code_says_what_to_do_next(error, code):
    assert command_line.code(error) == code


WORDS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.sampled_from(["", "None", "true", "-", "--", "../x", "digits", "a b", "\x00", "é", "9" * 400, "[1]", "1e999"]),
)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_no_flag_ends_in_a_traceback(load, name, monkeypatch, tmp_path_factory, capsys):
    """The recipe starts and stops before its data: whatever the flags are, it is code 0 or one sentence and code 2."""
    config = load(name).Config
    own = [field.name for field in dataclasses.fields(config) if field.name != "run"]
    shared = [f"run.{field.name}" for field in dataclasses.fields(tfdl.Run) if field.name != "strategy"]
    flags = st.sampled_from([f"--{field.replace('_', '-')}" for field in [*own, *shared]])
    monkeypatch.chdir(tmp_path_factory.mktemp("fuzz"))

    def main(config):
        config.run.start(config, name=name)

    main.__module__ = __name__

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(st.lists(st.one_of(flags, WORDS), max_size=5))
    def no_traceback(words):
        assert launched(monkeypatch, main, config, *words) in (0, 2)

    no_traceback()
    assert "Traceback" not in capsys.readouterr().err
    assert not list(Path().iterdir()), "nothing is written before training"
