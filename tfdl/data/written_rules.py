"""Preferences from written rules: critics that apply them choose between answers that a model has given.

    rules = (Rule("be right", is_right), Rule("do not shout", lambda question, answer: not answer.isupper()))
    pairs = preferences(prompts, answers, rules)           # the better answer of two is the one that keeps more rules

In the paper a language model reads the rules of a constitution and judges; here each rule is a function, so that every
judgement can be checked.

Paper: Bai et al. 2022, arXiv:2212.08073, section 4.1.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from tfdl.data.checked_tasks import right_answer
from tfdl.data.conversations import Preference


@dataclass(frozen=True)
class Rule:
    """One rule of a constitution.

    Attributes:
        text: the rule in words.
        keeps: (question, answer) -> whether the answer keeps it.
        weight: how much it counts against others.
    """

    text: str
    keeps: Callable
    weight: float = 1.0


# For the tasks of `checked_tasks`
MANNERS = (
    Rule("Do not shout.", lambda question, answer: answer == answer.lower()),
    Rule("Say no more than was asked.", lambda question, answer: " " not in answer),
)
CONSTITUTION = (
    Rule("Give the right answer.", lambda question, answer: right_answer(question) in answer.lower(), weight=2.0),
    *MANNERS,
)


def kept(question, answer, rules):
    """The weights of the rules that an answer keeps, summed."""
    return sum(rule.weight for rule in rules if rule.keeps(question, answer))


def preferences(prompts, answers, rules):
    """A pair for each two answers to the same prompt of which one keeps more rules; equally good ones give none.

    Args:
        prompts: messages before each answer, ((role, content), ...); the last content is the question.
        answers: for each prompt, its answers, a sequence of texts.
        rules: `Rule`s.

    Returns:
        tuple of `Preference`s, at most one for each two different answers to a prompt.

    Raises:
        ValueError: no rules, or not as many lists of answers as prompts.
    """
    if not rules:
        raise ValueError("There are no rules; give at least one.")
    if len(prompts) != len(answers):
        raise ValueError(f"There are {len(prompts)} prompts and answers to {len(answers)}; give some for each.")
    found = []
    for prompt, given in zip(prompts, answers):
        marks = {answer: kept(prompt[-1][1], answer, rules) for answer in dict.fromkeys(given)}
        for first, second in itertools.combinations(marks, 2):
            if marks[first] != marks[second]:
                better, worse = sorted((first, second), key=lambda answer: -marks[answer])
                found.append(Preference(prompt, better, worse))
    return tuple(found)


def judged(splits, write, rules):
    """Split -> pairs of the answers that a model gives.

    Args:
        splits: split -> `Conversation`s, whose prompts are answered.
        write: a function of conversations that gives for each a list of answers.
        rules: `Rule`s.
    """
    return {key: preferences([row.prompt for row in rows], write(rows), rules) for key, rows in splits.items()}


def mean_kept(questions, answers, rules):
    """The mean over questions of the weights of the rules that their answers keep."""
    return sum(kept(*pair, rules) for pair in zip(questions, answers)) / len(questions)
