"""Conversations and preferences, read from files of JSON lines or made from tasks that a rule can check.

    read("talks.jsonl")["train"][0]        # Conversation(messages=(("user", "Hello!"), ("assistant", "Hi.")))
    read("judged.jsonl")["train"][0]       # Preference(prompt=(("user", "Hello!"),), chosen="Hi.", rejected="What?")
    read("add,sort")                       # from `checked_tasks`

A line of a file is one of these objects; every line of a set must be of the same kind:

    {"messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]}
    {"prompt": "Hello!", "response": "Hi."}
    {"prompt": "Hello!", "chosen": "Hi.", "rejected": "What?"}

A prompt may also be a list of messages.  A name is a .jsonl file (also as .gz), a folder or the beginning of names with
such a file for each split, or tasks of `checked_tasks` with commas between them.
"""

import itertools
import json
import pathlib
from dataclasses import dataclass

from tfdl.core.chat_templates import ASSISTANT, ROLES
from tfdl.data import checked_tasks, records

SPLITS = ("train", "validation", "test")
PARTS = {"train": range(8), "validation": (8,), "test": (9,)}  # of each ten of a set without splits


@dataclass(frozen=True)
class Conversation:
    """Messages, (role, content) each; the last one is an assistant's."""

    messages: tuple[tuple[str, str], ...]

    @property
    def prompt(self):
        """The messages before the last answer."""
        return self.messages[:-1]

    @property
    def answer(self):
        return self.messages[-1][1]


@dataclass(frozen=True)
class Preference:
    """Two answers to the same messages, of which people, or rules, like one better."""

    prompt: tuple[tuple[str, str], ...]
    chosen: str
    rejected: str


def read(name, kind=Conversation):
    """Split -> a tuple of `kind`; of a set without splits, every ninth and tenth row are validation and test.

    Args:
        kind: `Conversation` or `Preference`: what the caller can use.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no such object; the message says which, in which file, and what is wrong.
    """
    name = str(name)
    tasks = name.split(",")
    if kind is Conversation and checked_tasks.are_tasks(name):
        return {split: from_tasks(tasks, split) for split in SPLITS}
    path = pathlib.Path(name).expanduser()
    files = {"train": path} if path.is_file() else records.files_of_splits(path)
    if not files:
        raise FileNotFoundError(
            f"There are no conversations {name!r}; give a .jsonl file, a folder with train.jsonl and its siblings, or"
            f" tasks: {', '.join(checked_tasks.TASKS)}."
        )
    found = {split: read_file(file, kind) for split, file in files.items()}
    if "train" not in found:
        raise ValueError(f"{name!r} has the splits {', '.join(found)}; add one for training.")
    if set(SPLITS) <= set(found):
        return {split: found[split] for split in SPLITS}
    rows = found["train"]
    return {split: tuple(row for i, row in enumerate(rows) if i % 10 in part) for split, part in PARTS.items()}


def from_tasks(tasks, split):
    """Questions with their right answers, the tasks in turn."""
    turns = itertools.zip_longest(*(checked_tasks.read(task)[split] for task in tasks))
    questions = [question for turn in turns for question in turn if question is not None]
    return tuple(asked(question, checked_tasks.right_answer(question)) for question in questions)


def in_manners(task):
    """Split -> questions of a task with `checked_tasks.in_manners`."""
    splits = checked_tasks.read(task)
    return {
        split: tuple(map(asked, questions, checked_tasks.in_manners(questions))) for split, questions in splits.items()
    }


def with_mistakes(task, share):
    """Split -> questions of a task; about a `share` of the training answers is wrong, held-out ones are right."""
    splits = checked_tasks.read(task)
    answers = {split: map(checked_tasks.right_answer, questions) for split, questions in splits.items()}
    answers["train"] = checked_tasks.with_mistakes(splits["train"], share)
    return {split: tuple(map(asked, questions, answers[split])) for split, questions in splits.items()}


def asked(question, answer):
    """A conversation of one question and its answer."""
    return Conversation((("user", question), (ASSISTANT, answer)))


def read_file(path, kind):
    """The rows of one file.  Raises ValueError as `read`."""
    rows = []
    for number, line in records.lines(records.read_text(path)):
        place = f"{path}, line {number:,}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place}, is no JSON ({error}); correct or remove it.") from error
        row = parsed(values, place)
        if not isinstance(row, kind):
            needed = "prompt, chosen and rejected" if kind is Preference else "messages, or prompt and response"
            raise ValueError(f"{place}, has {', '.join(values)}; each line needs {needed}.")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path} has no rows; give a file with some.")
    return tuple(rows)


def parsed(values, place):
    """The `Conversation` or `Preference` of one line."""
    columns = set(values) if isinstance(values, dict) else set()
    if "messages" in columns:
        messages = messages_of(values["messages"], place)
        if messages[-1][0] != ASSISTANT:
            raise ValueError(f"{place}, ends with a message of the {messages[-1][0]}; end with the assistant's answer.")
        return Conversation(messages)
    if {"prompt", "response"} <= columns:
        prompt = prompt_of(values["prompt"], place)
        return Conversation((*prompt, (ASSISTANT, answer_of(values["response"], "response", place))))
    if {"prompt", "chosen", "rejected"} <= columns:
        chosen, rejected = (answer_of(values[key], key, place) for key in ("chosen", "rejected"))
        if chosen == rejected:
            raise ValueError(f"{place}, has the same answer as chosen and rejected; remove it.")
        return Preference(prompt_of(values["prompt"], place), chosen, rejected)
    raise ValueError(
        f"{place}, is no conversation; write an object with messages, with prompt and response, or with prompt, chosen"
        " and rejected."
    )


def prompt_of(value, place):
    """Messages before an answer, from a text or a list of messages."""
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    messages = messages_of(value, place)
    if messages[-1][0] == ASSISTANT:
        raise ValueError(f"{place}, has a prompt that ends with the assistant's message; end it with another's.")
    return messages


def answer_of(value, column, place):
    """The text of an answer, a text or a list whose last message is the assistant's."""
    if isinstance(value, list):
        role, value = messages_of(value, place)[-1]
        if role != ASSISTANT:
            raise ValueError(f"{place}, ends {column} with a message of the {role}; end with the assistant's answer.")
    if not isinstance(value, str) or not value:
        raise ValueError(f"{place}, has the {column} {value!r}; give a text that is not empty.")
    return value


def messages_of(value, place):
    """((role, content), ...) of a JSON list."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"{place}, has the messages {value!r}; give a list of objects with role and content.")
    messages = []
    for message in value:
        role, content = (message.get(key) if isinstance(message, dict) else None for key in ("role", "content"))
        if role not in ROLES or not isinstance(content, str):
            raise ValueError(
                f"{place}, has the message {message!r}; give a role ({', '.join(ROLES)}) and a content, a text."
            )
        messages.append((role, content))
    return tuple(messages)
