"""Texts that match a pattern or a schema, whatever the model would rather write."""

import json
import re
import sys

import numpy as np
import pytest
import tokenizers

from tests.commands.test_generate import LETTERS
from tests.models.language_models import moved
from tfdl.core.token_rows import pieces_as_bytes
from tfdl.data.tokenizers import Bytes
from tfdl.inference.constraints import Constraint
from tfdl.inference.sampling import Sampling

TOKENIZER = LETTERS.tokenizer
PROMPTS = [[5, 9, 2], [7], [3, 3, 8, 1, 4]]
HOT = Sampling(temperature=3.0)


@pytest.fixture(scope="module")
def gpt():
    return moved("gpt")


def texts(answer):
    return [TOKENIZER.decode(row.tolist()) for row in answer.tokens]


@pytest.mark.parametrize("sampling", [None, HOT, Sampling(temperature=3.0, top_k=2)], ids=str)
def test_texts_match_the_pattern_and_end_where_nothing_may_follow(gpt, sampling):
    pattern = r"[A-F][0-9]{2,4}(;|!)"
    constraint = Constraint.matching(pattern, TOKENIZER)
    answer = gpt.generate(PROMPTS, new_tokens=9, constraint=constraint, sampling=sampling, compiled=False, seed=1)
    assert all(re.fullmatch(pattern, text) for text in texts(answer)) and answer.matched == [True] * 3


def test_among_allowed_tokens_the_likeliest_is_taken(gpt):
    constraint = Constraint.matching("[0-9]", TOKENIZER)
    answer = gpt.generate(PROMPTS, new_tokens=1, constraint=constraint, compiled=False)
    digits = TOKENIZER.encode("0123456789").ids
    for prompt, tokens, values in zip(PROMPTS, answer.tokens, answer.log_probabilities):
        logits = gpt(np.array([prompt]))[0, -1].numpy()
        assert tokens.tolist() == [digits[logits[digits].argmax()]]
        log_p = logits - np.log(np.exp(logits).sum())
        np.testing.assert_allclose(values, log_p[tokens], atol=1e-5)  # the model's own, not that of the digits alone


def test_a_stop_token_is_for_where_a_text_may_end_only(gpt):
    end = TOKENIZER.token_to_id("Z")
    constraint = Constraint.matching("AB?", TOKENIZER)
    for seed in range(8):
        answer = gpt.generate(
            [[5]] * 4, new_tokens=5, constraint=constraint, stop_tokens=[end], sampling=HOT, seed=seed
        )
        assert set(texts(answer)) <= {"A", "AB"} and all(answer.matched)


def test_a_text_that_is_cut_says_so(gpt):
    answer = gpt.generate(PROMPTS, new_tokens=3, constraint=Constraint.matching("[0-9]{5}", TOKENIZER), compiled=False)
    assert answer.matched == [False] * 3 and all(re.fullmatch("[0-9]{3}", text) for text in texts(answer))


def test_xla_follows_too(gpt):
    constraint = Constraint.matching(r"[A-F][0-9]{2,4};", TOKENIZER)
    plain, compiled = (
        gpt.generate(PROMPTS, new_tokens=9, constraint=constraint, compiled=compiled) for compiled in (False, True)
    )
    assert texts(plain) == texts(compiled)


def test_schema_gives_json_that_follows_it(gpt):
    bytes_model = moved("gpt", vocabulary_size=256)
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0}, "b": {"enum": ["x", "y"]}},
        "required": ["a", "b"],
    }
    constraint = Constraint.following(schema, Bytes().tokenizer)
    found = 0
    for seed in range(4):
        answer = bytes_model.generate([[65]] * 4, new_tokens=30, constraint=constraint, sampling=HOT, seed=seed)
        for tokens, whole in zip(answer.tokens, answer.matched):
            if whole:  # an integer may be longer than 30 tokens allow
                value = json.loads(bytes(tokens.tolist()))
                assert set(value) == {"a", "b"} and isinstance(value["a"], int) and value["b"] in ("x", "y")
                found += 1
    assert found


def test_letters_of_several_bytes_are_followed_byte_by_byte():
    constraint = Constraint.matching("é", Bytes().tokenizer)
    first, second = "é".encode()
    after = constraint.table[constraint.start, first]
    assert constraint.final[constraint.table[after, second]]
    assert (constraint.table[constraint.start] >= 0).sum() == 1 and not constraint.final[after]


def test_pieces_are_the_bytes_of_a_text():
    byte_pairs = tokenizers.Tokenizer(tokenizers.models.BPE())
    byte_pairs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_pairs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<end>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    byte_pairs.train_from_iterator(["naïve café, naïve ☕"], trainer)
    pieces = pieces_as_bytes(byte_pairs)
    text = "naïve ☕\n"
    assert b"".join(pieces[number] for number in byte_pairs.encode(text).ids) == text.encode()
    assert byte_pairs.token_to_id("<end>") not in pieces


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(a", "The pattern '\\(a' cannot be followed"),
        ("~", "The pattern '~' cannot be followed"),  # there is no such letter
    ],
)
def test_a_bad_pattern_is_one_sentence(pattern, sentence):
    with pytest.raises(ValueError, match=sentence):
        Constraint.matching(pattern, TOKENIZER)


def test_other_bad_input(monkeypatch):
    with pytest.raises(ValueError, match="The schema nonsense cannot be followed"):
        Constraint.following("nonsense", TOKENIZER)
    pieces = tokenizers.Tokenizer(tokenizers.models.WordPiece({"a": 0, "##b": 1, "[UNK]": 2}))
    pieces.decoder = tokenizers.decoders.WordPiece()
    with pytest.raises(ValueError, match="depends on its neighbors \\(its decoder is WordPiece\\)"):
        Constraint.matching("a", pieces)
    monkeypatch.setattr("tfdl.inference.constraints.LARGEST", 1000)
    with pytest.raises(ValueError, match="The pattern has 21 states, whose table for 61 tokens"):
        Constraint.matching("A{20}", TOKENIZER)
    monkeypatch.setitem(sys.modules, "outlines_core", None)
    with pytest.raises(ImportError, match="pip install 'tfdl\\[constrain\\]'"):
        Constraint.matching("a", TOKENIZER)
