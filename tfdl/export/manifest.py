"""`saved_models/`: exports kept under a name, and MANIFEST.json, which tells where each came from."""

import math
import re
import shutil
from numbers import Real
from pathlib import Path

from tfdl.core.files import checksums, read_json, replaced, sha256, write_json
from tfdl.export.verify import REPORT, read_report, verify_export

MANIFEST = Path("saved_models/MANIFEST.json")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")


def publish(folder, *, name, recipe, metric, command, commit, root=MANIFEST.parent):
    """Verifies the export in `folder`, copies it to `root`/`name` and writes its row; returns the row.

    Only the files that report.json lists are copied.  See `register` for the other arguments.

    Raises:
        ValueError: the name, a number or the manifest is wrong.
        FileNotFoundError, ExportError: see `verify_export`.
    """
    folder, root = Path(folder), Path(root)
    check_name(name)
    facts = checked_row(name=name, recipe=recipe, metric=metric, command=command, commit=commit)
    read_manifest(root / MANIFEST.name)
    verify_export(folder)
    with replaced(root / name, marker=REPORT) as fresh:
        for path in [REPORT, *read_report(folder)["files"]]:
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, fresh / path, follow_symlinks=False)
    return register(root / name, manifest=root / MANIFEST.name, **facts)


def register(folder, *, name, recipe, metric, command, commit, manifest=MANIFEST):
    """Writes the row of an export folder to the manifest, in place of an older row of that name; returns the row.

    recipe: the script, from the repository's root; metric: {metric name: number}; command: what to type to get it;
    commit: the one it was trained at.
    sha256 is that of report.json, which holds the checksum of each other file; bytes counts all files.

    Raises:
        FileNotFoundError: there is no report.json.
        ValueError: the name or a metric is wrong, or the manifest is damaged.
    """
    check_name(name)
    report, manifest = Path(folder) / REPORT, Path(manifest)
    if not report.exists():
        raise FileNotFoundError(f"{folder} holds no {REPORT}, so it is no export; export_model writes one.")
    row = checked_row(name=name, recipe=recipe, metric=metric, command=command, commit=commit)
    row["sha256"] = sha256(report)
    row["bytes"] = sum(file["bytes"] for file in checksums(folder).values())
    rows = [old for old in read_manifest(manifest) if old["name"] != name]
    write_json(manifest, sorted([*rows, row], key=lambda row: row["name"]))
    return row


def checked_row(*, name, recipe, metric, command, commit):
    """The row's facts.  Raises ValueError for values of another type and numbers that are none."""
    for key, value in (("recipe", str(recipe)), ("command", command), ("commit", commit or "")):
        if not isinstance(value, str) or value != " ".join(value.splitlines()):
            raise ValueError(f"{key} is {value!r}; give a text of one line.")
    if not isinstance(metric, dict):
        raise ValueError(f"metric is {metric!r}; give {{name: number}}.")
    for key, value in metric.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"The metric {key!r} is {value!r}; give a finite number.")
    numbers = {key: float(value) for key, value in metric.items()}
    return {"name": name, "recipe": str(recipe), "metric": numbers, "command": command, "commit": commit}


def read_manifest(manifest=MANIFEST):
    """The rows of a manifest, [] where there is none yet.  Raises ValueError for a damaged one."""
    if not Path(manifest).exists():
        return []
    rows = read_json(manifest)
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows
    ):
        raise ValueError(f"{manifest} does not hold a list of rows, each with a name; restore it from git.")
    return rows


def check_name(name):
    """Raises ValueError for what cannot be a folder's name everywhere, or reads like a flag."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"The name {name!r} is no plain folder name; use letters, digits and _, then also . + -, as in "
            "'mobilenet_digits'."
        )
