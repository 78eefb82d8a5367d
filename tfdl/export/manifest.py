"""`saved_models/`: exports kept under a name, and MANIFEST.json, which tells where each came from."""

import json
import shutil
from pathlib import Path

from tfdl.core.files import checksums, replaced, sha256, write_json
from tfdl.export.verify import verify_export

MANIFEST = Path("saved_models/MANIFEST.json")


def publish(folder, *, name, recipe, metric, command, commit, root=MANIFEST.parent):
    """Verifies the export in `folder`, copies it to `root`/`name` and writes its row; returns the row.

    See `register` for the other arguments.  Raises what `verify_export` raises.
    """
    check_name(name)
    verify_export(folder)
    with replaced(Path(root) / name, marker="report.json") as fresh:
        shutil.copytree(folder, fresh, dirs_exist_ok=True)
    return register(
        Path(root) / name,
        name=name,
        recipe=recipe,
        metric=metric,
        command=command,
        commit=commit,
        manifest=Path(root) / MANIFEST.name,
    )


def register(folder, *, name, recipe, metric, command, commit, manifest=MANIFEST):
    """Writes the row of an export folder to the manifest, in place of an older row of that name; returns the row.

    recipe: the script, from the repository's root; metric: {metric name: number}; command: what to type to get it;
    commit: the one it was trained at.
    sha256 is that of report.json, which holds the checksum of each other file; bytes counts all files.
    Raises FileNotFoundError without report.json, ValueError for a damaged manifest.
    """
    check_name(name)
    report, manifest = Path(folder) / "report.json", Path(manifest)
    if not report.exists():
        raise FileNotFoundError(f"{folder} holds no report.json, so it is no export; export_model writes one")
    row = {
        "name": name,
        "recipe": str(recipe),
        "metric": {key: float(value) for key, value in metric.items()},
        "command": command,
        "commit": commit,
        "sha256": sha256(report),
        "bytes": sum(file["bytes"] for file in checksums(folder).values()),
    }
    rows = [old for old in read_manifest(manifest) if old["name"] != name]
    write_json(manifest, sorted([*rows, row], key=lambda row: row["name"]))
    return row


def read_manifest(manifest=MANIFEST):
    """The rows of a manifest, [] where there is none yet."""
    if not Path(manifest).exists():
        return []
    try:
        rows = json.loads(Path(manifest).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{manifest} is no JSON ({error}); restore it from git") from error
    if not isinstance(rows, list):
        raise ValueError(f"{manifest} holds a {type(rows).__name__} instead of a list of rows; restore it from git")
    return rows


def check_name(name):
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f"name={name!r} is no plain folder name; use letters, digits and _, as in 'mobilenet_digits'")
