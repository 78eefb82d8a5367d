"""Every recipe runs with --run.smoke in seconds, by its own command, and leaves behind what it promises."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests import forked

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*/*.py"))
SMALLEST = {  # flags that make a recipe's smoke run quicker
    "align_dpo": ["--data", "sort", "--variant", "nano"],
    "align_grpo": ["--data", "add", "--variant", "nano"],
    "align_ppo": ["--data", "sort", "--variant", "nano"],
    "add_numbers": ["--length", "8"],
    "answer_questions": ["--data", str(ROOT / "tests/data/travels.jsonl"), "--variant", "nano", "--length", "40"],
    "classify_images": ["--variant", "nano"],
    "classify_text": ["--data", str(ROOT / "tests" / "data" / "reviews.csv"), "--model", "bert", "--variant", "nano"],
    "classify_points": ["--data", "solids", "--variant", "nano", "--points", "64"],
    "compare_activations": ["--layers", "1"],
    "detect_in_3d": ["--variant", "nano", "--points", "512"],
    "detect_objects": ["--data", "shapes", "--variant", "nano", "--image-size", "64"],
    "detect_faces": ["--data", "figures", "--variant", "nano", "--image-size", "64"],
    "distill_text": ["--data", "reverse", "--teacher", "nano", "--variant", "nano", "--keep", "8"],
    "estimate_pose": ["--data", "figures", "--model", "blaze_pose", "--variant", "nano", "--image-size", "64", "64"],
    "fine_tune": ["--source", "digits", "--model", "lenet", "--variant", "nano"],
    "fine_tune_instructions": ["--data", "add", "--variant", "nano"],
    "fine_tune_lora": ["--data", "shift", "--variant", "nano"],
    "forecast": ["--data", "waves", "--length", "24", "--horizon", "12"],
    "generate_text": ["--variant", "nano", "--data", "descriptions", "--length", "32", "--new-tokens", "8"],
    "initialize": ["--layers", "2"],
    "pretrain_denoising": ["--variant", "nano", "--data", "descriptions", "--length", "16", "--vocabulary-size", "300"],
    "pretrain_masked": ["--variant", "nano", "--data", "descriptions", "--length", "16", "--vocabulary-size", "300"],
    "read_images": ["--variant", "nano"],
    "tag_words": ["--data", str(ROOT / "tests" / "data" / "reviews.csv"), "--casing", "text"],
    "segment_points": ["--variant", "nano_segmentation", "--points", "64"],
    "segment_images": ["--data", "shapes", "--variant", "nano", "--image-size", "64", "64"],
    "train_gpt": ["--variant", "nano", "--data", "descriptions", "--length", "16"],
    "train_highway": ["--depth", "4"],
    "train_mirrored": ["--variant", "nano"],
    "train_mlp": ["--variant", "nano"],
    "train_reward": ["--data", "sort", "--variant", "nano"],
    "train_rnn": ["--variant", "nano", "--data", "descriptions"],
    "translate": ["--data", "reverse", "--model", "transformer", "--variant", "nano", "--length", "16"],
    "watch_gradients": ["--length", "6", "--singular-values", "0.9"],
}
# Slow tests: comparisons as others have them, of which test_recipe_plans runs all but the trainings; what the tests in
# tests/distribution show with smaller networks; and what test_readme runs.  `make check TOPIC=...` runs its topic's.
SHOWN_BY_OTHERS = {
    "augment_images",
    "classify_images",
    "compare_activations",
    "compare_optimizers",
    "compare_topologies",
    "fine_tune",
    "initialize",
    "look_inside",
    "normalize",
    "parallelize_model",
    "regularize",
    "schedule_learning_rate",
    "train_highway",
    "train_multi_worker",
    "transfer",
}
DRAWN = {"'digits'", "'solids'", "'joined'", "'scenes'"}  # data that need no directory
ALWAYS = {"config.json", "env.json", "summary.json", "tb"}
NO_TASK = {"task.json"}  # `tfdl predict` does not answer yet for models of the data of these loaders
OTHER_DATA = ("corrupted_text.load(", "text_pairs.load(", "adding_problem.load(", "time_series.load(")
PROMISED = {  # what a run folder holds if the recipe calls this
    "run.fit(": {"metrics.jsonl", "checkpoints", "figures", "task.json"},
    "run.compare(": {"variants"},
    "run.show(": {"figures"},
    "run.export(": {"export", "MODEL_CARD.md"},
}


def config_fields(file):
    """Field -> source text of its default, of the Config in a recipe."""
    body = next(n.body for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef) and n.name == "Config")
    return {n.target.id: ast.unparse(n.value) for n in body if isinstance(n, ast.AnnAssign)}


def smoke_case(recipe):
    """A recipe as a test's parameter; those that take longest and show nothing of their own are run as slow tests."""
    return pytest.param(recipe, id=recipe.stem, marks=[pytest.mark.slow] if recipe.stem in SHOWN_BY_OTHERS else [])


def smoke_flags(recipe):
    """Flags for a smoke run that needs no data directory."""
    smallest = SMALLEST.get(recipe.stem, [])
    needs_data = config_fields(recipe).get("data", "'digits'") not in DRAWN and "--data" not in smallest
    return smallest + (["--data", "digits"] if needs_data else [])


@pytest.mark.parametrize("recipe", [smoke_case(recipe) for recipe in RECIPES])
def test_smoke_run_leaves_a_whole_run_folder(recipe, tmp_path):
    folder = tmp_path / "run"
    done = forked.run(recipe.stem, "--run.smoke", "--run.out", folder, *smoke_flags(recipe), cwd=tmp_path)
    check_run(recipe, done, folder)


def check_run(recipe, done, folder, cwd=Path()):
    """What the finished process of a recipe said, and what it left in a folder, which its command names from `cwd`."""
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.strip() == "", "a run that goes well is silent on stderr"
    text = recipe.read_text()
    promised = [files for call, files in PROMISED.items() if call in text]
    assert promised, "neither a model nor a figure comes of it"
    found = {path.name for path in (cwd / folder).iterdir()}
    promised = ALWAYS.union(*promised) - (NO_TASK if any(load in text for load in OTHER_DATA) else set())
    assert promised <= found and "run.lock" not in found
    figures = list((cwd / folder).glob("figures/*"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in figures)
    assert all(f"{folder}/figures/{path.name}" in done.stdout for path in figures), "the summary names every figure"
    assert list((cwd / folder / "tb").rglob("events.out.tfevents*"))
    summary = json.loads((cwd / folder / "summary.json").read_text())
    if "run.fit(" in text:
        assert len(summary["weights_sha256"]) == 64
        assert "model " in done.stdout and "parameters" in done.stdout, "the header"
    assert summary["metrics"] and summary["seconds"] > 0 and summary["versions"]["tensorflow"]
    assert summary["command"].startswith(f"tfdl run {recipe.stem} ")
    assert "tensorboard --logdir" in done.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_docstring_says_how_to_run_it_and_what_to_expect(recipe):
    text = ast.get_docstring(ast.parse(recipe.read_text()))
    assert re.search(r"^Run: +tfdl run " + recipe.stem, text, re.MULTILINE)
    assert re.search(r"^Expect: +.*\d", text, re.MULTILINE)
    assert re.search(r"^Stage [1-6] ", text, re.MULTILINE)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_every_setting_has_a_line_of_help(recipe):
    (config,) = (n for n in ast.parse(recipe.read_text()).body if isinstance(n, ast.ClassDef) and n.name == "Config")
    assert ast.get_docstring(config)
    for field, following in zip(config.body, [*config.body[1:], None]):
        if isinstance(field, ast.AnnAssign) and field.target.id not in ("run", "DEFAULTS"):
            is_help = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            assert is_help and isinstance(following.value.value, str), f"{field.target.id} has no help"


def test_unknown_data_set_is_one_sentence_and_leaves_nothing(tmp_path):
    done = forked.run("classify_images", "--data", "digitz", cwd=tmp_path)
    assert done.returncode == 2
    assert "digitz" in done.stderr and "digits" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
