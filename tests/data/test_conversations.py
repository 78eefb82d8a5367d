"""Conversations and preferences from files: every form of a line, and errors that name file and line."""

import json

import pytest

from tfdl.data.conversations import Conversation, Preference, read

TALK = {"messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]}
PAIR = {"prompt": "Hello!", "response": "Hi."}
JUDGED = {"prompt": "Hello!", "chosen": "Hi.", "rejected": "What?"}
HELLO = Conversation((("user", "Hello!"), ("assistant", "Hi.")))


def write(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_every_form_of_a_line(tmp_path):
    rows = read(write(tmp_path / "a.jsonl", [TALK, "", PAIR, PAIR | {"prompt": TALK["messages"][:1]}]))["train"]
    assert rows == (HELLO, HELLO, HELLO)
    assert HELLO.prompt == (("user", "Hello!"),) and HELLO.answer == "Hi."
    as_lists = {"prompt": TALK["messages"][:1], "chosen": TALK["messages"], "rejected": "What?"}
    pairs = read(write(tmp_path / "b.jsonl", [JUDGED, as_lists]), Preference)["train"]
    assert pairs == (Preference((("user", "Hello!"),), "Hi.", "What?"),) * 2


def test_splits_are_files_or_tenths(tmp_path):
    numbered = [PAIR | {"response": str(i)} for i in range(20)]
    tenths = read(write(tmp_path / "talks.jsonl", numbered))
    assert {key: [row.answer for row in rows] for key, rows in tenths.items() if key != "train"} == {
        "validation": ["8", "18"],
        "test": ["9", "19"],
    }
    folder = tmp_path / "talks"
    folder.mkdir()
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        write(folder / f"{split}.jsonl", numbered[:count])
    assert {key: len(rows) for key, rows in read(folder).items()} == {"train": 3, "validation": 1, "test": 2}


def test_tasks_take_turns():
    rows = read("add,sort")["train"]
    assert "+" in rows[0].prompt[0][1] and rows[1].prompt[0][1].startswith("sort ")
    assert len(rows) == len(read("add")["train"]) + len(read("sort")["train"])


WRONG = {
    "{": "is no JSON",
    "[]": "is no conversation; write an object with",
    '{"text": "a"}': "is no conversation",
    '{"messages": []}': "has the messages \\[\\]; give a list",
    '{"messages": [{"role": "bot", "content": "a"}]}': "give a role \\(system, user, assistant\\)",
    '{"messages": [{"role": "user", "content": 3}]}': "and a content, a text",
    '{"messages": [{"role": "user", "content": "a"}]}': "ends with a message of the user",
    '{"prompt": "a", "response": ""}': "has the response ''; give a text",
    '{"prompt": [{"role": "assistant", "content": "a"}], "response": "b"}': "prompt that ends with the assistant's",
    '{"prompt": "a", "chosen": "b", "rejected": "c"}': "each line needs messages, or prompt and response",
}


@pytest.mark.parametrize("line", WRONG)
def test_errors_name_file_and_line(tmp_path, line):
    path = write(tmp_path / "talks.jsonl", [TALK, "", line])
    with pytest.raises(ValueError, match=f"talks.jsonl, line 3, .*{WRONG[line]}"):
        read(path)


def test_pairs_that_do_not_differ_and_missing_files_are_refused(tmp_path):
    path = write(tmp_path / "judged.jsonl", [JUDGED, JUDGED | {"rejected": "Hi."}])
    with pytest.raises(ValueError, match="line 2, has the same answer as chosen and rejected"):
        read(path, Preference)
    with pytest.raises(ValueError, match="line 1, has messages; each line needs prompt, chosen and rejected"):
        read(write(path, [TALK]), Preference)
    with pytest.raises(FileNotFoundError, match=r"give a .jsonl file, a folder .* or tasks: add, reverse"):
        read(tmp_path / "nothing")
