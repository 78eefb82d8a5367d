"""Texts with a class each, as batches of tokens (B, T) int32 and labels (B) int32.

    data = load("sst2", length=64, batch_size=32)
    model = rnn("gru_classifier", vocabulary_size=len(data.tokenizer), num_classes=data.num_classes)
    model.fit(data.train, validation_data=data.validation, epochs=5)

`records` says which names there are.  T is only as large as the longest text of a batch needs, so training batches hold
texts of similar lengths; their order is a pure function of (seed, epoch, step), see `order`.
"""

import functools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tokenizers
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from tokenizers import decoders, models, normalizers, pre_tokenizers

from tfdl.core import static
from tfdl.core.task import Task
from tfdl.core.token_rows import MULTIPLE, encode, readable
from tfdl.data import classes, folders, records, sources
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.tokenizers import BERT_TOKENS, Pieces, around
from tfdl.data.tokenizers import load as load_tokenizer

TEXTS = ("title", "headline", "text", "sentence", "review", "comment", "tweet", "message", "description", "content")
LABELS = ("label", "class", "category", "sentiment", "target", "topic")
SHORTEST = 3  # tokens: those around a text, and one of its own
WORDS = r"(?u)\w+"  # of the classifiers on single words


@dataclass(frozen=True, eq=False)
class LabeledTexts:
    """A set of labeled texts, ready for `fit`.

    `train` is one epoch, in a different order each time; `validation` and `test` have the stored order.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    labels: tuple[str, ...]  # names of the classes
    counts: dict[str, int]  # split -> texts
    cut: dict[str, int]  # split -> texts that are longer than `length`
    length: int  # the most tokens of a text, special ones included
    tokenizer: Pieces
    position: tf.Variable
    texts: dict[str, tuple[str, ...]]  # split -> its texts
    numbers: dict[str, np.ndarray]  # split -> their classes (N) int32

    @property
    def short_name(self):
        """Name for run folders and titles."""
        return sources.short_name(self.name)

    @property
    def num_classes(self):
        return len(self.labels)

    @property
    def padding(self):
        """The token behind a text's end, which a model has to leave out."""
        return self.tokenizer.special["padding"]

    @property
    def task(self):
        """The task of a model of these texts, with the preparation of its input."""
        return Task(
            kind="text_classification",
            labels=self.labels,
            tokenizer="tokenizer.json",
            length=self.length,
            padding=self.padding,
        )

    @functools.cached_property
    def class_counts(self):
        """Split -> number of texts of each class (num_classes)."""
        return {key: np.bincount(numbers, minlength=self.num_classes) for key, numbers in self.numbers.items()}

    def class_weights(self):
        """See `classes.class_weights`."""
        return classes.class_weights(self.class_counts["train"], self.labels)

    def baselines(self, split="test"):
        """Accuracies of classifiers on single words, which know nothing of their order: what a network has to beat.

        Words count by their frequency in the text and their rarity in the training texts (TF-IDF).
        """
        words = TfidfVectorizer(token_pattern=WORDS)
        train, held_out = words.fit_transform(self.texts["train"]), words.transform(self.texts[split])
        judges = {"naive_bayes": MultinomialNB(), "logistic_regression": LogisticRegression(max_iter=1000)}
        return {
            f"{split}_accuracy/{name}": float(
                judge.fit(train, self.numbers["train"]).score(held_out, self.numbers[split])
            )
            for name, judge in judges.items()
        }


def load(
    name,
    *,
    length=64,
    batch_size=32,
    tokenizer="word_pieces",
    vocabulary_size=8000,
    text=None,
    label=None,
    labels=None,
    validation_fraction=None,
    word_dropout=0.0,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Reads the labeled texts called `name`: see `records`.

    Args:
        length: the most tokens of a text, special ones included; longer texts are cut.
        batch_size: texts in a global batch.
        tokenizer: a row of TOKENIZERS, made for the training texts; the file or folder of a published one; or `Pieces`.
        vocabulary_size: of a tokenizer made here, at most; characters and bytes have as many as there are.
        text: the column of the texts; of several, as in "title,description", the texts are joined by spaces.  None
            takes the columns that have one of the names TEXTS.
        label: the column of the classes, None for one of the names LABELS.  In two columns without names, the classes
            are in the one that has fewer different values.
        labels: names of the classes, where the data have numbers or shorter names; in the order of those.
        validation_fraction: of each class, where the set has no validation split; None means 0.1.  A missing test split
            is a tenth of the training texts.  A text's place is fixed by its letters alone, so that equal texts come
            into the same split.  A split without labels counts as missing.
        word_dropout: part of the training tokens that become unknown, others in each epoch, so that no few words
            decide alone; after Iyyer et al. 2015, "Deep unordered composition", section 3.2, who leave them out.
        run: a session, whose seed, position and limit replace the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from; None creates one.
        limit: use only so many texts of each split, evenly spaced ones.
        data_dir: where names are looked for; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Raises:
        FileNotFoundError: the set or the tokenizer is not there.
        ValueError: an argument out of its range, a damaged file, no column of texts or classes, one class only, or a
            held-out split with a class that train lacks.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    for argument, value, least in (("length", length, SHORTEST), ("batch_size", batch_size, 1), ("limit", limit, 1)):
        if value is not None and value < least:
            raise ValueError(f"{argument} is {value}; give {least} or more.")
    if not 0.0 <= word_dropout < 1.0:
        raise ValueError(f"word_dropout is {word_dropout}; give a fraction from 0 to below 1.")
    name = str(name)
    pairs = read(name, text, label, data_dir, download)
    names = classes.names_of(label for _, label in pairs["train"])
    if len(names) < 2:
        raise ValueError(f"{name!r} has only the class {names[0]!r}; a classifier needs two or more.")
    pairs = all_splits(pairs, {known: number for number, known in enumerate(names)}, name, validation_fraction)
    if labels is not None and len(labels) != len(names):
        raise ValueError(
            f"labels has {len(labels)} names, but {name!r} has {len(names)} classes: {', '.join(names)}; name each."
        )
    pairs = {key: evenly(rows, limit) for key, rows in pairs.items()}
    texts = {key: tuple(text for text, _ in rows) for key, rows in pairs.items()}
    numbers = {key: np.array([number for _, number in rows], "int32") for key, rows in pairs.items()}
    tokenizer = tokenizer_for(tokenizer, texts["train"], vocabulary_size)
    encoded = {key: encode(tokenizer.tokenizer, split, length) for key, split in texts.items()}

    order = Order.start(
        seed=seed,
        batch_size=batch_size,
        count=len(texts["train"]),
        position=position,
        lengths=[len(tokens) for tokens, _ in encoded["train"]],
    )
    with tf.device("CPU:0"):
        gather = {
            key: gatherer([tokens for tokens, _ in rows], numbers[key], length, tokenizer.special["padding"])
            for key, rows in encoded.items()
        }

        def batch(rows, batch_seed):
            tokens, numbers = gather["train"](rows, batch_size)
            return without_some(tokens, word_dropout, tokenizer.special, batch_seed), numbers

        train = order.keys().map(batch, tf.data.AUTOTUNE)
        held_out = {key: in_order(gather[key], len(texts[key]), batch_size) for key in ("validation", "test")}
    return LabeledTexts(
        name=name,
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in held_out.items()},
        labels=names if labels is None else tuple(labels),
        counts={key: len(split) for key, split in texts.items()},
        cut={key: sum(is_cut for _, is_cut in rows) for key, rows in encoded.items()},
        length=length,
        tokenizer=tokenizer,
        position=order.position,
        texts=texts,
        numbers=numbers,
    )


# Batches


def gatherer(rows, numbers, length, padding):
    """A function from places (B) of texts to their tokens (B, T) int32 and classes (B) int32.

    T is what the longest of them needs, or `length` where batches are static.
    """
    flat = tf.constant(np.concatenate(rows))
    tokens = tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in rows])
    numbers = tf.constant(numbers)

    def gather(places, batch_size):
        found = tf.gather(tokens, places)
        dense = found.to_tensor(padding)  # (B, longest)
        size = tf.minimum(length, MULTIPLE * -(-tf.shape(dense)[1] // MULTIPLE))
        size = length if static.is_required() else size
        dense = tf.pad(dense, [[0, 0], [0, size - tf.shape(dense)[1]]], constant_values=padding)
        shape = (batch_size, length) if static.is_required() else (None, None)
        return tf.ensure_shape(dense, shape), tf.ensure_shape(tf.gather(numbers, places), shape[:1])

    return gather


def without_some(tokens, rate, special, seed):
    """Tokens (B, T) with a random part of those in a text made unknown; special ones stay."""
    if not rate:
        return tokens
    draws = tf.random.stateless_uniform(tf.shape(tokens), seed)
    is_word = tf.reduce_all(tokens[..., None] != tf.constant([*special.values()]), axis=-1)
    return tf.where((draws < rate) & is_word, special["unknown"], tokens)


def in_order(gather, count, batch_size):
    """All texts as they are stored."""
    size = static.evaluation_batch(count, batch_size)
    rows = tf.data.Dataset.range(count).batch(size, drop_remainder=static.is_required())
    return rows.map(lambda places: gather(places, size))


# Reading


def read(name, text, label, data_dir, download):
    """Split -> [(text, label)].  A split whose labels are all empty or negative is left out."""
    rows = records.read(name, data_dir=data_dir, download=download)
    if "train" not in rows:
        raise ValueError(f"{name!r} has the splits {', '.join(rows)}; it needs one called train.")
    texts, label = columns_of(name, rows["train"], text, label)
    found = {}
    for key, split in rows.items():
        lacking = [column for column in (*texts, label) if column not in split[0]]
        if lacking and (key == "train" or lacking != [label]):
            raise ValueError(
                f"The split {key!r} of {name!r} has no column {lacking[0]!r}; it has {', '.join(split[0])}."
            )
        if key == "train" or (not lacking and any(is_label(row[label]) for row in split)):
            found[key] = [(readable(" ".join(str(row[column]) for column in texts)), str(row[label])) for row in split]
    return found


def is_label(value):
    """Whether it is a class: published test splits have -1 or nothing in place of one."""
    return str(value) != "" and not str(value).startswith("-")


def columns_of(name, rows, text, label):
    """The columns of the texts, and that of the classes."""
    columns = list(rows[0])
    if columns == ["0", "1"] and (text, label) == (None, None):
        variety = [len({row[column] for row in rows}) for column in columns]
        text, label = ("0", "1") if variety[1] < variety[0] else ("1", "0")
    texts = text.split(",") if text else [column for column in columns if column.lower() in TEXTS]
    label = label or next((column for column in columns if column.lower() in LABELS), None)
    if not texts or label is None:
        what = "text" if not texts else "label"
        raise ValueError(f"{name!r} has the columns {', '.join(columns)}; say with `{what}` which of them is meant.")
    if label in texts:
        raise ValueError(f"The column {label!r} of {name!r} is both text and label; choose two.")
    return texts, label


def all_splits(pairs, number, name, validation_fraction):
    """Split -> [(text, class number)] of all three; a missing one is taken from train."""
    fractions = {"test": folders.FRACTION, "validation": validation_fraction or folders.FRACTION}
    if validation_fraction is not None and not 0.0 < validation_fraction < 1.0:
        raise ValueError(f"validation_fraction is {validation_fraction}; give a number above 0 and below 1.")
    if validation_fraction is not None and "validation" in pairs:
        raise ValueError(f"{name!r} already has the split 'validation'; leave out validation_fraction.")
    for key, split in pairs.items():
        if unknown := next((label for _, label in split if label not in number), None):
            raise ValueError(f"The split {key!r} of {name!r} has the class {unknown!r}, which train lacks.")
    numbered = {key: [(text, number[label]) for text, label in split] for key, split in pairs.items()}
    missing = {key: fraction for key, fraction in fractions.items() if key not in numbered}
    if missing:
        rows = [(place, text, label) for place, (text, label) in enumerate(numbered["train"])]
        dealt = folders.dealt(rows, missing, 0)
        numbered |= {key: [(text, label) for _, text, label in sorted(split)] for key, split in dealt.items()}
    if empty := next((key for key, split in numbered.items() if not split), None):
        raise ValueError(f"{name!r} gives no text to the split {empty!r}; a class needs three texts to be split.")
    return {key: numbered[key] for key in ("train", "validation", "test")}


def evenly(rows, limit):
    """So many of the rows, or all: the first one, the last one, and others at equal distances, as files are sorted."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[place] for place in np.linspace(0, len(rows) - 1, limit).round().astype(int)]


# Tokenizers


def tokenizer_for(wanted, texts, size):
    """The `Pieces` that `load` was asked for."""
    if isinstance(wanted, str) and wanted in TOKENIZERS:
        wanted = TOKENIZERS[wanted](texts, size)
    elif not isinstance(wanted, Pieces):
        wanted = load_tokenizer(wanted)
    if not isinstance(wanted, Pieces) or not {"padding", "unknown"} <= wanted.special.keys():
        raise ValueError(
            f"The tokenizer {wanted!r} has no tokens for padding and for what is unknown, or is no tokenizer.json;"
            f" choose one of a model that classifies texts, such as BERT's, or {', '.join(TOKENIZERS)}."
        )
    return wanted


def characters(texts, size):
    """A token for each character of the texts."""
    known = sorted(set().union(*texts))
    numbers = {token: number for number, token in enumerate(dict.fromkeys([*BERT_TOKENS, *known]))}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    return surrounded(tokenizer)


def single_bytes(texts, size):
    """A token for each byte of UTF-8."""
    pieces = Pieces.trained(
        texts, len(pre_tokenizers.ByteLevel.alphabet()) + len(BERT_TOKENS), "byte_pairs", BERT_TOKENS
    )
    return surrounded(pieces.tokenizer)


def surrounded(tokenizer):
    """With BERT's special tokens, which stand around each text."""
    tokenizer.add_special_tokens([*BERT_TOKENS])
    tokenizer.post_processor = around(tokenizer)
    return Pieces(tokenizer)


def whole_words(texts, size):
    """A token for each of the `size` most frequent words and signs, in lower case; others are unknown."""
    tokenizer = tokenizers.Tokenizer(models.WordLevel({}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"\w+(?:['’]\w+)*|[^\w\s]"), "removed", invert=True)
    counts = Counter(word for text in texts for word in words_of(tokenizer, text))
    kept = sorted(counts, key=lambda word: (-counts[word], word))[: size - len(BERT_TOKENS)]
    numbers = {token: number for number, token in enumerate(dict.fromkeys([*BERT_TOKENS, *kept]))}
    tokenizer.model = models.WordLevel(numbers, unk_token="[UNK]")
    tokenizer.decoder = decoders.WordPiece()
    return surrounded(tokenizer)


def words_of(tokenizer, text):
    """The words of a text, as the tokenizer splits it."""
    normal = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


TOKENIZERS = {
    "words": whole_words,
    "word_pieces": lambda texts, size: Pieces.trained(texts, size, "word_pieces"),
    "characters": characters,
    "bytes": single_bytes,
}
