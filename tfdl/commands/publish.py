"""`tfdl publish RUN [NAME]`: keep a run's export in saved_models/NAME, listed in MANIFEST.json there."""

import argparse
import shlex
import sys
from pathlib import Path

from tfdl.core.files import read_json, refuse_link


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl publish", description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run folder, with an export in it")
    parser.add_argument("name", nargs="?", help="default: the run's own name")
    args = parser.parse_args(argv)
    for name in ("summary.json", "export"):
        refuse_link(args.run / name)
    summary = read_json(args.run / "summary.json", kind=dict)
    for key, kind in (("name", str), ("command", str), ("metrics", dict)):
        if not isinstance(summary.get(key), kind):
            raise ValueError(f"{args.run / 'summary.json'} has no {key}, so this is no finished run.")
    command = summary["command"]

    from tfdl.export.manifest import MANIFEST, publish
    from tfdl.export.parity import ExportError

    name = args.name or summary["name"]
    try:
        row = publish(
            args.run / "export",
            name=name,
            recipe=recipe_of(command),
            metric=summary["metrics"],
            command=command,
            commit=summary.get("commit"),
        )
    except ExportError as mismatch:
        print(mismatch, file=sys.stderr)
        return 1
    print(f"{args.run / 'export'} -> {MANIFEST.parent / name} ({row['bytes']:,} bytes), listed in {MANIFEST}")
    return 0


def recipe_of(command):
    """The script of `python SCRIPT ...`, or the recipe of `tfdl run RECIPE ...`.  Raises ValueError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"The run's command {command!r} cannot be read ({error}).") from error
    words = words[2:] if words[:2] == ["tfdl", "run"] else words[1:]
    if not words:
        raise ValueError(f"The run's command {command!r} names no recipe.")
    return words[0]
