"""Questions: rows whose targets give the answers back, splits by paragraph, SQuAD's files, an order from anywhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import PADDING
from tfdl.data.question_answering import Question, load
from tfdl.metrics.answers import answer_scores

FILE = Path(__file__).with_name("travels.jsonl")
OPTIONS = dict(length=40, batch_size=7, vocabulary_size=200)


@pytest.fixture(scope="module")
def data():
    return load(FILE, **OPTIONS)


def rows_of(dataset):
    return [
        (tokens, segments, y)
        for x, targets in dataset.as_numpy_iterator()
        for tokens, segments, y in zip(x["tokens"], x["segments"], targets)
    ]


def answer_in(data, tokens, targets):
    """What the tokens say that the targets name, between the first and the last."""
    (first,), (last,) = (np.flatnonzero(targets[:, side] == 1) for side in (0, 1))
    return data.tokenizer.decode(tokens[first : last + 1])


def test_targets_give_every_answer_back(data):
    for split in ("train", "validation", "test"):
        found = rows_of(getattr(data, split))
        asked = data.questions[split]
        assert len(found) == len(asked) == data.counts[split], "paragraphs of one row"
        answers = [answer_in(data, tokens, targets) for tokens, _, targets in found]
        wanted = [question.answers[0][0].lower() for question in asked]
        assert (sorted(answers) == sorted(wanted)) if split == "train" else (answers == wanted)
        for tokens, segments, targets in found:
            of_paragraph = (segments == 1) & (tokens != data.padding)
            of_paragraph[np.flatnonzero(of_paragraph)[-1]] = False  # the end token
            of_paragraph[0] = True
            assert np.array_equal(targets[:, 0] != PADDING, of_paragraph), "where an answer can be"


def test_splits_share_no_paragraph_and_are_fixed(data):
    paragraphs = {key: {question.paragraph for question in split} for key, split in data.questions.items()}
    assert len(set.union(*paragraphs.values())) == sum(map(len, paragraphs.values())) == 40
    assert {key: len(found) for key, found in paragraphs.items()} == {"train": 32, "validation": 4, "test": 4}
    assert load(FILE, seed=3, **OPTIONS).questions == data.questions


def test_answer_outside_of_a_window_is_at_the_first_token():
    data = load(FILE, length=22, batch_size=5, vocabulary_size=60)
    rows = rows_of(data.test)
    assert len(rows) > len(data.questions["test"])
    places = [np.flatnonzero(y[:, 0] == 1).tolist() for _, _, y in rows]
    assert all(len(place) == 1 for place in places) and [0] in places and any(place != [0] for place in places)
    assert all(tokens[0] == data.tokenizer.special["start"] for tokens, _, _ in rows)


def test_order_is_a_function_of_seed_epoch_and_step(data):
    def batches(data):
        return [[array.tolist() for array in (x["tokens"], y)] for x, y in data.train.as_numpy_iterator()]

    again, other = load(FILE, **OPTIONS), load(FILE, seed=1, **OPTIONS)
    epochs = [batches(again) for _ in range(2)]
    assert len({str(epoch) for epoch in [*epochs, batches(other)]}) == 3
    position = tf.Variable((1, 2), dtype=tf.int64)
    assert batches(load(FILE, position=position, **OPTIONS)) == epochs[1][2:]


def test_static_batches_have_one_shape():
    static.require(1)
    try:
        data = load(FILE, **OPTIONS)
        assert {(x["tokens"].shape, y.shape) for x, y in data.validation} == {((6, 40), (6, 40, 2))}
        assert data.train.element_spec[0]["segments"].shape.as_list() == [None, 40]
    finally:
        static.require(0)


SQUAD = {
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": f"Number {i} is odd. It is {i}.",
                    "qas": [
                        {"id": f"{i}a", "question": "Which?", "answers": [{"text": str(i), "answer_start": 7}] * 2},
                        {"id": f"{i}b", "question": "Why?", "answers": [], "is_impossible": True},
                    ],
                }
                for i in range(10, 40)
            ],
        }
    ]
}


def test_squad_s_files(tmp_path):
    (tmp_path / "train-v2.0.json").write_text(json.dumps(SQUAD))
    data = load(tmp_path / "train-v2.0.json", **OPTIONS)
    assert data.abstains and data.task.abstains and not load(FILE, **OPTIONS).abstains
    assert data.questions["train"][0] == Question("Which?", "Number 10 is odd. It is 10.", (("10", 7),))
    for tokens, _, targets in rows_of(data.test):
        first = np.flatnonzero(targets[:, 0] == 1)
        assert ("why" in data.tokenizer.decode(tokens)) == (first.tolist() == [0])
    (tmp_path / "dev-v2.0.json").write_text(json.dumps({"data": SQUAD["data"][:1]}))
    both = load(tmp_path, **OPTIONS)
    assert len(both.questions["validation"]) == 60 and len(both.questions["train"]) == 54
    (tmp_path / "valid.json").write_text("{}")
    with pytest.raises(ValueError, match="dev-v2.0.json and valid.json are both the split 'validation'"):
        load(tmp_path, **OPTIONS)


def test_what_is_wrong_is_said(tmp_path):
    def written(**changes):
        row = {"question": "q", "context": "a b", "answers": {"text": ["b"], "answer_start": [2]}} | changes
        path = tmp_path / "t.jsonl"
        path.write_text("\n".join(json.dumps(row | {"context": f"a b {i}"}) for i in range(30)))
        return path

    assert load(written(), length=16).counts["train"] == 24
    with pytest.raises(ValueError, match=r"row 0: the answer 'c' does not stand at character 2"):
        load(written(answers={"text": ["c"], "answer_start": [2]}), length=16)
    with pytest.raises(ValueError, match="as many of each"):
        load(written(answers={"text": ["b"], "answer_start": []}), length=16)
    (tmp_path / "t.jsonl").write_text('{"question": "q", "answers": "[]"}')
    with pytest.raises(ValueError, match="has the columns question, answers; it needs question, context, answers"):
        load(tmp_path / "t.jsonl")
    (tmp_path / "x.json").write_text('{"data": [{"paragraphs": 3}]}')
    with pytest.raises(ValueError, match="is not in SQuAD's form"):
        load(tmp_path / "x.json")
    with pytest.raises(ValueError, match="batch_size is 0; give 1 or more"):
        load(FILE, batch_size=0)


def test_logistic_regression_learns_what_is_asked_for(data):
    assert answer_scores(data.baseline(), data.references())["exact_match"] > 0.9
    assert answer_scores(data.baseline("validation"), data.references("validation"))["f1"] > 0.9


@pytest.mark.data
def test_xquad_is_split_by_paragraph(data_dir):
    data = load("xquad/en", length=128)
    assert {key: len(split) for key, split in data.questions.items()} == {"train": 938, "validation": 122, "test": 130}
    assert len({question.paragraph for split in data.questions.values() for question in split}) == 240
