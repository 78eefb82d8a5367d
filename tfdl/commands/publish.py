"""`tfdl publish RUN [NAME]`: keep a run's export in saved_models/NAME, listed in MANIFEST.json there."""

import argparse
import shlex
from pathlib import Path

from tfdl.core.files import read_json


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl publish", description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run folder, with an export in it")
    parser.add_argument("name", nargs="?", help="default: the run's own name")
    args = parser.parse_args(argv)
    summary = read_json(args.run / "summary.json")

    from tfdl.export.manifest import MANIFEST, publish

    name = args.name or summary["name"]
    recipe = shlex.split(summary["command"])[1]
    row = publish(
        args.run / "export",
        name=name,
        recipe=recipe,
        metric=summary["metrics"],
        command=summary["command"],
        commit=summary["commit"],
    )
    print(f"{args.run / 'export'} -> {MANIFEST.parent / name} ({row['bytes']:,} bytes), listed in {MANIFEST}")
    return 0
