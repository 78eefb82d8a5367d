"""Pairs of texts, such as a sentence and its translation: what is read, what was written, and what follows.

    data = load("multi30k_en_de", source="1", target="0", batch_size=64)     # German to English
    model = transformer("small", vocabulary_size=len(data.target_tokenizer))
    model.fit(data.train, validation_data=data.validation, epochs=3)

Names: `reverse`, strings of digits and the same from behind, which needs no file; and what `records.read` knows, such
as a file of two columns.  The order of pairs is a pure function of (seed, epoch, step), see `order`: a run that stops
after any step and starts again there sees the same batches.

Shapes: B batch, S tokens of the source, T of the target, all of a batch padded to the same multiple of MULTIPLE.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import PADDING
from tfdl.data import records, sources
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.tokenizers import PAIR_TOKENS, Pieces, Words, split_words

SPLITS = ("train", "validation", "test")
MULTIPLE = 4  # of tokens: nothing is traced again for a new length, but kernels and memory are prepared for each
TOKENIZERS = {  # texts and size of the vocabulary -> tokenizer whose padding is 0
    "words": lambda texts, size: Words.of(texts),
    "byte_pairs": lambda texts, size: Pieces.trained(texts, size, "byte_pairs", PAIR_TOKENS),
    "word_pieces": lambda texts, size: Pieces.trained(texts, size, "word_pieces"),
}


@dataclass(frozen=True, eq=False)
class PairData:
    """Pairs of texts, ready for `fit`: {"source": (B, S), "target_in": (B, T)} and target_out (B, T), all int32.

    Sources end with the end token.  `target_in` is the start token and the target, `target_out` the target and the end
    token.  Padding is 0, in `target_out` it is PADDING, which a loss with `ignore_class=PADDING` leaves out.

    Training batches hold pairs of similar lengths; those of `validation` and `test` are sorted by length.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    source_tokenizer: object  # see `tokenizers`; the same one for both sides if they share it
    target_tokenizer: object
    counts: dict[str, int]  # split -> pairs
    note: str  # which pairs were left out, for the header
    position: tf.Variable
    pairs: dict[str, tuple]  # split -> sources and targets, two tuples of texts in the order of the data set
    tokens: dict[str, int]  # split -> tokens of the targets to predict, their ends included

    @property
    def short_name(self):
        """For folders of runs and titles."""
        return sources.short_name(self.name)

    def vocabularies(self):
        """Sizes, as arguments of a model: `vocabulary_size` if both sides share it, else one for each side."""
        if self.source_tokenizer is self.target_tokenizer:
            return {"vocabulary_size": len(self.target_tokenizer)}
        return {"source_vocabulary": len(self.source_tokenizer), "target_vocabulary": len(self.target_tokenizer)}

    def texts(self, split):
        """The sources and the targets of a split, two tuples of texts; held-out ones in the order of their batches."""
        return self.pairs[split]

    def tokens_per_word(self, split):
        """Tokens to predict for each word and sign of the targets, ends of texts counted on both sides.

        Nats per token times this are nats per word, in which vocabularies of any kind can be compared.
        """
        _, targets = self.texts(split)
        return self.tokens[split] / sum(len(split_words(text)) + 1 for text in targets)


def load(
    name,
    *,
    source="0",
    target="1",
    length=64,
    batch_size=64,
    tokenizer="byte_pairs",
    vocabulary_size=4000,
    shared=True,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Reads the pairs called `name`.

    Pairs with an empty side, and pairs with a side of more than `length` tokens, are left out; `PairData.note` counts
    them.  A set without validation and test splits gives every tenth pair to each.

    Args:
        source, target: columns, by their names, or by "0", "1" ... in a file without names.
        length: the most tokens of either side, with the end of the text.
        batch_size: pairs in a global batch.
        tokenizer: a key of TOKENIZERS: "words" in lower case that occur twice, "byte_pairs", or "word_pieces" in lower
            case; made from the training texts.
        vocabulary_size: of byte_pairs and word_pieces.
        shared: one vocabulary for both sides.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: use the first so many pairs of each split.
        data_dir: where prepared sets lie; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Raises:
        FileNotFoundError: there are no such records; the message says where they were looked for and what to do.
        ValueError: an argument out of its range, no such column, or a split without a pair that is left.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    for argument, value in {"length": length, "batch_size": batch_size, "limit": limit}.items():
        if value is not None and value < 1:
            raise ValueError(f"{argument} is {value}; give 1 or more.")
    if tokenizer not in TOKENIZERS:
        raise ValueError(f"tokenizer is {tokenizer!r}; choose {', '.join(TOKENIZERS)}.")
    name = str(name)
    splits = reversals() if name == "reverse" else read(name, source, target, data_dir, download)
    made = TOKENIZERS[tokenizer]
    if shared:
        both = made([*splits["train"][0], *splits["train"][1]], vocabulary_size)
        tokenizers = both, both
    else:
        tokenizers = tuple(made(texts, vocabulary_size) for texts in splits["train"])
    encoded, texts, left_out = {}, {}, []
    for key, pairs in splits.items():
        encoded[key], texts[key], reason = encode(pairs, tokenizers, length, limit)
        left_out += [f"{key}: {reason}"] if reason else []
        if not encoded[key]:
            raise ValueError(f"No pair of the split {key!r} of {name!r} is left ({reason}); give a longer length.")
    lengths = {key: np.array([[len(tokens) for tokens in row] for row in rows]) for key, rows in encoded.items()}
    by_length = {key: sizes[:, 1] * (length + 1) + sizes[:, 0] for key, sizes in lengths.items()}  # the target's first
    for key in SPLITS[1:]:
        rows = np.argsort(by_length[key], kind="stable").tolist()
        encoded[key] = [encoded[key][row] for row in rows]
        texts[key] = tuple(tuple(side[row] for row in rows) for side in texts[key])

    count = len(encoded["train"])
    order = Order.start(seed=seed, batch_size=batch_size, count=count, position=position, lengths=by_length["train"])
    with tf.device("CPU:0"):
        datasets = {"train": order.keys().map(batches(encoded["train"], length), tf.data.AUTOTUNE)}
        for key in SPLITS[1:]:
            rows = tf.data.Dataset.range(len(encoded[key]))
            rows = rows.batch(static.evaluation_batch(len(encoded[key]), batch_size))
            datasets[key] = rows.map(batches(encoded[key], length), tf.data.AUTOTUNE)
    return PairData(
        name=name,
        **{key: finalized(dataset, (0, 1)) for key, dataset in datasets.items()},
        source_tokenizer=tokenizers[0],
        target_tokenizer=tokenizers[1],
        counts={key: len(rows) for key, rows in encoded.items()},
        note=f"left out: {'; '.join(left_out)}" if left_out else "",
        position=order.position,
        pairs=texts,
        tokens={key: int(sizes[:, 1].sum()) - len(sizes) for key, sizes in lengths.items()},
    )


def encode(pairs, tokenizers, length, limit=None):
    """The token numbers of the pairs that have a text on both sides and fit.

    Returns:
        list of (source, target), arrays with the special tokens around them; their texts, two tuples; and how many were
        left out for which reason.
    """
    limits = length, length + 1  # the start token of a target is nothing to predict
    rows, texts, empty, long = [], [], 0, 0
    for pair in zip(*pairs):
        if limit is not None and len(rows) == limit:
            break
        source, target = (tokenizer.encode(text) for tokenizer, text in zip(tokenizers, pair))
        if not len(source) or not len(target):
            empty += 1
            continue
        (_, end), (start, last) = (((t.special["start"], t.special["end"])) for t in tokenizers)
        row = np.array([*source, end], "int32"), np.array([start, *target, last], "int32")
        if any(len(tokens) > most for tokens, most in zip(row, limits)):
            long += 1
            continue
        rows.append(row)
        texts.append(pair)
    reasons = [f"{empty:,} with an empty side"] * bool(empty) + [f"{long:,} of more than {length} tokens"] * bool(long)
    return rows, tuple(zip(*texts)), " and ".join(reasons)


def batches(rows, length):
    """A function from row numbers (B,) to the batch of these pairs."""
    source, target = (table([row[side] for row in rows]) for side in (0, 1))

    def batch(rows, *_):
        read, whole = padded(source, rows, length), padded(target, rows, length, extra=1)
        following = tf.where(whole[:, 1:] == 0, PADDING, whole[:, 1:])
        before = tf.where(following == PADDING, 0, whole[:, :-1])
        shape = (None, length) if static.is_required() else (None, None)
        read, before, following = (tf.ensure_shape(tokens, shape) for tokens in (read, before, following))
        return {"source": read, "target_in": before}, following

    return batch


def table(rows):
    """Arrays of different lengths, end to end."""
    return tf.RaggedTensor.from_row_lengths(np.concatenate(rows), [len(row) for row in rows])


def padded(table, rows, length, extra=0, filler=0):
    """Rows of a table (B, W), `filler` behind each: W - `extra` is a multiple of MULTIPLE, or `length` where fixed."""
    found = tf.gather(table, rows)
    longest = tf.reduce_max(found.row_lengths()) - extra
    width = tf.constant(length, tf.int64) if static.is_required() else -(-longest // MULTIPLE) * MULTIPLE
    return found.to_tensor(filler, shape=tf.stack([-1, width + extra]))


# Reading


def read(name, source, target, data_dir=None, download=False):
    """Split -> sources and targets, two tuples of texts.  Raises as `load`."""
    splits = {}
    for key, rows in records.read(name, data_dir=data_dir, download=download).items():
        missing = [column for column in (source, target) if column not in rows[0]]
        if missing:
            raise ValueError(
                f"The split {key!r} of {name!r} has no column {missing[0]!r}; it has {', '.join(map(repr, rows[0]))}."
            )
        splits[key] = tuple(tuple(str(row[column]) for row in rows) for column in (source, target))
    if "train" not in splits:
        raise ValueError(f"{name!r} has the splits {', '.join(splits)}; add one for training.")
    if not set(SPLITS) <= set(splits):
        splits = tenths(splits["train"])
    return {key: splits[key] for key in SPLITS}


def tenths(pairs):
    """Split -> its part of pairs without splits: of each ten, eight for training."""
    parts = {"train": range(8), "validation": (8,), "test": (9,)}
    return {
        key: tuple(tuple(text for i, text in enumerate(side) if i % 10 in part) for side in pairs)
        for key, part in parts.items()
    }


def reversals(count=20_000, held_out=500, digits=8):
    """Split -> different strings of digits, and the same from behind: "4 0 7 7" -> "7 7 0 4"."""
    rng = np.random.default_rng(0)
    numbers = rng.choice(10**digits, count + 2 * held_out, replace=False)
    texts = tuple(" ".join(f"{number:0{digits}}") for number in numbers.tolist())
    bounds = {"validation": (0, held_out), "test": (held_out, 2 * held_out), "train": (2 * held_out, len(texts))}
    return {key: (texts[a:b], tuple(text[::-1] for text in texts[a:b])) for key, (a, b) in bounds.items()}
