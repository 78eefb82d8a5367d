"""The house rules, checked from the syntax tree: nothing here imports tfdl or TensorFlow.

Every rule is a function from a file (or from all files) to a list of complaints.  Each runs over the checkout, and each
is shown to fail on a small planted source.
"""

import ast
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A folder imports only from lower floors; folders on one floor never import each other.
FLOORS = (
    ("core",),
    ("ops", "foundations", "figures"),
    ("layers",),
    ("losses", "metrics"),
    ("models",),
    ("distribution",),
    ("data", "explain", "learners", "train", "search", "export", "inference", "interop"),
    ("session",),
    ("catalog", "commands", "__init__", "__main__"),
)
FLOOR = {folder: height for height, folders in enumerate(FLOORS) for folder in folders}
ONLY_FOR = {"distribution": {"train", "session"}}  # of the working folders, train alone sees devices
TENSORFLOW_FOLDERS = {"data", "distribution", "export", "inference", "session", "train"}
TENSORFLOW_FILES = {
    "tfdl/core/draws.py",
    "tfdl/core/fused_norms.py",
    "tfdl/core/gradients.py",
    "tfdl/core/graphs.py",
    "tfdl/core/host.py",
    "tfdl/core/pictures.py",
    "tfdl/explain/grad_cam.py",
    "tfdl/explain/state_gradients.py",
}
# Function-level imports: commands load TensorFlow only once they need it, extras only once they are asked for.
LAZY_FOLDERS = {"commands"}
OPTIONAL_EXTRAS = {
    "ai_edge_quantizer",
    "av",
    "datasets",
    "litert_lm_builder",
    "outlines_core",
    "flwr",
    "huggingface_hub",
    "jax",
    "mediapipe",
    "mlflow",
    "ray",
    "timm",
    "torch",
    "torchvision",
    "transformers",
    "wandb",
}
IMPORTLIB_USERS = {
    "tfdl/commands/export.py",  # the module that --import names
    "tfdl/__init__.py",
    "tfdl/__main__.py",
    "tfdl/core/model.py",  # a model generates texts by what stands above it
    "tfdl/core/quiet.py",  # finds TensorFlow, does not import it
    "tfdl/core/settings.py",  # whether Keras's backend is installed
    "tfdl/catalog.py",
    "tfdl/core/saved.py",  # the modules that a .keras file names
    "tfdl/commands/show.py",  # a model's file, by its key
    "tfdl/train/reports/tracking.py",  # wandb or mlflow, by the flag's value
}
SOURCED = {"layers", "learners", "models"}
VAGUE = {"common", "helper", "helpers", "misc", "stuff", "util", "utils"}
UNSAFE = {"allow_pickle=True", "safe_mode=False", "weights_only=False"}


@dataclass(frozen=True)
class File:
    """A Python file: its path from the root of the checkout, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self):
        return ast.parse(self.text)

    @property
    def folder(self):
        """First folder (or module) below tfdl/, None outside it."""
        parts = self.path.removesuffix(".py").split("/")
        return parts[1] if parts[0] == "tfdl" else None

    @property
    def module(self):
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def imports(self):
        """(dotted module, imported names, at the top of the file?) for every import."""
        inner = {id(n) for f in ast.walk(self.tree) if isinstance(f, FUNCTIONS) for n in ast.walk(f)}
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, (), id(node) not in inner) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found.append((module, tuple(alias.name for alias in node.names), id(node) not in inner))
        return found

    @property
    def modules(self):
        """Every dotted name that an import may load: `from a import b` may mean a.b."""
        return {m for module, names, _ in self.imports for m in (module, *(f"{module}.{name}" for name in names))}


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


# --- rules for one file --------------------------------------------------------------------------------------------


def climbs(file):
    """Imports only go down."""
    for module in sorted(file.modules):
        top, _, rest = module.partition(".")
        if module.startswith("."):
            yield f"relative import {module}"
        if file.folder is None:
            continue
        if top in ("recipes", "tests", "tools"):
            yield f"the library imports {module}"
        other = rest.partition(".")[0]
        if top != "tfdl" or other == file.folder:
            continue
        if file.folder not in FLOOR:
            yield f"folder {file.folder} has no floor in FLOORS"
        elif not other or FLOOR.get(other) is None:
            if FLOOR[file.folder] < len(FLOORS) - 1:
                yield f"{file.folder} imports the public names of tfdl; import {module} from its own file"
        elif FLOOR[other] >= FLOOR[file.folder] and FLOOR[file.folder] < len(FLOORS) - 1:
            yield f"{file.folder} imports {other}, which is not below it"
        elif FLOOR[file.folder] == FLOOR["train"] and file.folder not in ONLY_FOR.get(other, {file.folder}):
            yield f"{file.folder} imports {other}, which is for {', '.join(ONLY_FOR[other])} only"


def uses_tensorflow(file):
    """TensorFlow itself only where devices, data and files are."""
    if file.folder is None or file.folder in TENSORFLOW_FOLDERS or file.path in TENSORFLOW_FILES:
        return
    for module in sorted(file.modules):
        if module.split(".")[0] == "tensorflow":
            yield f"imports {module}"


def hides_imports(file):
    """Imports stand at the top, but for optional extras and the commands."""
    if file.folder is None or file.folder in LAZY_FOLDERS:
        return
    for module, _, at_top in file.imports:
        if not at_top and module.split(".")[0] not in OPTIONAL_EXTRAS:
            yield f"imports {module} inside a function"


def imports_by_name(file):
    """importlib only where laziness is the point."""
    used = {module for module in file.modules if module.split(".")[0] == "importlib"}
    data_only = used & {"importlib.metadata", "importlib.resources"}
    if file.folder is not None and file.path not in IMPORTLIB_USERS and used and not data_only:
        yield "imports modules by name (importlib)"


def takes_private_names(file):
    """No private name of one file in another."""
    ours = ("tfdl", "recipes", "tools")
    aliases = {}
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ours:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            yield from (f"imports {node.module}.{a.name}" for a in node.names if is_private(a.name))
        elif isinstance(node, ast.Import):
            aliases |= {a.asname or a.name: a.name for a in node.names if a.name.split(".")[0] in ours}
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) in aliases:
            yield f"uses {aliases[ast.unparse(node.value)]}.{node.attr}"


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def packs_lines(file):
    """In a recipe the formatter has the last word, and a statement says one thing."""
    if file.path.startswith("recipes/"):
        lines = file.text.splitlines()
        yield from (f"line {i}: fmt: skip" for i, line in enumerate(lines, 1) if re.search(r"#\s*fmt:", line))
        yield from (f"line {n.lineno}: :=" for n in ast.walk(file.tree) if isinstance(n, ast.NamedExpr))
        nested = [n for n in ast.walk(file.tree) if isinstance(n, ast.IfExp)]
        yield from (
            f"line {n.lineno}: nested conditional expressions"
            for n in nested
            if any(isinstance(part, ast.IfExp) for part in (n.body, n.orelse, n.test))
        )


def is_vague(file):
    """A file is named after what is in it."""
    if (stem := Path(file.path).stem) in VAGUE:
        yield f"{stem} says nothing"


def names_no_source(file):
    """Layers, models and learners say where they come from."""
    if file.folder in SOURCED and not file.path.endswith("__init__.py"):
        docstring = ast.get_docstring(file.tree) or ""
        if not re.search(r"arXiv:\d{4}\.\d{4,5}|([A-Z]\w+|et al\.) (19|20)\d\d\b|Source: ", docstring):
            yield "the docstring names no source (authors and year, or arXiv id)"


def has_code_in_init(file):
    """A folder's __init__.py holds one docstring."""
    if file.path.endswith("/__init__.py") and file.path.startswith("tfdl/") and file.path != "tfdl/__init__.py":
        docstring_only = len(file.tree.body) == 1 and ast.get_docstring(file.tree)
        if not docstring_only:
            yield "holds more, or less, than one docstring"


def asserts(file):
    """Users get errors that tell what to do; `python -O` removes assertions."""
    if file.folder is not None:
        yield from (f"line {n.lineno}: assert" for n in ast.walk(file.tree) if isinstance(n, ast.Assert))


def runs_strings(file):
    """Nothing is unpickled, nothing evaluated."""
    for module in file.modules:
        if module == "pickle" and file.folder is None and not unpickles(file):
            continue  # a test that writes files as other programs do
        if module.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"):
            yield f"imports {module}"
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            yield f"line {node.lineno}: {node.func.id}"
        if isinstance(node, ast.keyword) and (text := f"{node.arg}={ast.unparse(node.value)}") in UNSAFE:
            yield f"line {node.value.lineno}: {text}"


def unpickles(file):
    """Whether it imports names from pickle, or uses what reads pickles."""
    names = [node for node in ast.walk(file.tree) if isinstance(node, ast.ImportFrom) and node.module == "pickle"]
    attributes = (node for node in ast.walk(file.tree) if isinstance(node, ast.Attribute))
    reading = ("load", "loads", "Unpickler")
    return bool(names) or any(ast.unparse(node.value) == "pickle" and node.attr in reading for node in attributes)


FILE_RULES = (
    climbs,
    uses_tensorflow,
    hides_imports,
    imports_by_name,
    takes_private_names,
    packs_lines,
    is_vague,
    names_no_source,
    has_code_in_init,
    asserts,
    runs_strings,
)


# --- rules for all files together ----------------------------------------------------------------------------------


def orphaned(files):
    """Every folder of the package has an __init__.py, or it would be missing from an installed copy."""
    paths = {file.path for file in files}
    folders = {str(parent) for path in paths for parent in Path(path).parents if str(parent).startswith("tfdl")}
    return sorted(folder for folder in folders if f"{folder}/__init__.py" not in paths)


def cycles(files):
    """Modules that import each other at the top of the file, as chains."""
    known = {file.module for file in files}
    edges = {}
    for file in files:
        tops = {m for module, names, top in file.imports if top for m in (module, *(f"{module}.{n}" for n in names))}
        edges[file.module] = sorted(tops & known - {file.module, "tfdl"})
    found, done = [], set()

    def visit(module, trail):
        if module in trail:
            found.append(" -> ".join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for other in edges[module]:
                visit(other, [*trail, module])
            done.add(module)

    for module in sorted(edges):
        visit(module, [])
    return found


MACHINE = re.compile(r"(?<![\w.~$}*\]-])/(?:work|root|home|Users|tmp|mnt)/\w|index-url\s*[= ]\s*http")


def machine_paths(text):
    """Lines that name a place on one machine, or a package index."""
    return [f"line {i}: {line.strip()[:80]}" for i, line in enumerate(text.splitlines(), 1) if MACHINE.search(line)]


# --- the checkout --------------------------------------------------------------------------------------------------


def read(*folders):
    paths = sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))
    return [File(str(p.relative_to(ROOT)), p.read_text(encoding="utf-8")) for p in paths]


LIBRARY = read("tfdl")
EVERYTHING = LIBRARY + read("recipes", "tools", "tests")


@pytest.mark.parametrize("file", EVERYTHING, ids=lambda file: file.path)
def test_file_keeps_the_rules(file):
    complaints = [f"{rule.__doc__} {complaint}" for rule in FILE_RULES for complaint in rule(file)]
    assert not complaints, f"{file.path}: " + "; ".join(complaints)


def test_every_folder_is_a_package():
    assert not orphaned(LIBRARY)


def test_nothing_imports_in_a_circle():
    assert not cycles(LIBRARY)


def test_no_tracked_file_names_a_machine():
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("no git checkout here, so there are no tracked files to read")
    complaints = {}
    for name in listing.stdout.splitlines():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # a binary file, or one that is deleted but still tracked
            continue
        if found := machine_paths(text):
            complaints[name] = found
    assert not complaints


# --- each rule can fail --------------------------------------------------------------------------------------------

PLANTED = {
    "layer imports model": (climbs, "tfdl/layers/a.py", "from tfdl.models.convnets import resnet\n"),
    "data imports train": (climbs, "tfdl/data/a.py", "import tfdl.train.run\n"),
    "learner imports distribution": (climbs, "tfdl/learners/a.py", "from tfdl.distribution import strategies\n"),
    "losses import metrics": (climbs, "tfdl/losses/a.py", "from tfdl.metrics.text import bleu\n"),
    "core imports public name": (climbs, "tfdl/core/a.py", "from tfdl import build\n"),
    "train imports a command": (climbs, "tfdl/train/a.py", "from tfdl.commands.list import table\n"),
    "library imports tool": (climbs, "tfdl/train/a.py", "from tools.readme_table import table\n"),
    "relative import": (climbs, "tfdl/train/a.py", "from .run import Run\n"),
    "folder without a floor": (climbs, "tfdl/extras/a.py", "from tfdl.core.config import config\n"),
    "tensorflow in a model": (uses_tensorflow, "tfdl/models/a.py", "import tensorflow as tf\n"),
    "tensorflow in core": (uses_tensorflow, "tfdl/core/a.py", "from tensorflow import nest\n"),
    "hidden import": (hides_imports, "tfdl/train/a.py", "def f():\n    import json\n"),
    "importlib": (imports_by_name, "tfdl/train/a.py", "import importlib\n"),
    "private import": (takes_private_names, "tfdl/train/a.py", "from tfdl.train.run import _step\n"),
    "private attribute": (takes_private_names, "tests/a.py", "from tfdl.train import run\nrun._step()\n"),
    "skipped formatter": (packs_lines, "recipes/1_foundation/a.py", "x = (1,\n 2)  # fmt: skip\n"),
    "packed statement": (packs_lines, "recipes/1_foundation/a.py", "print(x := 1)\n"),
    "nested conditional": (packs_lines, "recipes/1_foundation/a.py", "x = 1 if a else 2 if b else 3\n"),
    "vague name": (is_vague, "tfdl/train/utils.py", ""),
    "no source": (names_no_source, "tfdl/layers/a.py", '"""A layer, shape (B, 2000)."""\n'),
    "code in init": (has_code_in_init, "tfdl/train/__init__.py", '"""Train."""\nfrom tfdl.train.run import Run\n'),
    "silent init": (has_code_in_init, "tfdl/train/__init__.py", ""),
    "assert": (asserts, "tfdl/train/a.py", "assert True\n"),
    "pickle": (runs_strings, "tfdl/core/a.py", "import pickle\n"),
    "pickle that is read": (runs_strings, "tools/a.py", "import pickle\npickle.loads(b'')\n"),
    "eval": (runs_strings, "tfdl/train/a.py", "eval('1')\n"),
    "unsafe loading": (runs_strings, "tfdl/train/a.py", "load(path, safe_mode=False)\n"),
}


@pytest.mark.parametrize("rule, path, text", PLANTED.values(), ids=PLANTED)
def test_rule_sees_what_it_forbids(rule, path, text):
    assert list(rule(File(path, text)))


ALLOWED = {
    "model imports layers": (
        "tfdl/models/a.py",
        '"""He et al. 2015."""\nfrom tfdl.layers.conv_norm import conv_norm\n',
    ),
    "mask imports faster": (
        "tfdl/models/a.py",
        '"""arXiv:1703.06870"""\nfrom tfdl.models.detection import faster_rcnn\n',
    ),
    "train imports distribution": ("tfdl/train/a.py", "from tfdl.distribution import strategies\n"),
    "train imports tensorflow": ("tfdl/train/a.py", "import tensorflow as tf\n"),
    "gradients import tensorflow": ("tfdl/core/gradients.py", "import tensorflow as tf\n"),
    "optional extra": ("tfdl/train/a.py", "def f():\n    import wandb\n"),
    "recipe imports everything": (
        "recipes/a/a.py",
        "from tfdl.data import images\nfrom tfdl.models.convnets import vgg\n",
    ),
    "test asserts": ("tests/test_a.py", "assert 1\n"),
    "own private name": ("tfdl/train/a.py", "def _f():\n    return self._f\n"),
    "private name of Keras": ("tfdl/train/a.py", "import keras\nkeras._x\n"),
    "versions": ("tfdl/train/a.py", "from importlib import metadata\n"),
}


@pytest.mark.parametrize("path, text", ALLOWED.values(), ids=ALLOWED)
def test_rules_let_pass_what_they_allow(path, text):
    assert not [complaint for rule in FILE_RULES for complaint in rule(File(path, text))]


def test_folder_without_init_is_seen():
    assert orphaned([File("tfdl/__init__.py", ""), File("tfdl/ops/boxes.py", "")]) == ["tfdl/ops"]


def test_circle_of_three_is_seen():
    files = [
        File("tfdl/ops/a.py", "from tfdl.ops import b\n"),
        File("tfdl/ops/b.py", "import tfdl.ops.c\n"),
        File("tfdl/ops/c.py", "from tfdl.ops.a import x\n"),
    ]
    assert cycles(files) == ["tfdl.ops.a -> tfdl.ops.b -> tfdl.ops.c -> tfdl.ops.a"]
    assert not cycles(files[:2])


@pytest.mark.parametrize("text", ["cd /{}/main", "open('/{}/x')", "--out=/{}/x"])
def test_machine_path_is_seen(text):
    assert machine_paths(text.format("work"))


@pytest.mark.parametrize("text", ["https://x.org/home/page", "a/tmp/b", "$OUT/home/x", "and/or"])
def test_other_paths_pass(text):
    assert not machine_paths(text)
