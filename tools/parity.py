"""How far our models are from other libraries' with the same weights (`make parity`).

    python tools/parity.py                    all comparisons: print the table, write results/parity.json
    python tools/parity.py resnet vit         only these models: their rows of the file are replaced

The comparisons are those of the tests (tests/parity/cases.py).  They need the extra `parity`; `make parity` installs it
beside the ordinary environment, whose place is .venv-parity.
"""

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from tfdl.core.files import write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results" / "parity.json"
LIBRARIES = ("torch", "torchvision", "timm", "transformers")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="catalog keys; default: all")
    args = parser.parse_args(argv)
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        print(f"The extra `parity` is not installed ({', '.join(missing)} missing): use make parity.", file=sys.stderr)
        return 1
    sys.path.insert(0, str(ROOT))  # whence the tests are imported
    from tests.parity.cases import CASES, run

    known = sorted({case.model for case in CASES})
    if unknown := set(args.models) - set(known):
        print(f"No comparison of {', '.join(sorted(unknown))}; there are {', '.join(known)}.", file=sys.stderr)
        return 1
    chosen = [case for case in CASES if not args.models or case.model in args.models]
    rows = []
    for case in chosen:
        rows.append(run(case))
        print(line(rows[-1]), flush=True)
    write_json(RESULTS, document(merged(rows, stored())))
    return 0


def stored():
    """The rows of the last time."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.is_file() else []


def merged(rows, before):
    """The new rows, and those of models that have none, in one order."""
    models = {row["model"] for row in rows}
    order = ("model", "variant", "library", "network", "image")
    return sorted([*rows, *(r for r in before if r["model"] not in models)], key=lambda r: [r[key] for key in order])


def document(rows):
    """The file: largest differences of logits and feature maps, one row a comparison."""
    return {"title": "Differences from other libraries, same weights", "rows": rows}


def line(row):
    """One row for people."""
    maps = f"{row['maps']:.1e} {row['worst_map']}" if row["maps"] is not None else ""
    name = f"{row['library']} {row['version']} {row['network']}"
    differences = f"{row['logits']:.1e}  {row['relative']:.1e}  {maps}"
    return f"{row['model']:<13}{row['variant']:<16}{name:<52}{row['parameters']:>12,}  {differences}"


if __name__ == "__main__":
    sys.exit(main())
