"""Is an export folder still what it was?  Checksums of all files, and each file run again on the stored probe."""

import json
from pathlib import Path

import numpy as np

from tfdl.core.files import sha256
from tfdl.export.parity import GATES, ExportError, compare, failures
from tfdl.export.savedmodel import load_saved_model
from tfdl.export.tflite import refuse_foreign, run_tflite

# A file against its own outputs of the export: other machines' kernels round differently, by a quantum in int8.
OWN = {
    "savedmodel": {"difference": 1e-4, "agreement": 0.0},
    "tflite": {"difference": 1e-4, "agreement": 0.0},
    "tflite_float16": {"noise": 1e-2, "agreement": 0.0},
    "tflite_int8": {"noise": 0.1, "agreement": 0.0},
}


def verify_export(folder):
    """Checks an export folder against its own report.

    Returns {"files": {path: "ok"}, "artifacts": {name: {"difference", "noise", "own_noise"}}}: each file's checksum,
    and each artifact's distance from the live model's stored outputs and from its own.
    Raises FileNotFoundError without a folder or report.json, ExportError that lists every mismatch.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; export_model(model, {str(folder)!r}) writes one")
    if not (folder / "report.json").exists():
        raise FileNotFoundError(f"{folder} holds no report.json, so it is no export; export_model writes one")
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        files, rows = report["files"], report["artifacts"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder}: report.json is damaged ({error!r}); export the model again") from error
    mismatches = {path: problem for path, row in files.items() if (problem := changed(folder / path, row))}
    result = {"files": {path: mismatches.get(path, "ok") for path in files}, "artifacts": {}}
    problems = [f"{path}: {problem}" for path, problem in mismatches.items()]
    if "probe.npz" in mismatches or "probe.npz" not in files:
        problems.append("probe.npz is unusable, so that no file was run")
        rows = {}
    probe = read_probe(folder / "probe.npz") if rows else {}
    for name, row in rows.items():
        try:
            result["artifacts"][name] = parity(folder / name, name, row["format"], probe)
        except ExportError as error:
            problems.append(f"{name}: {error}")
        except Exception as error:  # a damaged file can fail in any way in the runtime; it is a mismatch all the same
            problems.append(f"{name}: cannot be run ({type(error).__name__}: {str(error).strip()[:200]})")
    if problems:
        raise ExportError(f"{folder} is not what was exported:\n" + "\n".join(f"  {problem}" for problem in problems))
    return result


def changed(path, row):
    """What is wrong with the file, in words; None if it is as recorded."""
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != row["bytes"]:
        return f"has {path.stat().st_size} bytes instead of {row['bytes']}"
    return None if sha256(path) == row["sha256"] else "has another sha256: its content was changed"


def read_probe(path):
    """{"inputs" | "live" | artifact: {tensor name: array}} of probe.npz."""
    parts = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            part, name = key.split("/", 1)
            parts.setdefault(part, {})[name] = stored[key]
    return parts


def parity(path, name, form, probe):
    if form == "savedmodel":
        outputs = load_saved_model(path)(probe["inputs"])
    else:
        content = path.read_bytes()
        refuse_foreign(content)
        outputs = run_tflite(content, probe["inputs"])
    live, own = compare(outputs, probe["live"]), compare(outputs, probe[name])
    gate = {**GATES[form], "agreement": 0.0}  # eight samples are too few for a share
    broken = [f"against the live model, {text}" for text in failures(live, gate)]
    broken += [f"against its own outputs, {text}" for text in failures(own, OWN[form])]
    if broken:
        raise ExportError("; ".join(broken))
    return {"difference": live["difference"], "noise": live["noise"], "own_noise": own["noise"]}
