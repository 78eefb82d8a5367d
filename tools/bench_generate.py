"""Speed of writing with GPT-2's shapes against other libraries on this machine, as ratios: above 1 ours is faster.

    python tools/bench_generate.py                       all that is installed (10 minutes on two cores)
    python tools/bench_generate.py --against keras_hub --batches 1
    python tools/bench_generate.py --quick               a look: a small model, few pairs, nothing kept

Ours and theirs write 32 tokens after prompts of 32 in turns, greedily, with random weights; each pair gives a ratio.
Median and quartiles are printed and kept in results/bench_generate.json, seconds never.

    keras_hub      keras-hub's GPT2CausalLM
    transformers   Hugging Face's GPT2LMHeadModel on PyTorch, with its cache, where it is installed
    bfloat16       ours in bfloat16 against ours in float32
    memory         ours against the time that reading all weights once for each token would take
"""

import argparse
import gc
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tfdl
from tfdl.core.files import read_json, write_json
from tfdl.core.provenance import commit
from tfdl.models.text import gpt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # whence the other tools are imported
from tools.bench_vision import Setting, document, paired, ratio_row, surroundings  # noqa: E402 (after the path)

RESULTS = ROOT / "results" / "bench_generate.json"
TITLE = "Speed of writing tokens, ours over theirs: medians and quartiles of paired ratios"
PROMPT, NEW = 32, 32  # tokens
TARGETS = {"keras_hub": 1.6, "transformers": 1.8, "bfloat16": 1.0, "memory": 0.0}  # the last is a limit, no target


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", nargs="+", choices=TARGETS, default=list(TARGETS), help="default: all")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="texts at a time; default: 1 8")
    parser.add_argument("--quick", action="store_true", help="two narrow blocks, few pairs; nothing is written")
    args = parser.parse_args(argv)
    config = replace(gpt.VARIANTS["gpt2"], context=128)
    if args.quick:
        config = replace(config, vocabulary_size=500, width=48, depth=2, heads=4)
    setting = Setting(PROMPT, seconds=0.0 if args.quick else 30.0)
    if "transformers" in args.against and not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        print("transformers and PyTorch are not installed (extra `parity`): nothing is compared with them.")
        args.against.remove("transformers")
    circumstances, rows = surroundings(False, ("torch", "transformers")), []
    for against in args.against:
        for batch in args.batches:
            rows.append(compared(config, against, batch, setting) | {"commit": commit()})
            print(line(rows[-1]), flush=True)
            gc.collect()  # Keras's models are cycles of references
    if not args.quick:
        before = read_json(RESULTS) if RESULTS.is_file() else {}
        write_json(RESULTS, document(TITLE, ("against", "batch"), rows, circumstances, before))
    return 0


def compared(config, against, batch, setting):
    """The row of one rival."""
    tokens = np.random.default_rng(0).integers(1, config.vocabulary_size, (batch, PROMPT)).astype("int32")
    mine, theirs = ours(config, tokens), RIVALS[against](config, tokens)
    mine, theirs = (theirs, mine) if against == "bfloat16" else (mine, theirs)
    ratios = paired(mine, theirs, setting)
    return ratio_row({"against": against, "batch": batch, "tokens": NEW}, TARGETS[against], ratios)


def line(row):
    """One row for people."""
    target = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']:2d}"
    return f"batch {row['batch']:<4}against {row['against']:<14}{ratio}{target}"


def ours(config, tokens):
    """A call that writes NEW tokens after each row of `tokens`."""
    model = tfdl.build("gpt", config)
    return lambda: model.generate(tokens, new_tokens=NEW).tokens


def ours_in_bfloat16(config, tokens):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("bfloat16")  # weights too: reading them is what takes the time
    try:
        return ours(config, tokens)
    finally:
        keras.config.set_dtype_policy(policy)


def of_keras_hub(config, tokens):
    from keras_hub import models

    shape = (config.vocabulary_size, config.depth, config.heads, config.width, 4 * config.width)
    backbone = models.GPT2Backbone(*shape, max_sequence_length=config.context)
    model = models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model.compile(sampler="greedy")
    padded = np.pad(tokens, ((0, 0), (0, NEW)))
    inputs = {"token_ids": padded, "padding_mask": (padded > 0).astype("int32")}
    return lambda: model.generate(inputs, stop_token_ids=None)


def of_transformers(config, tokens):
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
    model, prompts = transformers.GPT2LMHeadModel(theirs).eval(), torch.tensor(tokens, dtype=torch.long)
    options = dict(max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0)
    return lambda: model.generate(prompts, attention_mask=torch.ones_like(prompts), **options)


def memory(config, tokens):
    """A call that reads as many bytes as the weights have, once for each token."""
    count = sum(int(np.prod(weight.shape)) for weight in tfdl.build("gpt", config).weights)
    table = tf.random.uniform((count,))
    total = tf.function(lambda: tf.reduce_sum(table))

    def read():
        for _ in range(NEW):
            total().numpy()

    return read


RIVALS = {
    "keras_hub": of_keras_hub,
    "transformers": of_transformers,
    "bfloat16": ours_in_bfloat16,
    "memory": memory,
}


if __name__ == "__main__":
    sys.exit(main())
