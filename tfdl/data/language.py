"""Text for language models: blocks of tokens (B, T) int32, each with the tokens that follow, (B, T).

    data = load("tiny_shakespeare", length=64, batch_size=12, run=run)
    model.fit(data.train, validation_data=data.validation, epochs=5)

An epoch cuts the training text into blocks that lie one after the other, from another place each time, and shuffles
them: all of it is a pure function of (seed, epoch, step), so that a run which stops after any step sees the same
batches when it starts again; see `order`.  Validation and test text are cut from their beginning.
"""

import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.data import sources
from tfdl.data.order import Order, polished
from tfdl.data.tokenizers import TOKENIZERS

SPLITS = {"train": 0.9, "validation": 0.05, "test": 0.05}  # of a text file, one after the other
SUFFIXES = (".txt", ".md")


@dataclass(frozen=True, eq=False)
class LanguageData:
    """One text, ready for `fit`."""

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    tokenizer: object  # see `tokenizers`
    length: int  # of a block
    counts: dict[str, int]  # split -> number of blocks
    position: tf.Variable

    @property
    def short_name(self):
        """For folders of runs and titles: "poem" for /some/where/poem.txt."""
        return short_name(self.name)


def short_name(name):
    """Of a text, for folders of runs and titles."""
    path = pathlib.Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else sources.short_name(name)


def load(
    name,
    *,
    length,
    batch_size=32,
    tokenizer="characters",
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
):
    """Reads the text called `name`: a text file, a folder of them, or a tensorflow_datasets name with a `text`.

    Args:
        length: T, tokens in a block.  Up to T - 1 tokens at the end of a split belong to no block.
        batch_size: blocks in a batch.
        tokenizer: "characters" (those of the training text), "bytes", or an object with `encode` and `decode`.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: keep the first so many blocks of each split.
        data_dir: where prepared sets lie; None is `sources.data_dir()`.

    Raises:
        FileNotFoundError: the set is not here, or the folder has no text.
        ValueError: an unknown name, no UTF-8, too short for a block, or an argument is out of its range.
    """
    if run is not None:
        if (seed, position, limit) != (0, None, None):
            raise ValueError("load got a run beside seed, position or limit; the run has them, so leave them out.")
        seed, position, limit = run.seed, run.position, run.limit
    check_arguments(length, batch_size, tokenizer, limit)
    texts = read(name, data_dir)
    if isinstance(tokenizer, str):
        tokenizer = TOKENIZERS[tokenizer](texts["train"])
    tokens = {key: tokenizer.encode(text) for key, text in texts.items()}
    # One block less in training, so that blocks may begin anywhere in the first.
    counts = {key: (len(part) - 1) // length - (key == "train") for key, part in tokens.items()}
    for key, count in counts.items():
        if count < 1:
            raise ValueError(
                f"The {key} text of {name!r} has {len(tokens[key])} tokens, too few for blocks of {length}; choose a"
                " shorter length."
            )
    if limit is not None:
        counts = {key: min(limit, count) for key, count in counts.items()}

    with tf.device("CPU:0"):
        order = Order.start(seed=seed, batch_size=batch_size, count=counts["train"], position=position)
        train = shuffled_blocks(tf.constant(tokens["train"]), length, order)
        others = {
            key: tf.data.Dataset.from_tensor_slices(blocks(tokens[key], counts[key], length)).batch(batch_size)
            for key in ("validation", "test")
        }

    return LanguageData(
        name=name,
        train=polished(train, (0, 1)),
        **{key: polished(dataset, (0, 1)) for key, dataset in others.items()},
        tokenizer=tokenizer,
        length=length,
        counts=counts,
        position=order.position,
    )


def shuffled_blocks(tokens, length, order):
    """One epoch of training batches."""

    def remaining(epoch, step):
        rows = order.rows(epoch)
        first = tf.random.stateless_uniform((), order.epoch_seed(epoch), maxval=length, dtype=tf.int64)

        def batch(step):
            starts = first + length * rows[step * order.batch_size : (step + 1) * order.batch_size]
            found = tf.gather(tokens, starts[:, None] + tf.range(length + 1, dtype=tf.int64))  # (B, T + 1)
            return found[:, :-1], found[:, 1:]

        return tf.data.Dataset.range(step, order.steps).map(batch)

    return order.one_epoch(remaining)


def blocks(tokens, count, length):
    """The first blocks and what follows each token: two of (count, T) int32."""
    return tuple(tokens[start : start + count * length].reshape(count, length) for start in (0, 1))


def check_arguments(length, batch_size, tokenizer, limit):
    """Raises ValueError for a value out of its range."""
    if length < 1:
        raise ValueError(f"length is {length}; give 1 or more tokens.")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give 1 or more.")
    if isinstance(tokenizer, str) and tokenizer not in TOKENIZERS:
        raise ValueError(f"tokenizer is {tokenizer!r}; choose {' or '.join(TOKENIZERS)}, or give an object.")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; give 1 or more, or None for the whole text.")
    if tf.distribute.has_strategy():
        raise ValueError("load was called inside a strategy's scope; call it before the scope is entered.")


# Texts


def read(name, data_dir):
    """split -> text."""
    path = pathlib.Path(name)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
        if not files:
            raise FileNotFoundError(f"The folder {path} holds no text file ({', '.join(SUFFIXES)}).")
        return parts("\n".join(text_of(file) for file in files))
    if path.is_file():
        return parts(text_of(path))
    info, sets = sources.tfds_splits(name, data_dir)
    if "text" not in info.features:
        raise ValueError(f"The set {name!r} has the features {', '.join(info.features)}; it needs a 'text'.")
    found = {key: "\n".join(example["text"].numpy().decode() for example in split) for key, split in sets.items()}
    return found if set(SPLITS) <= found.keys() else parts("\n".join(found.values()))


def text_of(path):
    """The text of a file.  Raises ValueError if it is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text (byte {error.start}); convert it first.") from error


def parts(text):
    """A text in three parts, one after the other."""
    first, second = (round(np.cumsum(list(SPLITS.values()))[i] * len(text)) for i in (0, 1))
    return {"train": text[:first], "validation": text[first:second], "test": text[second:]}
