"""`tfdl run RECIPE_OR_TOPIC [flags]`: train.  Alone it lists the recipes; `tfdl run RECIPE --help` lists the flags."""

import ast
import runpy
import shlex
import sys
import textwrap
import tomllib
from pathlib import Path

from tfdl.catalog import STAGES, TOPICS, find
from tfdl.core.names import nearest

WIDTH = 100  # of a line of the listing


def home(package):
    """The folder of the recipes: inside an installed package; in tfdl's own checkout, beside the package.

    A folder `recipes` beside an installed package belongs to somebody else and is never looked at.
    """
    project = package.parent / "pyproject.toml"
    try:
        name = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    return (package.parent if name == "tfdl" else package) / "recipes"


RECIPES = home(Path(__file__).resolve().parent.parent)


def main(argv):
    if not RECIPES.is_dir():
        raise FileNotFoundError(
            f"There are no recipes in {RECIPES}: this copy of tfdl is not whole. Install it again, or clone the"
            " repository and install that with `pip install -e .`."
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
    """Each recipe with the first line of its docstring, by stage, in lines of at most `WIDTH` characters."""
    files = recipes()
    width = max(map(len, files), default=0)
    lines = []
    for number, stage in STAGES.items():
        names = [name for name, file in files.items() if file.parent.name.startswith(f"{number}_")]
        lines += [f"\n{number} {stage}"] if names else []
        for name in names:
            docstring = ast.get_docstring(ast.parse(files[name].read_text(encoding="utf-8"))) or ""
            text = textwrap.wrap(docstring.partition("\n")[0], WIDTH - width - 4)
            lines += [f"  {name if i == 0 else '':<{width}}  {line}" for i, line in enumerate(text)]
    advice = "`tfdl run NAME --help` explains a recipe's settings; a model's name works too: tfdl run resnet"
    return "\n".join(lines).lstrip("\n") + f"\n\n{advice}"
