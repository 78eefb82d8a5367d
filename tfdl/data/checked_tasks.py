"""Instructions whose answers a rule can check: sums, and letters to write backwards, sorted or shifted.

    questions = read("add")["train"]            # ("37+58", "4+60", ...)
    right_answer("sort hgza")                   # "aghz"
    reward("37+58", "95")                       # 1.0

Rewards that a rule gives cannot be gamed as a learned one can: Lambert et al. 2024, arXiv:2411.15124, section 6.
"""

import functools

import numpy as np

HELD_OUT = 500  # questions in each of validation and test
WORDS = 12_000  # questions of each task on letters
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def reverse(letters):
    return letters[::-1]


def sort(letters):
    return "".join(sorted(letters))


def shift(letters):
    """Every letter becomes the next one, z becomes a."""
    return "".join(LETTERS[(LETTERS.index(letter) + 1) % len(LETTERS)] for letter in letters)


VERBS = {"reverse": reverse, "sort": sort, "shift": shift}
TASKS = ("add", *VERBS)


def right_answer(question):
    """The one right answer.

    Raises:
        ValueError: it is no question of these tasks.
    """
    verb, _, letters = question.partition(" ")
    if verb in VERBS and letters and set(letters) <= set(LETTERS):
        return VERBS[verb](letters)
    first, plus, second = question.partition("+")
    if plus and first.isdecimal() and second.isdecimal():
        return str(int(first) + int(second))
    raise ValueError(f"{question!r} is no question such as '37+58', 'reverse abc', 'sort abc' or 'shift abc'.")


def reward(question, answer):
    """1.0 for the right answer, else 0.0."""
    return float(answer == right_answer(question))


def rewards(conversations, answers):
    """`reward` of the answer to each conversation's prompt, as a list."""
    return [reward(row.prompt[-1][1], answer) for row, answer in zip(conversations, answers)]


@functools.cache
def read(task):
    """Split -> questions, all different, in an order that never changes.

    Args:
        task: "add", the sums of two numbers below 100; "reverse", "sort" or "shift", of 3 to 6 letters.

    Raises:
        ValueError: an unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"There is no task {task!r}; choose {', '.join(TASKS)}.")
    rng = np.random.default_rng(TASKS.index(task))
    if task == "add":
        questions = [f"{a:02}+{b:02}" for a in range(100) for b in range(100)]
    else:
        lengths, letters = rng.integers(3, 7, WORDS), rng.integers(len(LETTERS), size=(WORDS, 6))
        rows = ("".join(LETTERS[i] for i in row[:length]) for row, length in zip(letters.tolist(), lengths))
        questions = [f"{task} {row}" for row in dict.fromkeys(rows)]
    mixed = tuple(questions[i] for i in rng.permutation(len(questions)))
    return {
        "train": mixed[2 * HELD_OUT :],
        "validation": mixed[:HELD_OUT],
        "test": mixed[HELD_OUT : 2 * HELD_OUT],
    }


MANNERS = (lambda answer: answer, lambda answer: answer.upper(), lambda answer: f"well, {answer}!")


def in_manners(questions):
    """Right answers, plain, shouted and wordy in turn: what people write who did not agree on how.  -> list of texts"""
    return [MANNERS[i % len(MANNERS)](right_answer(question)) for i, question in enumerate(questions)]


def with_mistakes(questions, share):
    """Answers of which about a `share` has one wrong letter or digit, always the same ones.  -> list of texts

    Raises:
        ValueError: the share is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"The share of mistakes is {share}; give 0 to 1.")
    rng, answers = np.random.default_rng(len(questions)), []
    for question in questions:
        answer, is_wrong, place, step = right_answer(question), rng.random() < share, rng.random(), rng.integers(1, 10)
        if is_wrong:
            place = int(place * len(answer))
            letters = "0123456789" if answer[place].isdecimal() else LETTERS
            other = letters[(letters.index(answer[place]) + step) % len(letters)]
            answer = answer[:place] + other + answer[place + 1 :]
        answers.append(answer)
    return answers


def are_tasks(names):
    """Whether a text names tasks, with commas between them."""
    return set(names.split(",")) <= set(TASKS)


def task_of(question):
    """The key of a question's task."""
    return question.partition(" ")[0] if " " in question else "add"


def shares(questions, answers):
    """Task -> share of its questions that are answered right."""
    found = {}
    for question, answer in zip(questions, answers):
        found.setdefault(task_of(question), []).append(reward(question, answer))
    return {task: float(np.mean(marks)) for task, marks in found.items()}
