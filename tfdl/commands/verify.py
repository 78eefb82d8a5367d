"""`tfdl verify DIR`: are the exported files still what they were?  Exit code 0 if so, 1 on any mismatch."""

import argparse
import sys
from pathlib import Path

import tfdl


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl verify", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that the export has written")
    folder = parser.parse_args(argv).folder
    try:
        result = tfdl.verify_export(folder)
    except ValueError as mismatch:
        print(mismatch, file=sys.stderr)
        return 1
    print(table(result))
    print(f"{folder}: {len(result['files'])} files and {len(result['artifacts'])} artifacts are as they were exported.")
    return 0


def table(result):
    """Checksums, then how far each artifact is from the live model's stored outputs."""
    rows = {}
    for name, row in result["artifacts"].items():
        rows |= (
            {f"{name} {point}": part for point, part in row["signatures"].items()}
            if "signatures" in row
            else {name: row}
        )
    width = max(map(len, [*result["files"], *rows]))
    lines = [f"{'file':<{width}}  checksum", *(f"{name:<{width}}  {state}" for name, state in result["files"].items())]
    lines += ["", f"{'artifact':<{width}}  max difference from the live model"]
    lines += [f"{name:<{width}}  {row['difference']:.2e}" for name, row in rows.items()]
    return "\n".join(lines)
