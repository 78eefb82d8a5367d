"""Speculative decoding against greedy decoding of the same model: texts of the same tokens, in less time.

    python tools/bench_speculative.py            6 minutes on two cores
    python tools/bench_speculative.py --busy     while other programs run too
    python tools/bench_speculative.py --quick    a look: small models, few updates, nothing kept

Two GPTs learn the characters of Shakespeare's plays, one of 3.2 million weights and a draft of a thirteenth of them.
The draft guesses, the large model checks.  Both ways continue pieces of the test split, one text at a time, in turns; a
pair gives a ratio, above 1 where speculative decoding is faster.  Median and quartiles, the share of guesses that were
right, and whether the tokens are the same, are printed and kept in results/bench_speculative.json, seconds never.

Paper: Leviathan et al. 2022, arXiv:2211.17192; its Theorem 3.8 says by how much it should be faster.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import tfdl
from tfdl.core.files import write_json
from tfdl.core.provenance import commit
from tfdl.data import text
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.models.text.gpt import GPTConfig
from tfdl.train.optimizers import language_model_optimizer
from tfdl.train.step import exact

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # whence the other tools are imported
from tools.bench_vision import Setting, on_one_thread, paired, ratio_row, surroundings  # noqa: E402 (after the path)

RESULTS = ROOT / "results" / "bench_speculative.json"
TITLE = "Speculative over greedy decoding: medians and quartiles of paired ratios"
MODEL = GPTConfig(vocabulary_size=65, context=256, width=256, depth=4, heads=8, use_bias=False, dropout=0.0)
DRAFT = replace(MODEL, width=96, depth=2, heads=4)
LENGTH, BATCH = 128, 8  # of training
UPDATES, RATES = (500, 800), (1e-3, 3e-3)  # of the model and of the draft, which is cheap to train
PROMPTS, PROMPT, NEW = 8, 64, 128
GUESSES = (2, 3, 4, 6)
TARGET = 1.0


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="tiny_shakespeare", help="of data.text; default: tiny_shakespeare")
    parser.add_argument("--guesses", nargs="+", type=int, default=GUESSES, help="default: 2 3 4 6")
    parser.add_argument("--busy", action="store_true", help="one thread, and its CPU seconds in place of wall time")
    parser.add_argument("--quick", action="store_true", help="narrow models, few updates; nothing is written")
    args = parser.parse_args(argv)
    setting = Setting(0, seconds=0.0 if args.quick else 15.0)
    if args.busy:
        setting = on_one_thread(setting)
    circumstances = surroundings(args.busy, ())
    data = text.load(args.data, length=LENGTH, batch_size=BATCH)
    configs, updates = (MODEL, DRAFT), UPDATES
    if args.quick:
        configs, updates = [replace(c, width=c.width // 4, depth=c.depth // 2) for c in configs], (3, 3)
    models = [trained(config, data, *options) for config, *options in zip(configs, updates, RATES)]
    prompts = held_out(data)
    facts = {
        "weights": [model.count_params() for model in models],
        "test_nats": [round(float(model.evaluate(data.test, verbose=0)), 3) for model in models],
    }
    print(" ".join(f"{name}: {values}" for name, values in facts.items()), flush=True)
    rows = []
    for guesses in args.guesses:
        rows.append(compared(*models, prompts, guesses, setting) | facts | {"commit": commit()})
        print(line(rows[-1]), flush=True)
    if not args.quick:
        write_json(RESULTS, {"title": TITLE, "circumstances": circumstances, "rows": rows})
    return 0


def trained(config, data, updates, rate):
    """A GPT that has seen so many batches."""
    model = tfdl.build("gpt", replace(config, vocabulary_size=len(data.tokenizer)))
    model.compile(language_model_optimizer(rate, updates), TokenCrossEntropy())
    exact(model)
    model.fit(data.train.take(updates), epochs=1, verbose=0)
    return model


def held_out(data):
    """PROMPTS pieces (PROMPT,) of the test split, from all over it."""
    blocks = np.concatenate([tokens for tokens, _ in data.test.as_numpy_iterator()])
    return [blocks[i, :PROMPT] for i in np.linspace(0, len(blocks) - 1, PROMPTS).astype(int)]


def compared(model, draft, prompts, guesses, setting):
    """The row of one number of guesses."""

    def speculative():
        return [model.speculate(draft, [prompt], guesses=guesses, new_tokens=NEW) for prompt in prompts]

    def greedy():
        return [model.generate([prompt], new_tokens=NEW) for prompt in prompts]

    answers = speculative(), greedy()
    same = [bool(np.array_equal(one.tokens[0], other.tokens[0])) for one, other in zip(*answers)]
    row = ratio_row({"guesses": guesses, "tokens": NEW}, TARGET, paired(speculative, greedy, setting))
    accepted = np.mean([answer.accepted[0] for answer in answers[0]])
    return row | {"texts": len(prompts), "same_texts": sum(same), "accepted": round(float(accepted), 3)}


def line(row):
    """One row for people."""
    target = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']:2d}"
    return (
        f"{row['guesses']} guesses, {row['accepted']:.0%} right, {row['same_texts']} of {row['texts']} texts the same: "
        f"{ratio}{target}"
    )


if __name__ == "__main__":
    sys.exit(main())
