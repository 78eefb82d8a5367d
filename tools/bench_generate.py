"""Speed of writing with GPT-2's shapes against other libraries on this machine, as ratios: above 1 ours is faster.

    python tools/bench_generate.py                       all that is installed (25 minutes on two cores)
    python tools/bench_generate.py --against keras_hub --batches 1
    python tools/bench_generate.py --busy                while other programs run too
    python tools/bench_generate.py --quick               a look: a small model, few pairs, nothing kept

Ours and theirs write in turns, greedily, with random weights; each pair gives a ratio.  Median and quartiles are
printed and kept in results/bench_generate.json, seconds never.

    keras_hub      keras-hub's GPT2CausalLM
    transformers   Hugging Face's GPT2LMHeadModel on PyTorch, with its cache, where it is installed
    litert         our export in LiteRT, float32, against keras-hub; one text at a time, as on phones
    litert_int8    the same with weights in 8 bits
    bfloat16       ours in bfloat16 against ours in float32
    memory         ours against the time that reading all weights once for each token would take
    length         ours against itself: the time for a token of a text of 224 over that for one of 32 (1 is flat), and
                   the megabytes that a token more takes

The parts: "both" reads a prompt of 32 tokens and writes 32, "prefill" reads 63 and writes 1, "decode" is what the 31
tokens after the first take: the time of "both" less that of reading the prompt and writing one.  keras-hub always reads
all places that it will write to, 64 here, and that time is taken off.
"""

import argparse
import gc
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tfdl
from tfdl.core.files import read_json, write_json
from tfdl.core.provenance import commit
from tfdl.export.entry_points import entry_points
from tfdl.export.graph import saved
from tfdl.export.tflite import FLOATS
from tfdl.inference.exported_generation import ExportedWriter
from tfdl.models.text import gpt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # whence the other tools are imported
from tools.bench_data import peak  # noqa: E402
from tools.bench_vision import (  # noqa: E402 (after the path)
    Setting,
    document,
    on_one_thread,
    paired,
    ratio_row,
    surroundings,
)

RESULTS = ROOT / "results" / "bench_generate.json"
TITLE = "Speed of writing tokens, ours over theirs: medians and quartiles of paired ratios"
PARTS = {"both": (32, 32), "prefill": (63, 1), "decode": (32, 32)}  # tokens of the prompt, new tokens
PLACES = 64  # of the cache, in all parts
SHORT, LONG = 32, 224  # new tokens of the texts whose lengths are compared
MEMORY_OF = "--memory-of"  # how a process of its own is asked for its memory


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", nargs="+", choices=COMPARISONS, default=list(COMPARISONS), help="default: all")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="texts at a time; default: 1 8")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--busy", action="store_true", help="one thread, and its CPU seconds in place of wall time")
    parser.add_argument("--quick", action="store_true", help="two narrow blocks, few pairs; nothing is written")
    parser.add_argument(MEMORY_OF, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    config = replace(gpt.VARIANTS["gpt2"], context=128)
    if args.quick:
        config = replace(config, vocabulary_size=500, width=48, depth=2, heads=4)
    setting = Setting(0, seconds=0.0 if args.quick else 30.0)
    if args.busy:
        setting = on_one_thread(setting)
    if args.memory_of:
        print(memory_of(config, args.memory_of))
        return 0
    if "transformers" in args.against and not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        print("transformers and PyTorch are not installed (extra `parity`): nothing is compared with them.")
        args.against.remove("transformers")
    circumstances, rows = surroundings(args.busy, ("torch", "transformers")), []
    for against in args.against:
        parts = ["each token"] if against == "length" else args.parts
        for batch, part in itertools.product(args.batches, parts):
            if against.startswith("litert") and batch > 1:
                continue
            compare = compared_lengths if against == "length" else compared
            rows.append(compare(config, against, batch, part, setting) | {"commit": commit()})
            print(line(rows[-1]), flush=True)
            if not args.quick:
                before = read_json(RESULTS) if RESULTS.is_file() else {}
                write_json(RESULTS, document(TITLE, ("against", "batch", "part"), rows, circumstances, before))
            gc.collect()  # Keras's models are cycles of references
    return 0


def compared(config, against, batch, part, setting):
    """The row of one comparison."""
    (length, new), (mine, theirs, target) = PARTS[part], COMPARISONS[against]
    tokens = prompts(config, batch, length)
    writers = mine(config), theirs(config)
    calls = [partial(write, tokens, new) for write, _ in writers]
    without = [partial(read, tokens, new) for _, read in writers] if part == "decode" else None
    ratios = paired(*calls, setting, without)
    return ratio_row({"against": against, "batch": batch, "part": part, "tokens": new}, target, ratios)


def compared_lengths(config, against, batch, part, setting):
    """The row of ours against itself: seconds for a token of a short text over those for one of a long text."""
    config = replace(config, context=SHORT + LONG)
    (write, _), tokens = ours(config), prompts(config, batch, SHORT)
    ratios = paired(partial(write, tokens, LONG), partial(write, tokens, SHORT), setting)
    # What is written without a cache of keys and values reads its whole text for each token: 0.1 here
    row = ratio_row(
        {"against": against, "batch": batch, "part": part, "tokens": LONG}, 0.8, [r * LONG / SHORT for r in ratios]
    )
    if batch == 1:
        row["megabytes"] = {new: measured_memory(config, new) for new in (SHORT, LONG)}
    return row


def prompts(config, batch, length):
    return np.random.default_rng(0).integers(1, config.vocabulary_size, (batch, length)).astype("int32")


def measured_memory(config, new):
    """What `memory_of` says in a process of its own."""
    quick = ["--quick"] if config.depth == 2 else []
    command = [sys.executable, str(Path(__file__).resolve()), MEMORY_OF, str(new), "--busy", *quick]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return float(
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()[-1]
    )


def memory_of(config, new):
    """The most megabytes that this process takes while it writes `new` tokens for the second time."""
    config = replace(config, context=SHORT + LONG)
    (write, _), tokens = ours(config), prompts(config, 1, SHORT)
    write(tokens, new)  # compiling takes more
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux begins to count the peak anew
    write(tokens, new)
    return round(peak(), 1)


def line(row):
    """One row for people."""
    target = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']:2d}"
    megabytes = f"  MB: {row['megabytes']}" if "megabytes" in row else ""
    return f"batch {row['batch']:<4}{row['part']:<11}against {row['against']:<14}{ratio}{target}{megabytes}"


# Each gives two functions of the prompts (B, P) and a number: one writes so many tokens after each prompt, the other
# does what all of them need before the second token: it reads the prompt and writes one.


def ours(config):
    model = tfdl.build("gpt", config)

    def write(tokens, new):
        return model.generate(tokens, new_tokens=new).tokens

    return write, lambda tokens, new: write(tokens, 1)


def exported(form):
    """The same with a TFLite file, whose loop is a Python one."""

    def make(config):
        model, folder = tfdl.build("gpt", config), tempfile.TemporaryDirectory(prefix="tfdl_bench_")
        points = entry_points(model, {"chunk": 32, "cache_length": PLACES})
        content = FLOATS[form][2](saved(model, {point.name: point.compiled(1) for point in points}))
        file = Path(folder.name, "model.tflite")
        file.write_bytes(content)
        writer = ExportedWriter(file, threads=tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count())

        def write(tokens, new):
            return (writer.generate(tokens, new_tokens=new).tokens, folder)[0]  # the file lives as long as the call

        return write, lambda tokens, new: write(tokens, 1)

    return make


def ours_in_bfloat16(config):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("bfloat16")  # weights too: reading them is what takes the time
    try:
        return ours(config)
    finally:
        keras.config.set_dtype_policy(policy)


def of_keras_hub(config):
    from keras_hub import models

    shape = (config.vocabulary_size, config.depth, config.heads, config.width, 4 * config.width)
    backbone = models.GPT2Backbone(*shape, max_sequence_length=config.context)
    model = models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model.compile(sampler="greedy")

    def write(tokens, new):
        padded = np.pad(tokens, ((0, 0), (0, new)))
        return model.generate({"token_ids": padded, "padding_mask": (padded > 0).astype("int32")}, stop_token_ids=None)

    def read(tokens, new):
        return write(np.pad(tokens, ((0, 0), (0, new - 1)), constant_values=1), 1)  # as many places

    return write, read


def of_transformers(config):
    import torch

    from tests.parity.references import transformers as library  # with torchvision's operators

    transformers = library()
    theirs = transformers.GPT2Config(
        vocab_size=config.vocabulary_size,
        n_positions=config.context,
        n_embd=config.width,
        n_layer=config.depth,
        n_head=config.heads,
    )
    model = transformers.GPT2LMHeadModel(theirs).eval()

    def write(tokens, new):
        prompts = torch.tensor(tokens, dtype=torch.long)
        options = dict(max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0)
        return model.generate(prompts, attention_mask=torch.ones_like(prompts), **options)

    return write, lambda tokens, new: write(tokens, 1)


def memory(config):
    """Reads as many bytes as the weights have, once for each token."""
    count = sum(int(np.prod(weight.shape)) for weight in tfdl.build("gpt", config).weights)
    table = tf.random.uniform((count,))
    total = tf.function(lambda: tf.reduce_sum(table))

    def write(tokens, new):
        for _ in range(new):
            total().numpy()

    return write, lambda tokens, new: write(tokens, 1)


COMPARISONS = {  # ours, theirs, what the ratio should be
    "keras_hub": (ours, of_keras_hub, 1.6),
    "transformers": (ours, of_transformers, 1.8),
    "litert": (exported("tflite"), of_keras_hub, 2.0),
    "litert_int8": (exported("tflite_dynamic"), of_keras_hub, 5.0),
    "bfloat16": (ours_in_bfloat16, ours, 1.0),
    "memory": (ours, memory, 0.0),  # a limit, no target
    "length": (ours, ours, 0.8),
}


if __name__ == "__main__":
    sys.exit(main())
