"""`tfdl bench [FILE.tflite or FOLDER ...]`: how long each file takes here, and its speed against the first one."""

import argparse
from pathlib import Path

PLACES = ("saved_models", "runs")  # searched below the working directory when no file is named
MOST_THREADS = 256


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl bench", description=__doc__)
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE.tflite",
        help=f"a file, or a folder with files; default: all in {', '.join(PLACES)}",
    )
    parser.add_argument("--threads", type=int, default=1, help="default: 1, as on a phone's one big core")
    args = parser.parse_args(argv)
    if not 1 <= args.threads <= MOST_THREADS:
        raise ValueError(f"--threads is {args.threads}; give a number from 1 to {MOST_THREADS}.")
    files = found(args.files)
    print(table(measure(files, args.threads)))
    return 0


def found(places):
    """The .tflite files that are named, or lie in the folders that are named or in `PLACES`.

    Raises:
        FileNotFoundError: there are none, or one that is named does not exist.
        ValueError: another kind of file is named.
    """
    files = []
    for place in places or [Path(place) for place in PLACES if Path(place).is_dir()]:
        inside = [file for file in sorted(place.rglob("*.tflite")) if file.is_file()] if place.is_dir() else [place]
        if place.is_dir() and places and not inside:
            raise FileNotFoundError(f"There is no .tflite file in the folder {place}; `tfdl export` writes some.")
        files += inside
    if not files:
        raise FileNotFoundError(
            f"There is no .tflite file in {' or '.join(PLACES)}; name one, or make one with `make demo`."
        )
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise FileNotFoundError(f"There is no file {', '.join(missing)}.")
    for file in files:
        if file.suffix != ".tflite" or not file.is_file():
            raise ValueError(f"{file} is no .tflite file; `tfdl export` makes one of a .keras file or a run.")
    return files


def measure(files, threads):
    """Rows (name, bytes, what its benchmark says): one a file, or one for each signature where it has several.

    Raises:
        ValueError: a file cannot be run.
    """
    from tfdl.export.benchmark import benchmark_file

    rows = []
    for file in files:
        content = file.read_bytes()
        try:
            for signature, row in benchmark_file(content, threads=threads).items():
                name = str(file) if signature is None else f"{file} {signature}"
                rows.append((name, len(content), row))
        except (ValueError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{file} cannot be run by LiteRT: {reason}") from error
    return rows


def table(rows):
    """Aligned lines; speed is the first file's median over this file's."""
    width = max(len(name) for name, *_ in rows)
    first = rows[0][2]["median_ms"]
    lines = [f"{'file':<{width}}  {'KB':>8}  {'median ms':>9}  {'p90 ms':>8}  {'speed':>6}  {'partitions':>10}"]
    for name, size, row in rows:
        lines.append(
            f"{name:<{width}}  {size / 1e3:8.0f}  {row['median_ms']:9.3f}  {row['p90_ms']:8.3f}"
            f"  {first / row['median_ms']:6.2f}  {row.get('partitions', '-'):>10}"
        )
    return "\n".join(lines)
