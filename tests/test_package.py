"""What people install: whole archives, recipes that run anywhere, the right package under its name, types, metadata."""

import ast
import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tfdl
from tfdl.commands import run

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NOT_OURS = shutil.ignore_patterns(".git", ".venv*", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
PINNED_ELSEWHERE = {"flwr"}  # constraints.txt says why


def command(*words, cwd, **variables):
    """A command's output; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder):
    """A virtual environment that sees this one's packages, though not its tfdl: its Python and its site-packages."""
    venv.create(folder, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "bin" / "python", site_packages


def install(python, *words, cwd):
    offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    command(sys.executable, "-m", "pip", "--python", python, "install", *offline, *words, cwd=cwd)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout: building leaves traces in its folder."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("checkout") / "tfdl", ignore=NOT_OURS)


@pytest.fixture(scope="module")
def archives(checkout, tmp_path_factory):
    """(sdist, wheel), the wheel built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, checkout, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory):
    """Python and site-packages of an environment into which the wheel is installed."""
    python, site_packages = environment(tmp_path_factory.mktemp("installed"))
    install(python, archives[1], cwd=site_packages)
    return python, site_packages


def recipe_files(folder):
    return {file.relative_to(folder).as_posix() for file in folder.glob("*/*.py")}


def test_source_distribution_holds_every_tracked_file(archives):
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("no git checkout here, so there is no list of files to compare with")
    tracked = {name for name in listing.stdout.splitlines() if (ROOT / name).is_file()}
    with tarfile.open(archives[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert not sorted(tracked - held), "add them to MANIFEST.in"


def test_wheel_holds_the_package_its_recipes_and_nothing_else(archives):
    with zipfile.ZipFile(archives[1]) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"tfdl", f"tfdl-{tfdl.__version__}.dist-info"}
    assert "tfdl/py.typed" in names
    held = {name.removeprefix("tfdl/recipes/") for name in names if name.startswith("tfdl/recipes/")}
    assert held == recipe_files(ROOT / "recipes")


def test_metadata_is_whole(archives):
    with zipfile.ZipFile(archives[1]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = email.message_from_bytes(archive.read(name))
    assert text["License-Expression"] == "Apache-2.0" and text["License-File"] == "LICENSE"
    assert set(text["Keywords"].split(",")) >= {"tensorflow", "keras"}
    assert set(text.get_all("Provides-Extra")) == set(EXTRAS)
    supported = {f"3.{minor}" for minor in range(20) if text["Requires-Python"] and f"3.{minor}" in MINORS}
    assert {c.rpartition(" ")[2] for c in text.get_all("Classifier") if re.search(r":: 3\.\d+$", c)} == supported
    assert text["Description-Content-Type"] == "text/markdown" and "# tfdl" in text.get_payload()


def test_recipes_run_from_the_wheel_in_an_empty_folder(installed, tmp_path):
    python, site_packages = installed
    others = site_packages / "recipes" / "1_cooking" / "boil_eggs.py"
    others.parent.mkdir(parents=True)
    others.write_text('"""Not ours."""\n', encoding="utf-8")
    program = python.with_name("tfdl")
    listing = command(program, "run", cwd=tmp_path)
    assert "train_perceptron" in listing and "boil_eggs" not in listing
    command(program, "run", "train_perceptron", "--run.smoke", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert list(tmp_path.glob("runs/*/summary.json"))


@pytest.mark.parametrize("project", ["", "[project]\nname = 'cooking'\n", "project = 3\n", "not toml"])
def test_folder_called_recipes_beside_the_package_is_not_ours(project, tmp_path):
    package = tmp_path / "tfdl"
    assert run.home(package) == package / "recipes"
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    assert run.home(package) == package / "recipes"
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'tfdl'\n", encoding="utf-8")
    assert run.home(package) == tmp_path / "recipes"


def test_script_beside_the_clone_imports_the_package(checkout, tmp_path):
    """The clone's own folder is called tfdl too, and Python looks beside the script first."""
    python, site_packages = environment(tmp_path / "environment")
    install(python, "--editable", checkout, cwd=tmp_path)
    script = checkout.parent / "script.py"
    script.write_text("import tfdl; print(tfdl.__file__, len(tfdl.topics()) > 0)", encoding="utf-8")
    assert command(python, script, cwd=checkout.parent).split() == [str(checkout / "tfdl" / "__init__.py"), "True"]
    assert "train_perceptron" in command(python.with_name("tfdl"), "run", cwd=tmp_path)


# What a type checker should say of each mistake.
MISTAKES = {
    'tfdl.Run(seed="three")': 'incompatible type "str"; expected "int"',
    "tfdl.Run(sede=3)": 'Unexpected keyword argument "sede"',
    'tfdl.Run(precision="float15")': "Literal['float15']",
    "tfdl.build()": 'Missing positional argument "key"',
    "tfdl.build(5)": 'incompatible type "int"; expected "str"',
    'tfdl.buidl("resnet")': 'no attribute "buidl"; maybe "build"?',
    'tfdl.topics(stage="two")': 'incompatible type "str"; expected "int | None"',
    "tfdl.topics()[0].kye": '"Topic" has no attribute "kye"',
    "tfdl.load_weights(object())": 'Missing positional argument "source"',
    "tfdl.export_model(object())": 'Missing positional argument "folder"',
    'tfdl.load("runs/x").predcit("a.png")': 'has no attribute "predcit"',
    'tfdl.Run().start(None, name="x").fitt()': 'no attribute "fitt"; maybe "fit"?',
}


def test_type_checkers_find_mistakes_and_nothing_in_what_is_right(installed, tmp_path):
    right = ['tfdl.build("resnet", "18", num_classes=3).summary()', "print(tfdl.__version__, tfdl.topics(stage=2))"]
    file = tmp_path / "program.py"
    file.write_text("\n".join(["import tfdl", *MISTAKES, *right]), encoding="utf-8")
    words = ["-m", "mypy", "--cache-dir", tmp_path / "cache", "--python-executable", installed[0], file]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    said = {int(line): text for line, text in re.findall(r"program\.py:(\d+): error: (.*)", done.stdout)}
    assert set(said) == set(range(2, 2 + len(MISTAKES))), done.stdout + done.stderr
    for (mistake, words), text in zip(MISTAKES.items(), said.values()):
        assert words in text, mistake


def test_type_checkers_see_the_names_that_are_there():
    tree = ast.parse((ROOT / "tfdl" / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == tfdl.HOMES
    assert {*seen, "__version__"} == set(tfdl.__all__)


MINORS = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)}
DEPENDENCIES = [Requirement(text) for text in PROJECT["dependencies"]]
OPTIONAL = [Requirement(text) for texts in EXTRAS.values() for text in texts]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("requirement", DEPENDENCIES + OPTIONAL, ids=str)
def test_dependency_has_a_lowest_version_and_a_pin_that_fits(requirement):
    assert any(part.operator == ">=" for part in requirement.specifier), "no lowest version"
    if requirement.name not in PINNED_ELSEWHERE:
        assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)]), "the pin does not fit"


OURS = {"tfdl", "tests", "tools"} | {file.stem for file in (ROOT / "tests").rglob("*.py")}


def imported(folder):
    """Top-level names of all that the files of a folder import, wherever in the file."""
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    return names - OURS - set(sys.stdlib_module_names)


def test_every_import_is_a_declared_dependency():
    homes = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in DEPENDENCIES + OPTIONAL}
    for name in sorted(set().union(*(imported(ROOT / folder) for folder in ("tfdl", "recipes", "tools", "tests")))):
        found = {canonicalize_name(home) for home in homes.get(name, [name])}
        assert found & declared, f"{name} of {', '.join(sorted(found))} is imported and not declared"
