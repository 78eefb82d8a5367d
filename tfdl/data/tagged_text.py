"""Sentences whose words have a tag each, such as names of persons, as batches of tokens and of tags.

    data = load("conll2003", length=64, batch_size=32)
    model = rnn("bidirectional_tagger", vocabulary_size=len(data.tokenizer), num_classes=data.num_classes)
    model.fit(data.train, validation_data=data.validation, epochs=5)

Names: a file of the CoNLL kind (.conll, .bio, .iob or .txt: a word and its tag on each line, in the first and the last
of the columns, an empty line after each sentence), or a folder with such a file for each split, as in train.conll and
dev.conll; what `records.read` knows, with a column of lists of words and one of lists of tags; and with `casing`, any
column of texts in records: a word's tag then says how it is written, and the model, which reads lower case, restores
that (Lita et al. 2003, "tRuEcasIng", ACL).

A word of several tokens has its tag at the first one (Devlin et al. 2018, arXiv:1810.04805, section 5.3).  Training
batches hold sentences of similar lengths; their order is a pure function of (seed, epoch, step), see `order`.
Shapes: B batch, T tokens.
"""

import collections
import json
import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import PADDING
from tfdl.core.task import Task
from tfdl.core.token_rows import MULTIPLE, encode_words
from tfdl.data import folders, records, sources
from tfdl.data.labeled_text import SHORTEST, evenly, tokenizer_for
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.tokenizers import Pieces, split_words

SPLITS = ("train", "validation", "test")
SUFFIXES = (".conll", ".bio", ".iob", ".txt")
WORDS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "ner", "pos_tags", "pos", "labels")
MARKS = ("-DOCSTART-", "#")  # lines that are no word: beginnings of documents, comments of CoNLL-U
CASES = ("lower", "First", "UPPER", "mIxed")  # tags of `casing`


@dataclass(frozen=True)
class Sentence:
    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TaggedTexts:
    """Tagged sentences, ready for `fit`: tokens (B, T) and tags' numbers (B, T), PADDING where no word begins; int32.

    A loss with `ignore_class=PADDING` averages over the words.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    tags: tuple[str, ...]
    counts: dict[str, int]  # split -> sentences
    cut: dict[str, int]  # split -> words that are left out, as their sentence is longer than `length`
    length: int  # the most tokens of a sentence, special ones included
    tokenizer: Pieces
    position: tf.Variable
    sentences: dict[str, tuple[Sentence, ...]]  # split -> its sentences

    @property
    def short_name(self):
        """For folders of runs and titles."""
        return sources.short_name(self.name)

    @property
    def num_classes(self):
        return len(self.tags)

    @property
    def padding(self):
        """The token behind a sentence's end, which a model has to leave out."""
        return self.tokenizer.special["padding"]

    @property
    def task(self):
        """What a model of these sentences does, with the preparation of its input."""
        return Task(
            kind="tagging", labels=self.tags, tokenizer="tokenizer.json", length=self.length, padding=self.padding
        )

    def baseline(self, split="test"):
        """Tags for each sentence by the words alone: the tag that each had most often, or the commonest one of all."""
        counts = collections.defaultdict(collections.Counter)
        for sentence in self.sentences["train"]:
            for word, tag in zip(sentence.words, sentence.tags):
                counts[word][tag] += 1
                counts[None][tag] += 1
        best = {word: max(sorted(tags), key=tags.get) for word, tags in counts.items()}
        return [[best.get(word, best[None]) for word in sentence.words] for sentence in self.sentences[split]]


def load(
    name,
    *,
    length=64,
    batch_size=32,
    tokenizer="word_pieces",
    vocabulary_size=8000,
    casing=None,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Reads the tagged sentences called `name`.

    Missing validation and test splits are a tenth of the training sentences each; a sentence's place is fixed by its
    words alone.

    Args:
        length: the most tokens of a sentence, special ones included; words behind them are left out.
        batch_size: sentences in a global batch.
        tokenizer: a key of `labeled_text.TOKENIZERS`, made for the training sentences; the file or folder of a
            published one; or `Pieces`.
        vocabulary_size: of a tokenizer made here, at most.
        casing: the column of records whose words' capitals are the tags, or several, as in "title,description".
        run: a session, whose seed, position and limit replace the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from; None creates one.
        limit: use only so many sentences of each split, evenly spaced ones.
        data_dir: where names are looked for; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Raises:
        FileNotFoundError: the set or the tokenizer is not there.
        ValueError: an argument out of its range, a damaged file, no columns of words and tags, or a tag in a held-out
            split that train lacks.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    for argument, value, least in (("length", length, SHORTEST), ("batch_size", batch_size, 1), ("limit", limit, 1)):
        if value is not None and value < least:
            raise ValueError(f"{argument} is {value}; give {least} or more.")
    name = str(name)
    found = all_splits(read(name, casing, data_dir, download), name)
    tags = CASES if casing else tuple(sorted({tag for sentence in found["train"] for tag in sentence.tags}))
    number = {tag: place for place, tag in enumerate(tags)}
    for key, split in found.items():
        if unknown := next((tag for sentence in split for tag in sentence.tags if tag not in number), None):
            raise ValueError(f"The split {key!r} of {name!r} has the tag {unknown!r}, which train lacks.")
    sentences = {key: tuple(evenly(split, limit)) for key, split in found.items()}
    tokenizer = tokenizer_for(tokenizer, [" ".join(s.words) for s in sentences["train"]], vocabulary_size)
    encoded = {
        key: encode_words(tokenizer.tokenizer, [s.words for s in split], length) for key, split in sentences.items()
    }

    order = Order.start(
        seed=seed,
        batch_size=batch_size,
        count=len(sentences["train"]),
        position=position,
        lengths=[len(tokens) for tokens, _ in encoded["train"]],
    )
    with tf.device("CPU:0"):
        gather = {
            key: gatherer(rows, sentences[key], number, length, tokenizer.special["padding"])
            for key, rows in encoded.items()
        }
        train = order.keys().map(lambda places, _: gather["train"](places), tf.data.AUTOTUNE)
        held_out = {}
        for key in SPLITS[1:]:
            places = tf.data.Dataset.range(len(sentences[key]))
            held_out[key] = places.batch(static.evaluation_batch(len(sentences[key]), batch_size)).map(gather[key])
    return TaggedTexts(
        name=name,
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in held_out.items()},
        tags=tags,
        counts={key: len(split) for key, split in sentences.items()},
        cut={
            key: sum(len(s.words) - len(places) for s, (_, places) in zip(sentences[key], rows))
            for key, rows in encoded.items()
        },
        length=length,
        tokenizer=tokenizer,
        position=order.position,
        sentences=sentences,
    )


def gatherer(rows, sentences, number, length, padding):
    """A function from places (B,) of sentences to their tokens and tags, (B, T) each.

    T is what the longest sentence needs, or `length` where batches are static.
    """
    sizes = [len(tokens) for tokens, _ in rows]
    tags = [np.full(size, PADDING, "int32") for size in sizes]
    for row, (_, places), sentence in zip(tags, rows, sentences):
        row[places[::-1]] = [number[tag] for tag in sentence.tags[: len(places)]][::-1]  # of two words the first
    tokens, tags = (
        tf.RaggedTensor.from_row_lengths(np.concatenate(values), sizes)
        for values in ([tokens for tokens, _ in rows], tags)
    )

    def gather(places):
        found = tf.gather(tokens, places)
        longest = tf.cast(tf.reduce_max(found.row_lengths()), tf.int32)
        size = tf.minimum(length, MULTIPLE * -(-longest // MULTIPLE))
        size = tf.constant(length) if static.is_required() else size
        shape = tf.stack([-1, tf.cast(size, tf.int64)])
        static_shape = (None, length if static.is_required() else None)
        dense = found.to_tensor(padding, shape=shape), tf.gather(tags, places).to_tensor(PADDING, shape=shape)
        return tuple(tf.ensure_shape(tensor, static_shape) for tensor in dense)

    return gather


# Reading


def read(name, casing, data_dir, download):
    """Split -> sentences, a list.  Raises as `load`."""
    path = pathlib.Path(name).expanduser()
    files = {} if casing else records.files_by_split(path, SUFFIXES)
    if files:
        return {split: read_columns(file) for split, file in files.items()}
    splits = records.read(name, data_dir=data_dir, download=download)
    if casing:
        return {split: cased(f"The split {split!r} of {name!r}", rows, casing) for split, rows in splits.items()}
    return {split: read_lists(f"The split {split!r} of {name!r}", rows) for split, rows in splits.items()}


def read_columns(file):
    """The sentences of a file with a word and its tag on each line."""
    found, words, tags = [], [], []
    for number, line in enumerate([*records.read_text(file).split("\n"), ""], start=1):
        fields = line.split()
        if not fields or fields[0].startswith(MARKS):
            found += [Sentence(tuple(words), tuple(tags))] if words else []
            words, tags = [], []
        elif len(fields) < 2:
            raise ValueError(f"{file}, line {number:,}, has the word {fields[0]!r} and no tag; write both.")
        else:
            words.append(fields[0])
            tags.append(fields[-1])
    if not found:
        raise ValueError(f"{file} has no sentences; give a file with some.")
    return found


def read_lists(where, rows):
    """The sentences of records with lists of words and of tags."""
    columns = {column.lower(): column for column in rows[0]}
    words, tags = (next((columns[name] for name in names if name in columns), None) for names in (WORDS, TAGS))
    if words is None or tags is None:
        raise ValueError(
            f"{where} has the columns {', '.join(rows[0])}; it needs one called {' or '.join(WORDS)} and one called"
            f" {', '.join(TAGS)}, with a list in each row."
        )
    found = []
    for number, row in enumerate(rows):
        lists = [json.loads(row[column]) if str(row[column]).startswith("[") else None for column in (words, tags)]
        if None in lists or len(lists[0]) != len(lists[1]):
            raise ValueError(f"{where}, row {number}, has no list of words and a tag for each of them.")
        if lists[0]:
            found.append(Sentence(*(tuple(map(str, values)) for values in lists)))
    return found


def cased(where, rows, columns):
    """Sentences of lower-case words whose tags say how the texts of these columns write them."""
    wanted = columns.split(",")
    if missing := next((column for column in wanted if column not in rows[0]), None):
        raise ValueError(f"{where} has no column {missing!r}; it has {', '.join(rows[0])}.")
    texts = (split_words(" ".join(str(row[column]) for column in wanted)) for row in rows)
    return [Sentence(tuple(map(str.lower, words)), tuple(map(case_of, words))) for words in texts if words]


def case_of(word):
    """The tag of a word as it is written; of one letter, "First" is a capital."""
    if word == word.lower():
        return CASES[0]
    if word[:1].isupper() and word[1:] == word[1:].lower():
        return CASES[1]
    return CASES[2] if word == word.upper() else CASES[3]


def all_splits(found, name):
    """Split -> sentences of all three; missing ones are taken from train."""
    if "train" not in found:
        raise ValueError(f"{name!r} has the splits {', '.join(found)}; it needs one called train.")
    missing = {key: folders.FRACTION for key in ("test", "validation") if key not in found}
    if missing:
        rows = [(place, " ".join(s.words), s) for place, s in enumerate(found["train"])]
        dealt = folders.dealt([(place, text, None) for place, text, _ in rows], missing, 0)
        found = found | {key: [rows[place][2] for place, _, _ in sorted(split)] for key, split in dealt.items()}
    if empty := next((key for key in SPLITS if not found.get(key)), None):
        raise ValueError(f"{name!r} gives no sentence to the split {empty!r}; it needs three to be split.")
    return {key: found[key] for key in SPLITS}
