"""Installs tfdl as a wheel on each Python that it supports and this machine has, and tries it in an empty folder.

python tools/test_pythons.py              all of them (`make test-pythons`)
python tools/test_pythons.py 3.13         this one

An environment of 3 GB each stays in .venv-3.11, .venv-3.12 and so on.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMOKE = "--run.smoke --run.out"
TRIALS = (
    "--version",
    "list",
    "show resnet",
    "run",
    f"run train_perceptron {SMOKE} perceptron",
    f"run classify_images --data digits --variant nano {SMOKE} digits",
    "verify digits/export",
)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="such as 3.13; without any, all")
    asked = parser.parse_args(argv).versions
    known = supported()
    if unknown := set(asked) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: tfdl supports Python {', '.join(known)}")
    found = {version: python for version in asked or known if (python := interpreter(version))}
    for version in [version for version in asked or known if version not in found]:
        print(f"Python {version}: not on this machine (looked in PATH and ~/.pyenv/versions)")
    failed = [version for version, python in found.items() if not passes(version, python)]
    return 1 if failed or not found or (asked and len(found) < len(asked)) else 0


def supported():
    """The versions that pyproject.toml names."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    return [match[1] for text in classifiers if (match := re.search(r"Python :: (3\.\d+)$", text))]


def interpreter(version):
    """The path of a Python of that version, or None.  A name in PATH can be one of pyenv's, with nothing behind it."""
    places = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
    for place in [shutil.which(f"python{version}"), *places]:
        if place and tells_version(place) == version:
            return Path(place)
    return None


def tells_version(python):
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def passes(version, python):
    """Whether installation and all trials went well; says what did not."""
    environment = ROOT / f".venv-{version}"
    own = environment / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", environment], check=True)
    start = time.perf_counter()
    install = [own, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", ROOT]
    if subprocess.run(install).returncode:
        print(f"Python {version}: tfdl cannot be installed (above: why)")
        return False
    print(f"Python {version}: installed in {time.perf_counter() - start:.0f} s")
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TFDL_DATA_DIR")}
    with tempfile.TemporaryDirectory() as folder:
        for words in TRIALS:
            start = time.perf_counter()
            command = [environment / "bin" / "tfdl", *words.split()]
            done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
            print(f"  tfdl {words:<70} code {done.returncode}  {time.perf_counter() - start:5.1f} s", flush=True)
            if done.returncode:
                print(done.stdout[-2000:] + done.stderr[-4000:])
                return False
    return True


if __name__ == "__main__":
    sys.exit(main())
