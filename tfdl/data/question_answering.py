"""Questions on paragraphs, whose answers are pieces of these, as batches of tokens and of where the answers stand.

    data = load("xquad/en", length=128, batch_size=16)
    model = bert("tiny", vocabulary_size=len(data.tokenizer), head="span")
    model.fit(data.train, validation_data=data.validation, epochs=3)

Names: a file in SQuAD's form (.json), a folder with such a file for each split, as in train-v1.1.json and
dev-v1.1.json; and what `records.read` knows, with the columns "question", "context" and "answers", as in
{"text": ["in 1066"], "answer_start": [31]}.  A question without an answer, as in SQuAD 2.0, has empty lists.

`answer_windows` makes the rows.  Training batches hold rows of similar lengths; their order is a pure function of
(seed, epoch, step), see `order`.
Shapes: B batch, T tokens.
"""

import json
import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.answer_windows import windows
from tfdl.core.batches import PADDING
from tfdl.core.files import read_json
from tfdl.core.task import Task
from tfdl.core.token_rows import MULTIPLE
from tfdl.data import answer_baseline, folders, records, sources
from tfdl.data.labeled_text import evenly, tokenizer_for
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.tokenizers import Pieces

SPLITS = ("train", "validation", "test")
COLUMNS = ("question", "context", "answers")


@dataclass(frozen=True)
class Question:
    """A question, its paragraph, and where people found its answers; there may be none.

    Attributes:
        answers: (text, where it begins in the paragraph, in characters) of each.
    """

    text: str
    paragraph: str
    answers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class QuestionData:
    """Questions with their paragraphs, ready for `fit`.

    Batches are {"tokens": (B, T), "segments": (B, T)} and targets (B, T, 2), all int32: 1 at the first and at the last
    token of the answer, PADDING where no answer can be, else 0.  Where the row holds no answer, both are 1 at the first
    token of all, [CLS].
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    counts: dict[str, int]  # split -> rows
    note: str  # what was left out, for the header
    length: int  # the most tokens of a row
    tokenizer: Pieces
    position: tf.Variable
    questions: dict[str, tuple[Question, ...]]  # split -> its questions

    @property
    def short_name(self):
        """For folders of runs and titles."""
        return sources.short_name(self.name)

    @property
    def padding(self):
        """The token behind a row's end."""
        return self.tokenizer.special["padding"]

    @property
    def abstains(self):
        """Whether some questions have no answer, so that a model has to say so."""
        return any(not question.answers for question in self.questions["train"])

    @property
    def task(self):
        """What a model of these questions does, with the preparation of its input."""
        return Task(
            kind="question_answering",
            tokenizer="tokenizer.json",
            length=self.length,
            padding=self.padding,
            abstains=self.abstains,
        )

    def references(self, split="test"):
        """For each question of a split the answers that people gave."""
        return [[text for text, _ in question.answers] for question in self.questions[split]]

    def baseline(self, split="test", seed=0):
        """Answers of a logistic regression on features of spans of words: see `answer_baseline`."""
        return answer_baseline.answers(self.questions["train"], self.questions[split], seed=seed)


def load(
    name,
    *,
    length=128,
    batch_size=32,
    tokenizer="word_pieces",
    vocabulary_size=8000,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Reads the questions called `name`.

    A missing validation or test split is a tenth of the paragraphs of the training split, with all their questions; a
    set of one split is taken as that.  A paragraph's place is fixed by its letters alone.

    Args:
        length: the most tokens of a row, special ones and the question included.
        batch_size: rows in a global batch.
        tokenizer: a key of `labeled_text.TOKENIZERS`, made for the training texts; the file or folder of a published
            one; or `Pieces`.
        vocabulary_size: of a tokenizer made here, at most.
        run: a session, whose seed, position and limit replace the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from; None creates one.
        limit: use only so many questions of each split, evenly spaced ones.
        data_dir: where names are looked for; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Raises:
        FileNotFoundError: the set or the tokenizer is not there.
        ValueError: an argument out of its range, a damaged file, a missing column, an answer that does not stand where
            the data say, or too few paragraphs for three splits.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    for argument, value in {"batch_size": batch_size, "limit": limit}.items():
        if value is not None and value < 1:
            raise ValueError(f"{argument} is {value}; give 1 or more.")
    name = str(name)
    questions = {key: evenly(split, limit) for key, split in all_splits(read(name, data_dir, download), name).items()}
    texts = [text for question in questions["train"] for text in (question.text, question.paragraph)]
    tokenizer = tokenizer_for(tokenizer, list(dict.fromkeys(texts)), vocabulary_size)
    rows = {
        key: windows(tokenizer.tokenizer, [q.text for q in split], [q.paragraph for q in split], length)
        for key, split in questions.items()
    }

    order = Order.start(
        seed=seed,
        batch_size=batch_size,
        count=len(rows["train"]),
        position=position,
        lengths=[len(row.tokens) for row in rows["train"]],
    )
    with tf.device("CPU:0"):
        gather = {
            key: gatherer(split, questions[key], length, tokenizer.special["padding"]) for key, split in rows.items()
        }
        train = order.keys().map(lambda places, _: gather["train"](places), tf.data.AUTOTUNE)
        held_out = {}
        for key in SPLITS[1:]:
            places = tf.data.Dataset.range(len(rows[key]))
            places = places.batch(static.evaluation_batch(len(rows[key]), batch_size))
            held_out[key] = places.map(gather[key], tf.data.AUTOTUNE)
    return QuestionData(
        name=name,
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in held_out.items()},
        counts={key: len(split) for key, split in rows.items()},
        note="; ".join(f"{key}: {len(split):,} questions" for key, split in questions.items()),
        length=length,
        tokenizer=tokenizer,
        position=order.position,
        questions=questions,
    )


def gatherer(rows, questions, length, padding):
    """A function from places (B,) of rows to their batch: see `QuestionData`.

    T is what the longest row needs, or `length` where batches are static.
    """
    sizes = [len(row.tokens) for row in rows]
    tokens, segments = (
        tf.RaggedTensor.from_row_lengths(np.concatenate([getattr(row, name) for row in rows]), sizes)
        for name in ("tokens", "segments")
    )
    bounds = tf.constant([(row.first, row.last) for row in rows], tf.int32)  # of the paragraph
    answers = tf.constant([answer_place(row, questions[row.example]) for row in rows], tf.int32)

    def gather(places):
        found = tf.gather(tokens, places)
        longest = tf.cast(found.row_lengths(), tf.int32)
        size = tf.minimum(length, MULTIPLE * -(-tf.reduce_max(longest) // MULTIPLE))
        size = tf.constant(length) if static.is_required() else size
        shape = tf.stack([-1, tf.cast(size, tf.int64)])
        x = {"tokens": found.to_tensor(padding, shape=shape)}
        x["segments"] = tf.gather(segments, places).to_tensor(0, shape=shape)
        first, last = tf.unstack(tf.gather(bounds, places)[:, None], axis=-1)  # (B, 1)
        place = tf.range(size)[None]  # (1, T)
        possible = ((place >= first) & (place < last)) | (place == 0)  # (B, T)
        right = place[..., None] == tf.gather(answers, places)[:, None]  # (B, T, 2)
        y = tf.where(possible[..., None], tf.cast(right, tf.int32), PADDING)
        width = length if static.is_required() else None
        x = {name: tf.ensure_shape(tensor, (None, width)) for name, tensor in x.items()}
        return x, tf.ensure_shape(y, (None, width, 2))

    return gather


def answer_place(row, question):
    """Places of the first and the last token of the first answer; (0, 0) if it does not stand in this row."""
    if not question.answers:
        return 0, 0
    text, start = question.answers[0]
    return row.place(start, start + len(text)) or (0, 0)


# Reading


def read(name, data_dir, download):
    """Split -> questions, a list.  Raises as `load`."""
    path = pathlib.Path(name).expanduser()
    files = records.files_by_split(path, (".json",))
    if files:
        return {split: read_squad(file) for split, file in files.items()}
    splits = records.read(name, data_dir=data_dir, download=download)
    return {split: read_rows(f"The split {split!r} of {name!r}", rows) for split, rows in splits.items()}


def read_squad(file):
    """The questions of a file in SQuAD's form."""
    content = read_json(file, kind=dict)
    try:
        return [
            question(
                f"{file}, question {asked.get('id', asked['question'])!r}",
                asked["question"],
                part["context"],
                [] if asked.get("is_impossible") else [(a["text"], a["answer_start"]) for a in asked["answers"]],
            )
            for article in content["data"]
            for part in article["paragraphs"]
            for asked in part["qas"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{file} is not in SQuAD\'s form, {{"data": [{{"paragraphs": [{{"context", "qas"}}]}}]}}: {error!r}.'
        ) from error


def read_rows(where, rows):
    """The questions of records."""
    missing = [column for column in COLUMNS if column not in rows[0]]
    if missing:
        raise ValueError(f"{where} has the columns {', '.join(rows[0])}; it needs {', '.join(COLUMNS)}.")
    found = []
    for number, row in enumerate(rows):
        try:
            answers = json.loads(row["answers"])
            pairs = list(zip(answers["text"], answers["answer_start"], strict=True))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{where}, row {number}, has the answers {row["answers"]!r}; write {{"text": [...], "answer_start":'
                " [...]}, as many of each."
            ) from error
        found.append(question(f"{where}, row {number}", row["question"], row["context"], pairs))
    return found


def question(where, text, paragraph, answers):
    """A `Question`.  Raises ValueError for an answer that does not stand where the data say."""
    for answer, start in answers:
        if not isinstance(start, int) or start < 0 or paragraph[start : start + len(answer)] != answer or not answer:
            raise ValueError(f"{where}: the answer {answer!r} does not stand at character {start} of the paragraph.")
    return Question(text, paragraph, tuple(dict.fromkeys(answers)))


def all_splits(found, name):
    """Split -> questions, a tuple, of all three; missing ones are paragraphs of the training split."""
    if len(found) == 1:
        found = {"train": next(iter(found.values()))}
    if "train" not in found:
        raise ValueError(f"{name!r} has the splits {', '.join(found)}; it needs one called train.")
    missing = {key: folders.FRACTION for key in ("test", "validation") if key not in found}
    if missing:
        paragraphs = dict.fromkeys(question.paragraph for question in found["train"])
        dealt = folders.dealt([(None, paragraph, None) for paragraph in paragraphs], missing, 0)
        split_of = {paragraph: key for key, rows in dealt.items() for _, paragraph, _ in rows}
        parts = {key: [q for q in found["train"] if split_of[q.paragraph] == key] for key in dealt}
        found = found | parts
    if empty := next((key for key in SPLITS if not found[key]), None):
        raise ValueError(f"{name!r} gives no paragraph to the split {empty!r}; it needs three to be split.")
    return {key: tuple(found[key]) for key in SPLITS}
