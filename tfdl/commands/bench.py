"""`tfdl bench [FILE.tflite ...]`: how long each file takes on this machine, and its speed against the first one."""

import argparse
from pathlib import Path

PLACES = ("saved_models", "runs")  # searched below the working directory when no file is named


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl bench", description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE.tflite", help=f"default: all in {', '.join(PLACES)}"
    )
    parser.add_argument("--threads", type=int, default=1, help="default: 1, as on a phone's one big core")
    args = parser.parse_args(argv)
    files = args.files or [file for place in PLACES for file in sorted(Path(place).rglob("*.tflite"))]
    if not files:
        raise FileNotFoundError(
            f"There is no .tflite file in {' or '.join(PLACES)}; name one, or make one with `make demo`."
        )
    if missing := [str(file) for file in files if not file.is_file()]:
        raise FileNotFoundError(f"There is no file {', '.join(missing)}.")
    print(table(files, measure(files, args.threads)))
    return 0


def measure(files, threads):
    """What `benchmark_tflite` says of each file."""
    from tfdl.export.benchmark import benchmark_tflite

    return [benchmark_tflite(file.read_bytes(), threads=threads) for file in files]


def table(files, results):
    """Aligned lines; speed is the first file's median over this file's."""
    width = max(len(str(file)) for file in files)
    lines = [f"{'file':<{width}}  {'KB':>8}  {'median ms':>9}  {'p90 ms':>8}  {'speed':>6}  {'partitions':>10}"]
    for file, result in zip(files, results):
        lines.append(
            f"{file!s:<{width}}  {file.stat().st_size / 1e3:8.0f}  {result['median_ms']:9.3f}  {result['p90_ms']:8.3f}"
            f"  {results[0]['median_ms'] / result['median_ms']:6.2f}  {result['partitions']:10d}"
        )
    return "\n".join(lines)
