"""Rules that critics apply: the answer that keeps more of them is chosen, equally good ones give no pair."""

import pytest

from tfdl.data.checked_tasks import right_answer
from tfdl.data.written_rules import Rule, kept, preferences

RIGHT = Rule("Be right.", lambda question, answer: right_answer(question) in answer.lower(), weight=2.0)
QUIET = Rule("Do not shout.", lambda question, answer: not answer.isupper())
PROMPT = (("user", "reverse abc"),)


def test_better_answers_are_chosen_whatever_their_order():
    answers = ["CBA", "cba", "ABC", "cba", "abd"]
    pairs = preferences([PROMPT], [answers], (RIGHT, QUIET))
    marks = {answer: kept("reverse abc", answer, (RIGHT, QUIET)) for answer in answers}
    assert marks == {"CBA": 2.0, "cba": 3.0, "ABC": 0.0, "abd": 1.0}
    assert len(pairs) == 6 and all(pair.prompt == PROMPT for pair in pairs)
    assert all(marks[pair.chosen] > marks[pair.rejected] for pair in pairs)


def test_equal_answers_give_no_pair_and_nonsense_is_refused():
    assert preferences([PROMPT], [["abd", "abe", "abd"]], (RIGHT, QUIET)) == ()
    with pytest.raises(ValueError, match="There are no rules; give at least one"):
        preferences([PROMPT], [["a"]], ())
    with pytest.raises(ValueError, match="There are 1 prompts and answers to 2"):
        preferences([PROMPT], [["a"], ["b"]], (RIGHT,))
