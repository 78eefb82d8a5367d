"""Every recipe runs with --run.smoke in seconds, by its own command, and leaves behind what it promises."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*/*.py"))
SMALLEST = {  # flags that make a recipe's smoke run quicker
    "classify_images": ["--variant", "nano"],
    "compare_activations": ["--layers", "1"],
    "fine_tune": ["--source", "digits", "--model", "lenet", "--variant", "nano"],
    "train_highway": ["--depth", "4"],
    "train_mirrored": ["--variant", "nano"],
    "train_mlp": ["--variant", "nano"],
}
ALWAYS = {"config.json", "env.json", "summary.json", "tb"}
PROMISED = {  # what a run folder holds if the recipe calls this
    "run.prepare(": {"metrics.jsonl", "checkpoints"},
    "compare(": {"arms"},
    "run.show(": {"figures"},
    "export_model(": {"export", "MODEL_CARD.md"},
}


def config_fields(file, name):
    """Field -> source text of its default, of a dataclass in a file."""
    body = next(n.body for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef) and n.name == name)
    return {n.target.id: ast.unparse(n.value) for n in body if isinstance(n, ast.AnnAssign)}


def smoke_flags(recipe):
    """Flags for a smoke run that needs no data directory."""
    needs_data = config_fields(recipe, "Config").get("data", "'digits'") != "'digits'"
    return SMALLEST.get(recipe.stem, []) + (["--data", "digits"] if needs_data else [])


def run(recipe, folder, *flags):
    command = [sys.executable, "-m", "tfdl", "run", recipe.stem, "--run.smoke", "--run.out", str(folder), *flags]
    return subprocess.run(
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_smoke_run_leaves_a_whole_run_folder(recipe, tmp_path):
    done = run(recipe, tmp_path / "run", *smoke_flags(recipe))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.strip() == "", "a run that goes well is silent on stderr"
    text = recipe.read_text()
    promised = [files for call, files in PROMISED.items() if call in text]
    assert promised, "neither a model nor a figure comes of it"
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert ALWAYS.union(*promised) <= found
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "run").glob("figures/*"))
    assert list((tmp_path / "run" / "tb").rglob("events.out.tfevents*"))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    if "run.prepare(" in text:
        assert len(summary["weights_sha256"]) == 64
    assert summary["metrics"] and summary["seconds"] > 0 and summary["versions"]["tensorflow"]
    assert "tensorboard --logdir" in done.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_docstring_says_how_to_run_it_and_what_to_expect(recipe):
    text = ast.get_docstring(ast.parse(recipe.read_text()))
    assert re.search(r"^Run: +tfdl run " + recipe.stem, text, re.MULTILINE)
    assert re.search(r"^Expect: +.*\d", text, re.MULTILINE)
    assert re.search(r"^Stage [1-6] ", text, re.MULTILINE)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_recipe_has_at_most_twelve_flags(recipe):
    own = config_fields(recipe, "Config").keys() - {"run"}
    flags = [*own, *config_fields(ROOT / "tfdl" / "train" / "run.py", "Run")]
    assert len(flags) <= 12


def test_unknown_data_set_is_one_sentence(tmp_path):
    done = run(ROOT / "recipes" / "1_foundation" / "classify_images.py", tmp_path / "run", "--data", "digitz")
    assert done.returncode == 2
    assert "digitz" in done.stderr and "digits" in done.stderr and "Traceback" not in done.stderr
