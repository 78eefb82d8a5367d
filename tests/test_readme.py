"""The README keeps its promises: the table is current, every command exists, the example runs."""

import ast
import re
import runpy
import shlex
from pathlib import Path

import pytest

import tfdl.__main__ as command_line
from tests import forked
from tests.test_recipes import check_run
from tfdl import catalog
from tfdl.commands import run
from tools import readme_table

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
CODE = re.compile(r"^```[a-z]*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def snippets(text):
    """Every line of a code block and every piece of inline code, without comments."""
    for block, inline in CODE.findall(text):
        yield from (line.split("  #")[0].strip() for line in (block or inline).splitlines())


ALL = [(name, snippet) for name, text in TEXTS.items() for snippet in snippets(text)]
COMMANDS = sorted({s for _, s in ALL if s.startswith("tfdl ") or s in ("tfdl",)} - {"tfdl"})
RECIPE_COMMANDS = sorted({topic.recipe for topic in catalog.TOPICS if topic.recipe})
TARGETS = sorted({s.split()[1] for _, s in ALL if s.startswith("make ")})


def fields(file, name):
    """Names of the annotated fields of class `name` in a file, as flags."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    body = next(n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name)
    return {n.target.id.replace("_", "-") for n in body if isinstance(n, ast.AnnAssign)}


def test_table_of_topics_is_current():
    assert readme_table.main(["--check"]) == 0


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 8 and {"demo", "test", "venv"} <= set(TARGETS)
    assert set(command_line.COMMANDS) <= {command.split()[1] for command in COMMANDS}


@pytest.mark.parametrize("text", COMMANDS + RECIPE_COMMANDS)
def test_command_exists(text):
    _, name, *words = shlex.split(text)
    assert name in command_line.COMMANDS
    if name == "run" and words and words[0] != "NAME":
        file, _ = run.resolve(words[0])
        flags = {word.partition("=")[0][2:] for word in words[1:] if word.startswith("--")}
        known = fields(file, "Config") | {f"run.{f}" for f in fields(ROOT / "tfdl/session/run.py", "Run")}
        assert flags <= known | {"help"}
    if name == "show" and words and words[0].islower():
        catalog.find(words[0])


@pytest.mark.parametrize("name, snippet", [(n, s) for n, s in ALL if s.startswith("--run.")])
def test_shared_flag_exists(name, snippet):
    words = shlex.split(snippet)
    flags = {word.removeprefix("--run.") for word in words if word.startswith("--")}
    assert flags <= fields(ROOT / "tfdl/session/run.py", "Run")


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_exists(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(target)}\s*:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", TEXTS)
def test_linked_files_exist(name):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXTS[name])
    missing = [link for link in links if "://" not in link and not ((ROOT / name).parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("name", TEXTS)
def test_named_tools_exist(name):
    missing = [f for f in re.findall(r"(?:tools|tests|tfdl)/\w+\.py", TEXTS[name]) if not (ROOT / f).is_file()]
    assert not missing


def test_example_of_the_public_api_runs(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", TEXTS["README.md"], re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(script))
    assert (tmp_path / "exported" / "model_int8.tflite").stat().st_size > 0
    assert names["model"].count_params() > 0


def test_stages_are_named_as_in_the_catalog():
    for number, stage in catalog.STAGES.items():
        assert f"{number}. **{stage}.**" in TEXTS["README.md"]


def quick_start():
    """The six commands of the README, without their comments."""
    block = re.search(r"## Quick start\n.*?```\n(.*?)```", TEXTS["README.md"], re.DOTALL)[1]
    return [shlex.split(line.partition("  #")[0]) for line in block.splitlines()]


def test_quick_start_can_be_pasted_in_order(tmp_path):
    commands = quick_start()
    assert len(commands) == 6
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    for _, *words in commands:
        smaller = ["--variant", "nano", "--run.smoke"] if words[:2] == ["run", "classify_images"] else []
        smaller = ["--run.smoke"] if words[:2] == ["run", "look_inside"] else smaller
        done = forked.tfdl(*words, *smaller, cwd=tmp_path)
        assert done.returncode == 0, f"tfdl {shlex.join(words)}: {done.stderr[-2000:]}"
        if words[:2] == ["run", "classify_images"]:
            check_run(run.resolve("classify_images")[0], done, "runs/digits_mobilenet", tmp_path)
    shown = {path.stem for path in (tmp_path / "runs" / "look_inside" / "figures").iterdir()}
    assert shown == {"filters", "feature_maps", "where"}
