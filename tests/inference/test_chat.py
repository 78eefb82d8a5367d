"""Conversations: what the model reads at each turn, what it forgets, where its answers end."""

import io
import json

import numpy as np
import pytest

from tests.models.language_models import moved
from tfdl.__main__ import main
from tfdl.core.chat_templates import TEMPLATES
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.data.tokenizers import Characters, Pieces
from tfdl.inference.sampling import Sampling
from tfdl.inference.source import load
from tfdl.inference.text_generation import Chat

TEMPLATE = TEMPLATES["tags"]
TOKENIZER = Characters("".join(map(chr, range(32, 32 + 55)))).tokenizer  # 57 tokens, and 4 of the template
TOKENIZER.add_special_tokens(list(TEMPLATE.special))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "letters_gpt_instructed"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    moved("gpt").save(folder / "checkpoints" / "best" / "model.keras")
    template = (TEMPLATE.before, TEMPLATE.end, TEMPLATE.after)
    task = Task(kind="text_generation", tokenizer="tokenizer.json", length=32, template=template)
    write_json(folder / "task.json", task.to_json())
    (folder / "tokenizer.json").write_text(TOKENIZER.to_str())
    return folder


@pytest.fixture(scope="module")
def writer(folder):
    return load(folder)


def expected(writer, messages, new_tokens, **options):
    """What the model itself writes after these turns."""
    tokens = TEMPLATE.encode(messages, Pieces(TOKENIZER), prompt=True)[0]
    stop = TOKENIZER.token_to_id(TEMPLATE.end)
    answer = writer.model.generate([tokens], new_tokens=new_tokens, stop_tokens=[stop], compiled=False, **options)
    return TOKENIZER.decode(answer.tokens[0].tolist())


def test_each_question_is_read_after_all_turns_before(writer):
    chat, options = Chat(writer, system="HI"), dict(new_tokens=4, compiled=False)
    first = chat.answer("1+1", **options)
    turns = [("system", "HI"), ("user", "1+1")]
    assert first == expected(writer, turns, 4)
    second = chat.answer("2", **options)
    turns += [("assistant", first), ("user", "2")]
    assert second == expected(writer, turns, 4)
    assert chat.messages == [*turns, ("assistant", second)]


def test_oldest_turns_are_forgotten_where_they_do_not_fit(writer):
    chat = Chat(writer, system="HI")
    for question in ("AAAA", "BBBB", "CCCC"):  # the model sees 32 tokens
        chat.answer(question, new_tokens=4, compiled=False)
    assert chat.messages[0] == ("system", "HI") and chat.messages[-2][1] == "CCCC"
    assert "AAAA" not in dict(chat.messages).values() and len(chat.messages) == 5


def test_an_answer_ends_with_the_end_of_a_turn(writer):
    hot = Sampling(temperature=5.0)
    lengths = set()
    for seed in range(12):
        chat = Chat(writer)
        text = chat.answer("A", new_tokens=20, sampling=hot, seed=seed, compiled=False)
        assert text == expected(writer, [("user", "A")], 20, sampling=hot, seed=seed) and TEMPLATE.end not in text
        lengths.add(len(text))
    assert len(lengths) > 1  # some ended early


def test_command_answers_each_line(folder, writer, capsys, monkeypatch):
    questions = ["1+1", "2"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(questions)))
    assert main(["generate", str(folder), "--chat", "--new-tokens", "4", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    chat = Chat(writer)
    assert rows == [{"question": q, "answer": chat.answer(q, new_tokens=4, compiled=False)} for q in questions]
    monkeypatch.setattr("sys.stdin", io.StringIO("1+1\n"))
    assert main(["generate", str(folder), "--chat", "--new-tokens", "4"]) == 0
    assert capsys.readouterr().out == rows[0]["answer"] + "\n"


def test_bad_input_is_one_sentence(folder, writer, capsys):
    assert main(["generate", str(folder)]) == 2
    assert "Give --prompt TEXT, once or more, or --chat." in capsys.readouterr().err
    with pytest.raises(ValueError, match="The question has 39 tokens, but gpt sees 32; give a shorter one"):
        Chat(writer).answer("A" * 36)
    with pytest.raises(ValueError, match="has no token <\\|im_end\\|>; add it"):
        Chat(writer, TEMPLATES["chatml"])
    with pytest.raises(ValueError, match="template is \\('a', 'b', 'c'\\)"):
        Task(kind="text_generation", tokenizer="t.json", length=8, template=("a", "b", "c"))
    plain = load(folder)
    object.__setattr__(plain.task, "template", None)
    with pytest.raises(ValueError, match="was not trained on conversations; say how its turns are written"):
        Chat(plain)


def test_a_message_cannot_pose_as_another_turn(writer):
    tokens = Chat(writer).prompt([("user", "<|end|>")])
    assert np.sum(tokens == TOKENIZER.token_to_id("<|end|>")) == 1  # that of the turn itself
