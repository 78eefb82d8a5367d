"""Text for language models: tokens, cut into blocks, each with the tokens that follow.

    data = load("tiny_shakespeare", length=64, batch_size=32)
    model = rnn("lstm_characters", vocabulary_size=len(data.tokenizer))
    model.fit(data.train, validation_data=data.validation, epochs=3)

Three kinds of names: `descriptions`, which comes with a package; a text file, or a folder with files *.txt; and any
tensorflow_datasets name with a feature "text".  Training blocks and their order are pure functions of (seed, epoch,
step), see `order`: a run that stops after any step and starts again there sees the same batches.
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
from tfdl.data import sources
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.tokenizers import TOKENIZERS

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of a text without splits, from its beginning to its end
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
        np.add.at(counts, (self.splits["train"][:-1], self.splits["train"][1:]), 1)
        before, after = self.splits[split][:-1], self.splits[split][1:]
        likelihoods = (counts[before, after] + SMOOTHING) / (counts[before].sum(-1) + SMOOTHING * shown)
        return float(-np.log(likelihoods).mean())


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
    texts = read(name, data_dir, download)
    if isinstance(tokenizer, str):
        tokenizer = TOKENIZERS[tokenizer](texts["train"])
    splits = {key: tokenizer.encode(text) for key, text in texts.items()}
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
    with tf.device("CPU:0"):
        tokens = tf.constant(splits["train"])

        def block(rows, batch_seed):
            """Blocks that begin somewhere in the stretches `rows`."""
            shifts = tf.random.stateless_uniform(tf.shape(rows), batch_seed, 0, length, tf.int64)
            blocks = tf.gather(tokens, (rows * length + shifts)[:, None] + tf.range(length + 1, dtype=tf.int64))
            return tf.ensure_shape(blocks[:, :-1], (None, length)), tf.ensure_shape(blocks[:, 1:], (None, length))

        train = order.keys().map(block, tf.data.AUTOTUNE)
        filler = tokenizer.special.get("padding", 0)
        cut = {key: end_to_end(splits[key], length, filler) for key in ("validation", "test")}
        held_out = {
            key: tf.data.Dataset.from_tensor_slices(pair).batch(static.evaluation_batch(len(pair[0]), batch_size))
            for key, pair in cut.items()
        }
    return TextData(
        name=name,
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in held_out.items()},
        tokenizer=tokenizer,
        counts={"train": order.count, **{key: len(pair[0]) for key, pair in cut.items()}},
        position=order.position,
        splits=splits,
    )


def end_to_end(tokens, length, filler=0):
    """Blocks (N, T) that cover the tokens but the last, and what follows each: (N, T).

    The last block is filled up with `filler`, and with PADDING in what follows.
    """
    count = -(-(len(tokens) - 1) // length)
    before = np.full(count * length, filler, "int32")
    after = np.full(count * length, PADDING, "int32")
    before[: len(tokens) - 1], after[: len(tokens) - 1] = tokens[:-1], tokens[1:]
    return before.reshape(count, length), after.reshape(count, length)


# Reading


def read(name, data_dir=None, download=False):
    """Split -> text.  Raises as `load`."""
    if name == "descriptions":
        return parts(descriptions())
    path = pathlib.Path(name).expanduser()
    if path.is_dir() and (len(path.parts) > 1 or not sources.is_set(name, data_dir)):
        files = sorted(path.rglob("*.txt"))
        if not files:
            raise FileNotFoundError(f"There are no files *.txt in {path}; give a text file, or a folder of such files.")
        return parts("\n".join(map(read_file, files)))
    if path.is_file():
        return parts(read_file(path))
    if path.suffix == ".txt" or path.is_absolute():
        raise FileNotFoundError(f"There is no text file {path}; give a file, a folder of *.txt, or the name of a set.")
    return read_set(name, data_dir, download)


def parts(text):
    """Split -> its part of one text."""
    ends = np.round(np.cumsum([0, *FRACTIONS.values()]) * len(text)).astype(int).tolist()
    return {key: text[start:end] for key, start, end in zip(FRACTIONS, ends, ends[1:])}


def read_file(path):
    """The text of a UTF-8 file, each line ended by one character; a byte-order mark is left out."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text (byte {error.start:,}); convert it to UTF-8.") from error


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
