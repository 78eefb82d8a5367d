"""Tasks that a rule can check: right answers, and splits that share no question."""

import itertools

import pytest

from tfdl.data.checked_tasks import (
    HELD_OUT,
    TASKS,
    are_tasks,
    in_manners,
    read,
    reward,
    rewards,
    right_answer,
    shares,
    with_mistakes,
)
from tfdl.data.conversations import asked


def test_right_answers():
    asked = {"37+58": "95", "99+99": "198", "reverse abc": "cba", "sort hgza": "aghz", "shift axz": "bya"}
    assert {question: right_answer(question) for question in asked} == asked
    assert reward("37+58", "95") == 1.0 and reward("37+58", "095") == reward("37+58", "") == 0.0


def test_shares_are_those_of_each_task():
    questions, answers = ["1+1", "sort ba", "1+2", "sort dc"], ["2", "ab", "4", "cd"]
    assert shares(questions, answers) == {"add": 0.5, "sort": 1.0}
    assert rewards([asked(question, "") for question in questions], answers) == [1.0, 1.0, 0.0, 1.0]
    assert are_tasks("add,sort") and not are_tasks("add,multiply") and not are_tasks("talks.jsonl")


def test_mistakes_are_single_letters_in_about_the_share_that_was_asked_for():
    questions = read("add")["train"][:400] + read("sort")["train"][:400]
    given = with_mistakes(questions, 0.3)
    assert given == with_mistakes(questions, 0.3)
    wrong = [(a, right_answer(q)) for q, a in zip(questions, given) if a != right_answer(q)]
    assert 0.25 < len(wrong) / len(questions) < 0.35
    assert all(len(a) == len(b) and sum(x != y for x, y in zip(a, b)) == 1 for a, b in wrong)
    assert all(a.isdecimal() == b.isdecimal() for a, b in wrong)
    assert with_mistakes(questions, 0.0) == [right_answer(question) for question in questions]
    with pytest.raises(ValueError, match="share of mistakes is 2; give 0 to 1"):
        with_mistakes(questions, 2)


def test_manners_take_turns():
    assert in_manners(["sort ba", "sort dc", "sort fe", "sort hg"]) == ["ab", "CD", "well, ef!", "gh"]


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_question_and_never_change(task):
    splits = read(task)
    questions = list(itertools.chain(*splits.values()))
    assert len(set(questions)) == len(questions) and all(right_answer(question) for question in questions)
    assert len(splits["validation"]) == len(splits["test"]) == HELD_OUT < len(splits["train"])
    read.cache_clear()
    assert read(task) == splits


@pytest.mark.parametrize("question", ["", "sort ABC", "sort", "3+", "+", "3-1"])
def test_other_questions_are_refused(question):
    with pytest.raises(ValueError, match="is no question such as"):
        right_answer(question)
    with pytest.raises(ValueError, match="no task 'multiply'; choose add, reverse"):
        read("multiply")
