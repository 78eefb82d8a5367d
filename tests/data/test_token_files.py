"""Texts larger than memory: the same batches as in memory, a file that is made once, and never more than a piece."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import text, token_files
from tfdl.data.tokenizers import Bytes, Characters, Pieces

OPTIONS = dict(length=7, batch_size=9)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five files with 3,000 characters in all, and small pieces."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(token_files, "PIECE", 50)
    random = np.random.default_rng(0)
    (tmp_path / "texts" / "more").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "more/c.txt", "more/d.jsonl", "e.txt"):
        lines = ["".join(random.choice(list("abcdefgh "), 19)) for _ in range(30)]
        if name.endswith(".jsonl"):
            lines = [json.dumps({"text": line, "id": 3}) for line in lines]
        (tmp_path / "texts" / name).write_text("\n".join(lines) + "\n")
    return tmp_path / "texts"


def batches(dataset):
    return [[array.tolist() for array in batch] for batch in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("tokenizer", ["characters", "bytes"])
def test_batches_are_those_of_texts_in_memory(folder, tokenizer):
    memory, files = (text.load(folder, tokenizer=tokenizer, streaming=kind, **OPTIONS) for kind in (False, True))
    assert isinstance(files.splits["train"], np.memmap) and not isinstance(memory.splits["train"], np.memmap)
    assert files.tokenizer == memory.tokenizer and files.counts == memory.counts
    for split in ("train", "validation", "test"):
        assert batches(getattr(files, split)) == batches(getattr(memory, split))
        assert getattr(files, split).element_spec == getattr(memory, split).element_spec
    assert files.bigram_nats() == pytest.approx(memory.bigram_nats())
    assert text.load(folder, tokenizer=tokenizer, streaming=True, limit=3, **OPTIONS).counts == {
        "train": 3, "validation": 3, "test": 3
    }  # fmt: skip


def test_any_step_of_any_epoch_can_be_entered(folder):
    walked = text.load(folder, streaming=True, **OPTIONS)
    epochs = [batches(walked.train) for _ in range(2)]
    position = tf.Variable((1, 4), dtype=tf.int64)
    assert batches(text.load(folder, streaming=True, position=position, **OPTIONS).train) == epochs[1][4:]


def test_token_file_is_made_once_and_anew_when_a_text_or_the_tokenizer_changes(folder):
    def made():
        return sorted(path.name for path in token_files.cache().iterdir())

    files = token_files.files_of(folder)
    first = token_files.tokenized(files, Bytes())
    before = os.stat(first.filename).st_mtime_ns
    assert os.stat(token_files.tokenized(files, Bytes()).filename).st_mtime_ns == before and len(made()) == 1
    token_files.tokenized(files, Characters("abc"))
    assert len(made()) == 2
    (folder / "e.txt").write_text("other")
    assert len(token_files.tokenized(files, Bytes())) != len(first) and len(made()) == 3
    assert not any(name.endswith(".part") for name in made())


def test_no_more_than_a_piece_is_encoded_at_once_and_nothing_is_left_of_a_failure(folder, monkeypatch):
    seen, encode = [], Bytes.encode
    monkeypatch.setattr(Bytes, "encode", lambda self, part: seen.append(len(part)) or encode(self, part))
    files = token_files.files_of(folder)
    tokens = token_files.tokenized(files, Bytes())
    assert len(seen) > 20 and max(seen) < 50 + 21 and sum(seen) == len(tokens)
    assert bytes(tokens.astype("uint8")).decode() == "".join(token_files.pieces(files))
    (folder / "z.txt").write_bytes(b"ab" * 100 + b"\xff")
    with pytest.raises(ValueError, match="z.txt is no UTF-8 text"):
        token_files.tokenized(token_files.files_of(folder), Bytes())
    assert len(list(token_files.cache().iterdir())) == 1


def test_pieces_of_words_are_those_of_the_lines(folder):
    tokenizer = Pieces.trained(token_files.pieces(token_files.files_of(folder)), 300, "byte_pairs")
    tokens = token_files.tokenized(token_files.files_of(folder), tokenizer)
    assert tokens.dtype == np.uint16
    assert tokenizer.decode(tokens) == "".join(token_files.pieces(token_files.files_of(folder)))


def test_what_is_wrong_is_said(folder):
    with pytest.raises(FileNotFoundError, match=r"no files .txt, .jsonl at .*nothing; streaming reads these"):
        text.load(folder / "nothing", streaming=True)
    (folder / "x.jsonl").write_text('{"text": "a"}\n{"title": "b"}\n')
    with pytest.raises(ValueError, match='x.jsonl, line 2, is no JSON object with a "text"'):
        text.load(folder, streaming=True)
