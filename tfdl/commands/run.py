"""`tfdl run RECIPE_OR_TOPIC [flags]`: train.  Alone it lists the recipes; `tfdl run RECIPE --help` lists the flags."""

import ast
import runpy
import shlex
import sys
from pathlib import Path

from tfdl.catalog import TOPICS, find
from tfdl.core.names import nearest

RECIPES = Path(__file__).resolve().parent.parent.parent / "recipes"


def main(argv):
    if not RECIPES.is_dir():
        raise FileNotFoundError(
            "The recipes are part of the source checkout, not of the installed package: clone the repository and "
            "install it with `pip install -e .` (or run `make demo` there)."
        )
    if argv in ([], ["-h"], ["--help"]):
        print(f"usage: tfdl run RECIPE_OR_TOPIC [flags]\n\n{listing()}")
        return 0
    file, flags = resolve(argv[0])
    before = sys.argv
    sys.argv = [str(file), *flags, *argv[1:]]  # of a flag given twice the last one counts
    try:
        runpy.run_path(str(file), run_name="__main__")
    finally:
        sys.argv = before
    return 0


def recipes():
    """Name -> file of every recipe."""
    return {file.stem: file for file in sorted(RECIPES.glob("*/*.py"))}


def resolve(name):
    """A recipe's name, or the key of a topic with a recipe -> (file, the flags that the catalog gives it)."""
    files = recipes()
    if name in files:
        return files[name], []
    if name not in {t.key for t in TOPICS}:
        known = [*files, *(t.key for t in TOPICS if t.recipe)]
        raise ValueError(f"There is no recipe or topic {name!r}; the nearest are {nearest(name, known)}.")
    topic = find(name)
    if not topic.recipe:
        state = "has no recipe of its own" if topic.built else "is not built yet"
        raise ValueError(f"{topic.title} ({name!r}) {state}; `tfdl run` lists the recipes.")
    _, _, recipe, *flags = shlex.split(topic.recipe)
    return files[recipe], flags


def listing():
    """Each recipe with the first line of its docstring, by stage."""
    files = recipes()
    width = max(map(len, files), default=0)
    lines = []
    for name, file in files.items():
        promise = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        lines.append(f"  {name:<{width}}  {promise}")
    return "\n".join(lines) or "  (no recipes yet)"
