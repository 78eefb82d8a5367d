"""Text for pre-training without labels: damaged as BERT, RoBERTa, T5 or BART want it, with what was there to predict.

    data = load("tiny_shakespeare", "bert", length=64, batch_size=32)
    model = bert("tiny", vocabulary_size=data.vocabulary_size, head="masked_lm")
    model.fit(data.train, validation_data=data.validation, epochs=10)

Names: those of `text.load`, whose texts are cut into blocks; with a `column`, what `records.read` knows, where each row
is an example, such as a sentence.  Order and damage are pure functions of (seed, epoch, step), see `order` and
`masking`: a run that stops after any step and starts again there sees the same batches.

Shapes: B batch, T tokens, S of a source, N examples, V vocabulary.
"""

import itertools
import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import PADDING
from tfdl.core.task import Task
from tfdl.data import text, text_pairs
from tfdl.data.masking import corrupt_spans, infill, mask_tokens, permute_sentences, surround
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.tokenizers import BART_TOKENS, T5_TOKENS, Pieces
from tfdl.data.tokenizers import load as load_tokenizer

SPLITS = ("train", "validation", "test")
STATIC = 4_000_000  # beside the run's seed: of masks that stay
SENTINELS = 100  # behind a vocabulary that has none of its own, as behind T5's 32,000 pieces


@dataclass(frozen=True)
class Kind:
    """What a model learns from: its damage, and its vocabulary where one is made from the training text."""

    damage: object  # (tokens (B, T), seed (2), tokenizer, rate) -> inputs and targets of the model
    rate: float  # the paper's share of tokens that are damaged
    pieces: str  # a kind of `Pieces.trained`
    special: tuple[str, ...]  # its special tokens, so that padding has the model's number
    needed: tuple[str, ...]  # keys of `special` that a tokenizer must have


@dataclass(frozen=True, eq=False)
class CorruptedText:
    """Damaged text, ready for `fit`.

    For "bert" and "roberta": tokens (B, T) and targets (B, T), PADDING where nothing is to be predicted; for "t5" and
    "bart": {"source": (B, S), "target_in": (B, T)} and targets (B, T); all int32.  A loss with `ignore_class=PADDING`
    averages over what is predicted.  Held-out text is always damaged in the same way, whatever the seed.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    tokenizer: object  # see `tokenizers`
    vocabulary_size: int  # with the sentinels
    counts: dict[str, int]  # split -> examples
    position: tf.Variable
    model: str  # a key of KINDS
    length: int  # tokens that a model reads at most

    @property
    def short_name(self):
        """For folders of runs and titles."""
        return text.short_name(self.name)

    @property
    def task(self):
        """What a model of masked words does; None for one that writes texts, or without a tokenizer.json."""
        if "mask" not in self.tokenizer.special or self.model not in MASKED or not isinstance(self.tokenizer, Pieces):
            return None
        padding = self.tokenizer.special["padding"]
        return Task(kind="masked_words", tokenizer="tokenizer.json", length=self.length, padding=padding)

    def unigram_nats(self, split="test"):
        """Entropy of the tokens to predict, in nats: no model can do better that looks at no other token."""
        targets = np.concatenate([y[y != PADDING] for _, y in getattr(self, split).as_numpy_iterator()])
        shares = np.bincount(targets) / len(targets)
        return float(-np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))))

    def examples(self, model, count=3):
        """The first rows of the test split as texts.

        Returns:
            list of dicts: "damaged", what the model reads; "wanted", what is to be predicted; "answer", the likeliest
            tokens at these places, where a decoder sees the right ones before.
        """
        inputs, targets = next(iter(self.test.unbatch().batch(count)))
        answers = tf.argmax(model(inputs), -1, tf.int32).numpy()
        read = (inputs["source"] if isinstance(inputs, dict) else inputs).numpy()
        return [
            {
                "damaged": self.spelled(row),
                "wanted": self.spelled(wanted[wanted != PADDING]),
                "answer": self.spelled(answer[wanted != PADDING]),
            }
            for row, wanted, answer in zip(read, targets.numpy(), answers)
        ]

    def spelled(self, tokens):
        """Tokens (T,) as a text in which masks and sentinels are seen."""
        last = first_sentinel(self.tokenizer)
        signs = {last - i: f"<{i}>" for i in range(SENTINELS)} | {self.tokenizer.special.get("mask"): "[MASK]"}
        runs = itertools.groupby(tokens.tolist(), signs.get)
        parts = [[sign] * len(list(run)) if sign else [self.tokenizer.decode(list(run)).strip()] for sign, run in runs]
        return " ".join(part for parts in parts for part in parts if part)


def load(
    name,
    model,
    *,
    column=None,
    length=64,
    batch_size=32,
    tokenizer=None,
    vocabulary_size=2000,
    masking="dynamic",
    rate=None,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Reads the text or the records called `name`, and damages them for `model`.

    A text is cut into blocks of `length` tokens, special ones included; what is left at the end of a split is left out.
    Rows of records that are longer are cut.

    Args:
        model: whose pre-training: a key of KINDS, "bert", "roberta", "t5" or "bart".
        column: of records; None reads a text.
        length: tokens that a model reads at most.
        batch_size: examples in a global batch.
        tokenizer: file or folder of a published one; None makes one from the training text, with word pieces for BERT
            and byte pairs for the others.
        vocabulary_size: pieces in a tokenizer that is made here.
        masking: "dynamic" damages an example anew in each epoch, "static" does it once for all epochs.
        rate: share of the tokens that are masked or lie in a span, in (0, 1); None is the paper's, 0.3 for BART and
            0.15 for the others.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of order and damage.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: use the first so many examples of each split.
        data_dir: where prepared sets lie; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Raises:
        FileNotFoundError: the data or the tokenizer is not there; the message says where it was looked for.
        ValueError: an argument out of its range, a tokenizer without a token that the model needs, a split too short
            for one example, or what `text.load` and `records.read` refuse.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    check(model, masking, {"batch_size": (batch_size, 1), "limit": (limit, 1), "length": (length, 8)})
    kind = KINDS[model]
    rate = kind.rate if rate is None else rate
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}; give the share of damaged tokens, more than 0 and less than 1.")
    texts = read(str(name), column, data_dir, download)
    if tokenizer is None:
        lines = (line for text in texts["train"] for line in text.splitlines())
        tokenizer = Pieces.trained(lines, vocabulary_size, kind.pieces, kind.special)
    else:
        tokenizer = load_tokenizer(pathlib.Path(tokenizer).expanduser())
    missing = [token for token in kind.needed if token not in tokenizer.special]
    if missing:
        raise ValueError(f"The tokenizer has no token for {', '.join(missing)}; {model} needs one, so give another.")
    width = length - 2 * ("start" in kind.needed)
    cut = blocks if column is None else rows
    examples = {key: cut(texts[key], tokenizer, width)[:limit] for key in SPLITS}
    for key, tokens in examples.items():
        if not len(tokens):
            raise ValueError(f"The split {key!r} of {name!r} has fewer than {width} tokens; give a shorter length.")

    order = Order.start(seed=seed, batch_size=batch_size, count=len(examples["train"]), position=position)
    with tf.device("CPU:0"):

        def damaged(tokens, seed):
            return kind.damage(tokens, seed, tokenizer, rate)

        def at_once(key, seed):
            return damaged(tf.constant(examples[key]), tf.constant(seed, tf.int64))

        if masking == "dynamic":
            tokens = tf.constant(examples["train"])
            train = order.keys().map(lambda rows, seed: damaged(tf.gather(tokens, rows), seed), tf.data.AUTOTUNE)
        else:
            once = at_once("train", (seed, STATIC))
            train = order.keys().map(
                lambda rows, _: tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), once), tf.data.AUTOTUNE
            )
        held_out = {
            key: tf.data.Dataset.from_tensor_slices(at_once(key, (0, i))).batch(
                static.evaluation_batch(len(examples[key]), batch_size)
            )
            for i, key in enumerate(SPLITS[1:])
        }
    return CorruptedText(
        name=str(name),
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in held_out.items()},
        tokenizer=tokenizer,
        vocabulary_size=max(len(tokenizer), first_sentinel(tokenizer) + 1) if model == "t5" else len(tokenizer),
        counts={key: len(tokens) for key, tokens in examples.items()},
        position=order.position,
        model=model,
        length=length,
    )


def check(model, masking, numbers):
    """Raises ValueError for an argument out of its range."""
    if model not in KINDS:
        raise ValueError(f"There is no damage for the model {model!r}; choose {', '.join(KINDS)}.")
    if masking not in ("dynamic", "static"):
        raise ValueError(f"masking is {masking!r}; choose dynamic or static.")
    for argument, (value, least) in numbers.items():
        if value is not None and value < least:
            raise ValueError(f"{argument} is {value}; give {least} or more.")


# Reading


def read(name, column, data_dir, download):
    """Split -> texts, a tuple: the whole text, or the rows' values in the column."""
    if column is None:
        return {key: (whole,) for key, whole in text.read(name, data_dir, download).items()}
    return {key: found for key, (found, _) in text_pairs.read(name, column, column, data_dir, download).items()}


def blocks(texts, tokenizer, width):
    """The tokens of the texts, end to end, in blocks.  -> (N, width) int32"""
    tokens = np.concatenate([tokenizer.encode(text) for text in texts])
    return tokens[: len(tokens) // width * width].reshape(-1, width)


def rows(texts, tokenizer, width):
    """The tokens of each text, cut and padded.  -> (N, width) int32"""
    tokens = [tokenizer.encode(text)[:width] for text in texts]
    padded = np.full((len(tokens), width), tokenizer.special["padding"], "int32")
    lengths = np.array([len(row) for row in tokens])
    padded[np.arange(width) < lengths[:, None]] = np.concatenate(tokens)
    return padded[lengths > 0]


# Damage


def masked(tokens, seed, tokenizer, rate):
    """BERT's and RoBERTa's: [CLS] text [SEP], some of it masked."""
    special = tokenizer.special
    ordinary = np.isin(np.arange(len(tokenizer)), [*special.values()], invert=True)
    return mask_tokens(framed(tokens, tokenizer), seed, mask=special["mask"], ordinary=ordinary, rate=rate)


def without_spans(tokens, seed, tokenizer, rate):
    """T5's: the text without its spans, and the spans; the decoder starts with padding."""
    padding = tokenizer.special["padding"]
    source, target = corrupt_spans(tokens, seed, padding=padding, sentinel=first_sentinel(tokenizer), rate=rate)
    return to_write(source, tf.pad(target, [[0, 0], [1, 0]], constant_values=padding), padding)


def infilled(tokens, seed, tokenizer, rate):
    """BART's, section 5.1: spans infilled and sentences permuted, and the whole text to write."""
    seeds = tf.random.experimental.stateless_split(seed, 2)
    special = tokenizer.special
    mixed = permute_sentences(tokens, seeds[0], stops=full_stops(tokenizer), padding=special["padding"])
    source = infill(mixed, seeds[1], mask=special["mask"], padding=special["padding"], rate=rate)
    return to_write(framed(source, tokenizer), framed(tokens, tokenizer), special["padding"])


def framed(tokens, tokenizer):
    """Between the start and the end token.  (B, T) -> (B, T + 2)"""
    special = tokenizer.special
    return surround(tokens, start=special["start"], end=special["end"], padding=special["padding"])


def to_write(source, target, padding):
    """{"source", "target_in"}, targets: what a decoder reads, and what follows."""
    following = target[:, 1:]
    return {"source": source, "target_in": target[:, :-1]}, tf.where(following == padding, PADDING, following)


def first_sentinel(tokenizer):
    """The number of T5's <extra_id_0>, from which sentinels count down: the last of SENTINELS behind the vocabulary."""
    return tokenizer.special.get("sentinel", len(tokenizer) + SENTINELS - 1)


def full_stops(tokenizer):
    """Which tokens end a sentence.  -> (V,) bool"""
    return np.array([tokenizer.decode([number]).strip().endswith(".") for number in range(len(tokenizer))])


MASKED = ("bert", "roberta")  # which fill in masks
AROUND = ("padding", "start", "end", "mask")
KINDS = {
    "bert": Kind(masked, 0.15, "word_pieces", (), AROUND),
    "roberta": Kind(masked, 0.15, "byte_pairs", BART_TOKENS, AROUND),
    "t5": Kind(without_spans, 0.15, "byte_pairs", T5_TOKENS, ("padding",)),
    "bart": Kind(infilled, 0.3, "byte_pairs", BART_TOKENS, AROUND),
}
