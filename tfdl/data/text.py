"""Text for language models: tokens, cut into blocks, each with the tokens that follow.

    data = load("tiny_shakespeare", length=64, batch_size=32)
    model = rnn("lstm_characters", vocabulary_size=len(data.tokenizer))
    model.fit(data.train, validation_data=data.validation, epochs=3)

Three kinds of names: `descriptions`, which comes with a package; a text file, or a folder with files *.txt or *.jsonl,
whose rows have a "text"; and any tensorflow_datasets name with a feature "text".  With `streaming` the texts of a file
or folder may be larger than memory: see `token_files`.  Training blocks and their order are pure functions of (seed,
epoch, step), see `order`: a run that stops after any step and starts again there sees the same batches.
"""

import functools
import importlib.resources
import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import PADDING
from tfdl.core.task import Task
from tfdl.data import sources, token_files
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.tokenizers import TOKENIZERS, Characters

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of a text without splits, from its beginning to its end
PART = 1 << 22  # tokens that are counted at once
SMOOTHING = 0.1  # added to the count of each pair of tokens


@dataclass(frozen=True, eq=False)
class TextData:
    """One text, ready for `fit`: batches of tokens (B, T) int32 and of the tokens that follow, PADDING where none do.

    In an epoch of `train` each stretch of T tokens gives one block, which begins at a random place in it, in an order
    of that epoch.  `validation` and `test` are cut end to end, so that every token but the first is predicted once;
    their last block is padded.  A loss with `ignore_class=PADDING` averages over what is predicted.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    tokenizer: object  # see `tokenizers`
    counts: dict[str, int]  # split -> blocks
    position: tf.Variable
    splits: dict[str, np.ndarray]  # split -> all its tokens
    answers = "Gives for each token the logits of the one that follows."  # of a model card

    @property
    def short_name(self):
        """For folders of runs and titles: "poem" for /some/where/poem.txt."""
        return short_name(self.name)

    @property
    def task(self):
        """What a model of this text does; None with a tokenizer that has no tokenizer.json."""
        if not hasattr(self.tokenizer, "tokenizer"):
            return None
        (tokens, _), padding = self.train.element_spec, self.tokenizer.special.get("padding", 0)
        return Task(kind="text_generation", tokenizer="tokenizer.json", length=tokens.shape[1], padding=padding)

    def bigram_nats(self, split="validation"):
        """Nats per token of a model that knows the token before, by its counts in the training text.

        What a network has to beat to have learned more than pairs.
        """
        size = len(self.tokenizer)
        shown = size - len(self.tokenizer.special)  # special tokens stand in no text
        counts = np.zeros((size, size))
        for before, after in neighbors(self.splits["train"]):
            np.add.at(counts, (before, after), 1)
        totals, nats = counts.sum(-1), 0.0
        for before, after in neighbors(self.splits[split]):
            likelihoods = (counts[before, after] + SMOOTHING) / (totals[before] + SMOOTHING * shown)
            nats -= np.log(likelihoods).sum()
        return float(nats / (len(self.splits[split]) - 1))


def neighbors(tokens):
    """(tokens before, tokens that follow) in parts, as there may be more than memory holds."""
    for start in range(0, len(tokens) - 1, PART):
        part = np.asarray(tokens[start : start + PART + 1])
        yield part[:-1], part[1:]


def short_name(name):
    """Of a text, for folders of runs and titles."""
    path = pathlib.Path(name)
    return path.stem if path.suffix == ".txt" else sources.short_name(name)


def load(
    name,
    *,
    length=64,
    batch_size=32,
    tokenizer="characters",
    streaming=False,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Reads the text called `name`.

    Args:
        length: T, tokens in a block.
        batch_size: blocks in a global batch.
        tokenizer: "characters" (those of the training text), "bytes", or one of your own, see `tokenizers`.
        streaming: keep the tokens in a file, not in memory; batches are the same.  For files and folders.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of the blocks and their order.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: use the first so many blocks of each split.
        data_dir: where prepared sets lie; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Raises:
        FileNotFoundError: the text is not there; the message says where it was looked for and what to do.
        ValueError: an argument out of its range, a file that is no UTF-8 text, a set without texts, or a split of fewer
            than 2 `length` tokens.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    for argument, value in {"length": length, "batch_size": batch_size, "limit": limit}.items():
        if value is not None and value < 1:
            raise ValueError(f"{argument} is {value}; give 1 or more.")
    if isinstance(tokenizer, str) and tokenizer not in TOKENIZERS:
        raise ValueError(f"tokenizer is {tokenizer!r}; choose {' or '.join(TOKENIZERS)}, or give one of your own.")
    name = str(name)
    tokenizer, splits = streamed(name, tokenizer) if streaming else encoded(read(name, data_dir, download), tokenizer)
    for key, tokens in splits.items():
        if len(tokens) < 2 * length:
            raise ValueError(
                f"The split {key!r} of {name!r} has {len(tokens):,} tokens, too few for blocks of {length}; give a"
                " shorter length or more text."
            )
    if limit is not None:
        # A training block needs its stretch and the next; a held-out one its characters and the one that follows.
        splits = {key: tokens[: limit * length + (length if key == "train" else 1)] for key, tokens in splits.items()}

    order = Order.start(seed=seed, batch_size=batch_size, count=len(splits["train"]) // length - 1, position=position)
    counts = {key: -(-(len(splits[key]) - 1) // length) for key in ("validation", "test")}
    with tf.device("CPU:0"):
        at = reader(splits["train"])

        def block(rows, batch_seed):
            """Blocks that begin somewhere in the stretches `rows`."""
            shifts = tf.random.stateless_uniform(tf.shape(rows), batch_seed, 0, length, tf.int64)
            blocks = at((rows * length + shifts)[:, None] + tf.range(length + 1, dtype=tf.int64))
            return tf.ensure_shape(blocks[:, :-1], (None, length)), tf.ensure_shape(blocks[:, 1:], (None, length))

        train = order.keys().map(block, tf.data.AUTOTUNE)
        filler = tokenizer.special.get("padding", 0)
        held_out = {
            key: tf.data.Dataset.range(count)
            .batch(static.evaluation_batch(count, batch_size))
            .map(end_to_end(splits[key], length, filler), tf.data.AUTOTUNE)
            for key, count in counts.items()
        }
    return TextData(
        name=name,
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in held_out.items()},
        tokenizer=tokenizer,
        counts={"train": order.count, **counts},
        position=order.position,
        splits=splits,
    )


def encoded(texts, tokenizer):
    """The tokenizer, and split -> tokens, of texts in memory."""
    if isinstance(tokenizer, str):
        tokenizer = TOKENIZERS[tokenizer](texts["train"])
    return tokenizer, {key: tokenizer.encode(text) for key, text in texts.items()}


def streamed(name, tokenizer):
    """The same of files, whose tokens stay in a file; splits are parts of the tokens, which are as many as letters."""
    files = token_files.files_of(name)
    if not files:
        raise FileNotFoundError(
            f"There are no files {', '.join(token_files.SUFFIXES)} at {name}; streaming reads these."
        )
    if tokenizer == "characters":
        tokenizer = Characters(token_files.characters(files, FRACTIONS["train"]))
    elif isinstance(tokenizer, str):
        tokenizer = TOKENIZERS[tokenizer]("")
    return tokenizer, parts(token_files.tokenized(files, tokenizer))


def reader(tokens):
    """A function from places, int64 of any shape, to the tokens there, int32."""
    if isinstance(tokens, np.memmap):
        return lambda places: tf.numpy_function(lambda found: tokens[found].astype("int32"), [places], tf.int32)
    table = tf.constant(tokens, tf.int32)
    return lambda places: tf.gather(table, places)


def end_to_end(tokens, length, filler=0):
    """A function from numbers (B,) of blocks that cover the tokens but the last to them, and to what follows: (B, T).

    The last block is filled up with `filler`, and with PADDING in what follows.
    """
    at, last = reader(tokens), len(tokens) - 1

    def blocks(numbers):
        places = numbers[:, None] * length + tf.range(length + 1, dtype=tf.int64)
        found = tf.ensure_shape(at(tf.minimum(places, last)), (None, length + 1))
        is_there = places[:, :-1] < last
        return tf.where(is_there, found[:, :-1], filler), tf.where(is_there, found[:, 1:], PADDING)

    return blocks


# Reading


def read(name, data_dir=None, download=False):
    """Split -> text.  Raises as `load`."""
    if name == "descriptions":
        return parts(descriptions())
    path = pathlib.Path(name).expanduser()
    if path.is_dir() and (len(path.parts) > 1 or not sources.is_set(name, data_dir)):
        files = token_files.files_of(path)
        if not files:
            raise FileNotFoundError(f"There are no files *.txt in {path}; give a text file, or a folder of such files.")
        return parts("".join(token_files.pieces(files)))
    if path.is_file():
        return parts("".join(token_files.pieces([path])))
    if path.suffix == ".txt" or path.is_absolute():
        raise FileNotFoundError(f"There is no text file {path}; give a file, a folder of *.txt, or the name of a set.")
    return read_set(name, data_dir, download)


def parts(text):
    """Split -> its part of one text, or of tokens."""
    ends = np.round(np.cumsum([0, *FRACTIONS.values()]) * len(text)).astype(int).tolist()
    return {key: text[start:end] for key, start, end in zip(FRACTIONS, ends, ends[1:])}


def read_set(name, data_dir, download):
    """The texts of a tensorflow_datasets set, joined by line breaks."""
    info, datasets = sources.tfds_splits(name, data_dir, download)
    if "text" not in info.features or "train" not in datasets:
        raise ValueError(
            f"The set {name!r} has the features {', '.join(info.features)} and the splits {', '.join(datasets)}; a"
            " language model needs a feature 'text' and a split 'train'."
        )
    rows = {key: split.as_numpy_iterator() for key, split in datasets.items()}
    texts = {key: "\n".join(row["text"].decode() for row in examples) for key, examples in rows.items()}
    return {key: texts[key] for key in FRACTIONS} if set(FRACTIONS) <= set(texts) else parts(texts["train"])


@functools.cache
def descriptions():
    """43,000 characters of English prose: scikit-learn's descriptions of its data sets (BSD license)."""
    folder = importlib.resources.files("sklearn.datasets.descr")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".rst")), key=lambda file: file.name)
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
