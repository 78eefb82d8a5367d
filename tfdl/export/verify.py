"""Is an export folder still what it was?  Checksums of all files, and each file run again on the stored probe.

A folder may come from a stranger: links, files that the report does not list and paths out of the folder are refused,
and the operators of a SavedModel are read before TensorFlow loads it.
"""

import hashlib
import json
from pathlib import Path, PurePosixPath

import numpy as np

from tfdl.core.archives import read_zip
from tfdl.core.files import read_json, sha256
from tfdl.core.graphs import check_saved_model
from tfdl.core.task import Task
from tfdl.export.parity import TOLERANCES, ExportError, compare, failures
from tfdl.export.savedmodel import load_entry_points, load_saved_model
from tfdl.export.tflite import refuse_foreign, run_tflite

REPORT = "report.json"
SCHEMAS = (1, 2)  # that can be read; reports of the first have no digest
DISTANCES = ("difference", "noise", "own_noise")
# A file against its own outputs of the export: other machines' kernels round differently, by a quantum in int8.
OWN = {
    "savedmodel": {"difference": 1e-4, "agreement": 0.0},
    "tflite": {"difference": 1e-4, "agreement": 0.0},
    "tflite_float16": {"noise": 1e-2, "agreement": 0.0},
    "tflite_dynamic": {"noise": 0.1, "agreement": 0.0},
    "tflite_int4": {"noise": 0.1, "agreement": 0.0},
    "tflite_int8": {"noise": 0.1, "agreement": 0.0},
    "tflite_int16": {"noise": 0.1, "agreement": 0.0},
}


def verify_export(folder) -> dict:
    """Checks an export folder against its own report.

    Returns {"files": {path: "ok"}, "artifacts": {name: {"difference", "noise", "own_noise"}}}: each file's checksum,
    and each artifact's distance from the live model's stored outputs and from its own.

    Raises:
        FileNotFoundError: there is no folder, or no report.json in it.
        ExportError: the message lists every mismatch.
    """
    folder = Path(folder)
    report = read_report(folder)
    files, rows = report["files"], report["artifacts"]
    problems = foreign(folder, files)
    mismatches = {path: problem for path, row in files.items() if (problem := changed(folder / path, row))}
    problems += [f"{path}: {problem}" for path, problem in mismatches.items()]
    problems += wrong_facts(folder, report, mismatches)
    result = {"files": {path: mismatches.get(path, "ok") for path in files}, "artifacts": {}}
    if "probe.npz" in mismatches or "probe.npz" not in files:
        problems.append("probe.npz is unusable, so that no file was run")
        rows = {}
    try:
        probe = read_probe(folder / "probe.npz") if rows else {}
    except Exception as error:  # a damaged archive can fail in any way in NumPy
        problems.append(f"probe.npz: cannot be read ({type(error).__name__}: {first_line(error)})")
        rows = {}
    for name, row in rows.items():
        try:
            result["artifacts"][name] = parity(folder / name, name, row, probe)
        except ExportError as error:
            problems.append(f"{name}: {error}")
        except Exception as error:  # a damaged file can fail in any way in the runtime; it is a mismatch all the same
            problems.append(f"{name}: cannot be run ({type(error).__name__}: {first_line(error)})")
    if problems:
        raise ExportError(f"{folder} is not what was exported:\n" + "\n".join(f"  {problem}" for problem in problems))
    return result


def read_report(folder):
    """report.json, with the keys and types that are read here.

    Raises:
        FileNotFoundError: there is no folder, or no report.json in it.
        ExportError: the report is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; export_model(model, {str(folder)!r}) writes one.")
    path = folder / REPORT
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no {REPORT}, so it is no export; export_model writes one.")
    if path.is_symlink():
        raise ExportError(f"{path} is a symbolic link; export the model again.")
    try:
        report = read_json(path, kind=dict)
        check_report(report)
    except ValueError as error:
        raise ExportError(f"{folder}: {REPORT} is damaged ({error}); export the model again.") from error
    return report


def check_report(report):
    """Raises ValueError with what is odd in a report."""
    if type(report.get("schema")) is not int or report["schema"] not in SCHEMAS:
        raise ValueError(f"schema {report.get('schema')!r} is none of {', '.join(map(str, SCHEMAS))}")
    for key in ("files", "artifacts"):
        if not isinstance(report.get(key), dict):
            raise ValueError(f"{key!r} is no table")
    for path, row in report["files"].items():
        if not is_plain(path):
            raise ValueError(f"{path!r} is no path below the folder")
        if not isinstance(row, dict) or type(row.get("bytes")) is not int or not isinstance(row.get("sha256"), str):
            raise ValueError(f"the file {path!r} has no checksum")
    for name, row in report["artifacts"].items():
        if not isinstance(row, dict) or row.get("format") not in OWN:
            raise ValueError(f"the artifact {name!r} has no known format")
        if not isinstance(row.get("signatures", {}), dict):
            raise ValueError(f"the signatures of the artifact {name!r} are no table")
        if not any(path == name or path.startswith(f"{name}/") for path in report["files"]):
            raise ValueError(f"the artifact {name!r} is not among the files")
    labels = report.get("labels")
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise ValueError("the labels are no list of names")


def is_plain(path):
    """Whether it is written as `checksums` writes it: a relative path with /, without . and .. in it."""
    parts = PurePosixPath(path).parts
    return bool(parts) and "/".join(parts) == path and ".." not in parts and "\\" not in path and "\0" not in path


def foreign(folder, files):
    """What lies in the folder and does not belong there, in words."""
    problems = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            problems.append(f"{name!r} is a symbolic link")
        elif not path.is_dir() and name not in files and name != REPORT:
            problems.append(f"{name!r} was not exported; remove it")
    return problems


def changed(path, row):
    """What is wrong with the file, in words; None if it is as recorded."""
    if path.is_symlink() or not path.is_file():
        return "is missing"
    if path.stat().st_size != row["bytes"]:
        return f"has {path.stat().st_size} bytes instead of {row['bytes']}"
    return None if sha256(path) == row["sha256"] else "has another sha256: its content was changed"


def wrong_facts(folder, report, mismatches):
    """What the report says of itself, of the labels and of the task and is not so, in words."""
    problems = []
    is_old = report["schema"] == 1 and "digest" not in report
    if not is_old and report.get("digest") != digest(report):
        problems.append(f"{REPORT} was changed after the export")
    labels, path = report.get("labels"), "labels.txt"
    if (labels is None) == (path in report["files"]):
        problems.append(f"{path} and the labels in {REPORT} do not belong together")
    elif labels is not None and path not in mismatches:
        listed = (folder / path).read_text(encoding="utf-8", errors="replace").splitlines()
        if listed != labels:
            problems.append(f"{path} does not have the labels of {REPORT}")
    if report.get("task") is not None:
        try:
            task = Task.from_json(report["task"])
        except (ValueError, TypeError) as error:
            return [*problems, f"the task in {REPORT} is damaged ({error})"]
        if labels is not None and list(task.labels) != labels:
            problems.append(f"the task in {REPORT} has other labels than the report itself")
    return problems


def digest(report):
    """SHA-256 of a report without its digest, as text that does not depend on the order of keys."""
    content = {key: value for key, value in report.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_probe(path):
    """{"inputs" | "live" | artifact: {tensor name: array}} of probe.npz."""
    parts = {}
    read_zip(path).close()
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            part, name = key.split("/", 1)
            parts.setdefault(part, {})[name] = stored[key]
    return parts


def parity(path, name, row, probe):
    """Runs a file on the probe; returns its distances from the live model's outputs and from its own.

    Of a model with several entry points, the largest ones, and each under "signatures".
    """
    form, names = row["format"], row.get("signatures")
    if form == "savedmodel":
        check_saved_model(path)
        run = load_saved_model(path) if names is None else load_entry_points(path)
    else:
        content = path.read_bytes()
        refuse_foreign(content)

        def run(inputs, signature=None):
            return run_tflite(content, inputs, signature=signature)

    if names is None:
        return distances(run(probe["inputs"]), probe["live"], probe[name], form)
    rows = {}
    for point in names:
        inputs, live, own = (below(probe[part], point) for part in ("inputs", "live", name))
        try:
            rows[point] = distances(run(inputs, point), live, own, form)
        except ExportError as error:
            raise ExportError(f"{point}: {error}") from error
    return {key: max(row[key] for row in rows.values()) for key in DISTANCES} | {"signatures": rows}


def below(arrays, point):
    """{"entry point/tensor": array} -> {tensor: array} of that entry point."""
    return {name.removeprefix(f"{point}/"): array for name, array in arrays.items() if name.startswith(f"{point}/")}


def distances(outputs, live, own, form):
    """How far outputs are from the live model's and from the file's own.  Raises ExportError if that is too far."""
    live, own = compare(outputs, live), compare(outputs, own)
    tolerance = {**TOLERANCES[form], "agreement": 0.0}  # eight samples are too few for a fraction
    broken = [f"against the live model, {text}" for text in failures(live, tolerance)]
    broken += [f"against its own outputs, {text}" for text in failures(own, OWN[form])]
    if broken:
        raise ExportError("; ".join(broken))
    return dict(zip(DISTANCES, (live["difference"], live["noise"], own["noise"])))


def first_line(error):
    return (str(error).strip().splitlines() or [""])[0][:200]
