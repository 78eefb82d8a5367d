"""TensorFlow's chatter is kept back, and shown when something fails."""

import importlib.util
import os
import sys
import types

import pytest

from tfdl.core import quiet


@pytest.fixture(autouse=True)
def not_verbose(monkeypatch):
    monkeypatch.delenv("TFDL_VERBOSE", raising=False)


def test_caught_output_is_shown_only_when_loading_fails(capfd):
    def load(module):
        os.write(2, b"chatter\n")
        if module == "bad":
            raise ImportError("broken")

    quiet.muffled_loader(load)("good")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError):
        quiet.muffled_loader(load)("bad")
    assert capfd.readouterr().err == "chatter\n"


def test_verbose_shows_everything(capfd, monkeypatch):
    monkeypatch.setenv("TFDL_VERBOSE", "1")
    with quiet.muffled():
        os.write(2, b"chatter\n")
    assert capfd.readouterr().err == "chatter\n"


def test_import_hook_waits_for_tensorflow_only(monkeypatch):
    hook = quiet.QuietTensorFlow()
    monkeypatch.setattr(sys, "meta_path", [hook, *sys.meta_path])
    assert hook.find_spec("json") is None
    assert hook in sys.meta_path
    loader = types.SimpleNamespace(exec_module=print)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: types.SimpleNamespace(loader=loader))
    assert hook.find_spec("tensorflow").loader.exec_module is not print
    assert hook in sys.meta_path  # whoever only asked whether it is there may import it later
