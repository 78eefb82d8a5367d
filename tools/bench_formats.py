"""What a trained language model loses in smaller files: perplexity beside bytes and speed of each form for phones.

    tfdl run train_gpt --epochs 1 --run.out runs/formats
    python tools/bench_formats.py runs/formats --data tiny_shakespeare     2 minutes on two cores
    python tools/bench_formats.py runs/formats --data tiny_shakespeare --busy     while other programs run too

Weights in float32, float16, 8 bits and, with the extra `edge`, 4 bits: the files are made of the run's best weights,
and each reads the same held-out blocks in LiteRT on one thread.  Speed is that of reading, over the float32 file's in
turns: median and quartiles of paired ratios.  The table is kept in results/bench_formats.json.
"""

import argparse
import importlib.util
import math
import sys
import tempfile
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

import tfdl
from tfdl.commands import export
from tfdl.core.files import write_json
from tfdl.core.provenance import commit
from tfdl.data import text, tokenizers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # whence the other tools are imported
from tools.bench_vision import Setting, on_one_thread, paired, ratio_row, surroundings  # noqa: E402 (after the path)

RESULTS = ROOT / "results" / "bench_formats.json"
TITLE = "Perplexity, bytes and speed of a trained language model's files"
FORMS = {  # of `tfdl export --formats` -> weights, file
    "tflite": ("float32", "model.tflite"),
    "tflite_float16": ("float16", "model_float16.tflite"),
    "tflite_dynamic": ("8 bits", "model_dynamic.tflite"),
    "tflite_int4": ("4 bits", "model_int4.tflite"),
}
BATCH, TIMED = 8, 2  # blocks in a batch; batches that are read for the speed


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run of a language model")
    parser.add_argument("--data", required=True, help="of data.text, whose test split is read")
    parser.add_argument("--blocks", type=int, default=400, help="that are read for the perplexity; default: 400")
    parser.add_argument("--busy", action="store_true", help="one thread, and its CPU seconds in place of wall time")
    args = parser.parse_args(argv)
    setting = Setting(0, seconds=5.0)
    if args.busy:
        setting = on_one_thread(setting)
    forms = dict(FORMS)
    if not importlib.util.find_spec("ai_edge_quantizer"):
        print("ai-edge-quantizer is not installed (extra `edge`): there is no file in 4 bits.")
        del forms["tflite_int4"]
    with tempfile.TemporaryDirectory(prefix="tfdl_bench_") as place:
        folder = Path(place, "export")
        export.main([str(args.run), str(folder), "--formats", *forms])
        rows = measured(folder, forms, args.data, args.blocks, setting)
    for row in rows:
        print(line(row), flush=True)
    write_json(
        RESULTS,
        {
            "title": TITLE,
            "circumstances": surroundings(args.busy, ("ai-edge-quantizer",)),
            "data": args.data,
            "rows": [row | {"commit": commit()} for row in rows],
        },
    )
    return 0


def measured(folder, forms, data, blocks, setting):
    """A row for each form in an export folder; the first is the one that the others are compared with."""
    writers = {form: tfdl.load(folder, file=file) for form, (_, file) in forms.items()}
    first = next(iter(writers.values()))
    loaded = text.load(
        data, length=first.task.length, batch_size=BATCH, tokenizer=tokenizers.Pieces(first.tokenizer), limit=blocks
    )
    batches = list(loaded.test.as_numpy_iterator())
    rows = []
    for form, writer in writers.items():
        nats = np.concatenate([writer.nats(*batch) for batch in batches]).astype("float64")
        facts = {
            "weights": forms[form][0],
            "bytes": (folder / forms[form][1]).stat().st_size,
            "tokens": len(nats),
            "loss": round(float(nats.mean()), 4),
            "perplexity": round(math.exp(nats.mean()), 3),
        }
        calls = [partial(read, own, batches) for own in (writer, first)]
        rows.append(ratio_row(facts, 0.0, paired(*calls, setting)))
    return rows


def read(writer, batches):
    for batch in islice(batches, TIMED):
        writer.nats(*batch)


def line(row):
    """One row for people."""
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']:2d}"
    return f"{row['weights']:<8}{row['bytes']:>12,} bytes  perplexity {row['perplexity']:8.3f}  speed {ratio}"


if __name__ == "__main__":
    sys.exit(main())
