"""Speed of reading pictures against Keras's loader on this machine, as ratios: above 1 ours is faster; and memory.

    python tools/bench_data.py             all of it (10 minutes on two cores)
    python tools/bench_data.py --busy      CPU seconds in place of wall time, while other programs run too
    python tools/bench_data.py --kinds tiny    one kind, and memory; the others' rows stay
    python tools/bench_data.py --quick     a look: few pictures, few pairs, nothing kept

Both read the same folder of JPEG files, made here from noise and shapes, in shuffled batches of 32: ours by
`tfdl.data.images.load`, theirs by `keras.utils.image_dataset_from_directory`.  Epochs run in turns and each pair gives
a ratio, so that a slow moment of the machine hits both.  Ours are scaled to [0, 1] and theirs are not.

    photos        500 x 375 pixels to 224 x 224
    large photos  4000 x 3000 pixels to 224 x 224
    tiny          40 x 40 pixels as they are
    in memory     the photos again, as a set is read that fits in memory: all epochs of a training

Quality is the peak signal-to-noise ratio against Pillow's antialiased resizing, in decibels.  Memory is what a fresh
process takes at most on top of what TensorFlow does.  All goes to results/bench_data.json, seconds never do.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from tfdl.core import pictures
from tfdl.core.files import read_json, write_json
from tfdl.core.provenance import commit, versions
from tfdl.data import images

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # whence the other tools are imported
from tools.bench_vision import document  # noqa: E402 (after the path)

RESULTS = ROOT / "results" / "bench_data.json"
TITLE = "Reading pictures: ours over keras.utils.image_dataset_from_directory, medians and quartiles"
BATCH = 32
TRAINING_EPOCHS = 10  # of the row "in memory"
QUALITY_FILES = 8
MEMORY = "--memory-of"  # this program again, in a process of its own


@dataclass(frozen=True)
class Kind:
    """Pictures to read."""

    stored: tuple[int, int]  # height, width
    image_size: int
    files: int  # in an epoch
    different: int  # the others are links to these
    target: float


KINDS = {
    "photos": Kind((375, 500), 224, 8192, 64, 1.2),
    "large photos": Kind((3000, 4000), 224, 192, 4, 1.5),
    "tiny": Kind((40, 40), 40, 65_536, 256, 1.0),
}
QUICK = {
    "photos": Kind((375, 500), 224, 40, 4, 1.2),
    "large photos": Kind((750, 1000), 56, 8, 2, 1.5),
    "tiny": Kind((40, 40), 40, 200, 20, 1.0),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="default: all")
    parser.add_argument("--many", type=int, default=100_000, help="small files for the row on memory; default: 100000")
    parser.add_argument("--pairs", type=int, default=7, help="epochs of each; default: 7")
    parser.add_argument("--busy", action="store_true", help="CPU seconds in place of wall time")
    parser.add_argument("--quick", action="store_true", help="few pictures, few pairs; nothing is written")
    parser.add_argument(MEMORY, nargs=3, metavar=("FOLDER", "SIZE", "HELD"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.memory_of:
        folder, size, held = args.memory_of
        print(json.dumps(memory_of(folder, int(size), held == "held")))
        return 0
    if args.quick:
        args.pairs, args.many = 2, 300
    clock = time.process_time if args.busy else time.perf_counter
    kinds = QUICK if args.quick else KINDS
    rows, start = [], commit()
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        for name in args.kinds:
            folder = make_folder(root / name.replace(" ", "_"), kinds[name])
            rows.append(compared(name, folder, kinds[name], args.pairs, clock))
            print(line(rows[-1]), flush=True)
            if name == "photos":
                rows.append(compared_in_memory(folder, kinds[name], args.pairs, clock))
                print(line(rows[-1]), flush=True)
        memory = memory_rows(root, kinds, args.many, small=200 if args.quick else 1000)
    for row in memory:
        print(f"{row['what']:<50}{row['megabytes']:8.1f} MB", flush=True)
    if not args.quick:
        circumstances = {
            "versions": versions(),
            "cores": os.cpu_count(),
            "clock": "CPU seconds" if args.busy else "wall time",
        }
        before = read_json(RESULTS) if RESULTS.is_file() else {}
        rows = [row | {"commit": start} for row in rows]
        write_json(RESULTS, document(TITLE, ("kind",), rows, circumstances, before) | {"memory": memory})
    return 0


def line(row):
    """One row for people."""
    below = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']}{below}"
    quality = ", ".join(f"{row[key]:.1f}" for key in ("decibels", "decibels_of_keras"))
    return f"{row['kind']:<14}{row['stored']:>11} to {row['image']:<4}{ratio}   decibels, ours and Keras's: {quality}"


# Speed


def compared(name, folder, kind, pairs, clock):
    """A row: epochs that are read anew."""
    ours, theirs = read_anew(folder, kind.image_size).train, keras_loader(folder, kind.image_size)
    ratios = paired(lambda: drain(ours), lambda: drain(theirs), pairs, clock)
    return row(name, folder, kind, ratios, kind.target)


def compared_in_memory(folder, kind, pairs, clock):
    """A row: the set is loaded, which decodes it, and read `TRAINING_EPOCHS` times."""

    def ours():
        data = images.load(str(folder), image_size=kind.image_size, batch_size=BATCH)
        for _ in range(TRAINING_EPOCHS):
            drain(data.train)

    def theirs():
        data = keras_loader(folder, kind.image_size)
        for _ in range(TRAINING_EPOCHS):
            drain(data)

    ratios = paired(ours, theirs, max(2, pairs // 3), clock)
    return row("in memory", folder, kind, ratios, kind.target)


def read_anew(folder, image_size):
    """Our loader, as it is for sets that memory can't hold."""
    held = images.CACHE_BYTES
    images.CACHE_BYTES = 0
    try:
        return images.load(str(folder), image_size=image_size, batch_size=BATCH)
    finally:
        images.CACHE_BYTES = held


def keras_loader(folder, image_size):
    """Keras's, of the same files: those of our training split."""
    return keras.utils.image_dataset_from_directory(
        str(Path(folder) / "train"), image_size=(image_size, image_size), batch_size=BATCH, seed=0, verbose=False
    )


def drain(dataset):
    for _ in dataset:
        pass


def paired(ours, theirs, pairs, clock):
    """Seconds of `theirs` over seconds of `ours`, one ratio for each time that both were called, in turns."""
    ours(), theirs()  # the files are in the system's memory now
    ratios = []
    for _ in range(pairs):
        before = clock()
        ours()
        between = clock()
        theirs()
        ratios.append((clock() - between) / (between - before))
    return ratios


def row(name, folder, kind, ratios, target):
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75)).round(3).tolist()
    ours, theirs = quality(folder, kind.image_size)
    return {
        "kind": name,
        "stored": f"{kind.stored[1]}x{kind.stored[0]}",
        "image": kind.image_size,
        "files": kind.files,
        "ratio": median,
        "low": low,
        "high": high,
        "pairs": len(ratios),
        "target": target,
        "decibels": ours,
        "decibels_of_keras": theirs,
    }


# Quality


def quality(folder, image_size):
    """Decibels against Pillow's antialiased resizing, ours and those of Keras's loader; 99 where nothing differs."""
    files = sorted((Path(folder) / "train").rglob("*.jpg"))[:QUALITY_FILES]
    shape = (image_size, image_size, 3)
    ours, theirs = [], []
    for file in files:
        with Image.open(file) as image:
            expected = np.asarray(image.convert("RGB").resize(shape[:2], Image.BILINEAR), "float64")
        ours.append(np.square(pictures.read(str(file), shape).numpy() - expected).mean())
        decoded = tf.io.decode_image(tf.io.read_file(str(file)), channels=3, expand_animations=False)
        theirs.append(np.square(tf.image.resize(decoded, shape[:2]).numpy() - expected).mean())  # as the loader does
    return decibels(np.mean(ours)), decibels(np.mean(theirs))


def decibels(error):
    return round(float(min(99.0, 10 * np.log10(255**2 / max(error, 1e-9)))), 1)


# Memory


def memory_rows(root, kinds, many, small):
    """What fresh processes take: few and many small files that are read anew, and a set that is held."""
    tiny, rows = kinds["tiny"], []
    for count in (small, many):
        kind = Kind(tiny.stored, tiny.image_size, count, min(count, tiny.different), 0.0)
        folder = make_folder(root / f"memory{count}", kind)
        facts = measured(folder, kind.image_size, "anew")
        rows.append({"what": f"{count:,} files of 40 pixels, read anew", "files": count} | facts)
    photos = Kind((375, 500), 224, 2 * small, min(small, 64), 0.0)
    folder = make_folder(root / "held", photos)
    facts = measured(folder, photos.image_size, "held")
    pixels = round(photos.files * 224 * 224 * 3 / 1e6, 1)
    rows.append({"what": f"{photos.files:,} photos held, {pixels:g} MB of pixels", "files": photos.files} | facts)
    return rows


def measured(folder, image_size, held):
    command = [sys.executable, str(Path(__file__).resolve()), MEMORY, str(folder), str(image_size), held]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def memory_of(folder, image_size, held):
    """In a process of its own: the most that loading and one epoch take, on top of a load of almost nothing."""
    images.CACHE_BYTES = 2**40 if held else 0
    drain(images.load(folder, image_size=image_size, batch_size=BATCH, limit=BATCH).train)  # TensorFlow's own
    before = peak()
    start = time.perf_counter()
    data = images.load(folder, image_size=image_size, batch_size=BATCH)
    loaded = time.perf_counter() - start
    drain(data.train)
    return {"megabytes": round(peak() - before, 1), "seconds_to_load": round(loaded, 1)}


def peak():
    """The most that this process has taken so far, in megabytes (10^6 bytes).

    Not by `getrusage`, where Linux counts in what the parent took when it started the process.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


# Pictures


def make_folder(root, kind):
    """JPEG files in two classes, in train/, validation/ and test/; most are links to a few different ones."""
    for split, count in (("train", kind.files), ("validation", 2), ("test", 2)):
        originals = []
        for number in range(count):
            folder = root / split / ("a", "b")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{number:06}.jpg"
            if number < kind.different:
                picture(kind.stored, number).save(file, quality=90)
                originals.append(file)
            else:
                os.link(originals[number % len(originals)], file)
    return root


def picture(size, seed):
    """Noise whose strength grows with its wavelength, as in photographs, and shapes with sharp edges before it."""
    random = np.random.default_rng(seed)
    height, width = size
    pixels = np.zeros((height, width, 3), "float32")
    for wavelength in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        shape = (max(2, height // wavelength), max(2, width // wavelength))
        noise = random.normal(scale=wavelength**0.7, size=(*shape, 3)).astype("float32")
        for channel in range(3):
            pixels[..., channel] += np.asarray(Image.fromarray(noise[..., channel]).resize((width, height)))
    low, high = np.quantile(pixels, (0.01, 0.99))
    image = Image.fromarray((np.clip((pixels - low) / (high - low), 0, 1) * 255).astype("uint8"))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = random.integers(0, (width, height))
        side = int(random.integers(2, max(3, min(size) // 4)))
        color = tuple(random.integers(0, 256, 3).tolist())
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x) + side, int(y) + side // 2 + 1), outline=color, width=max(1, side // 20))
    return image


if __name__ == "__main__":
    sys.exit(main())
