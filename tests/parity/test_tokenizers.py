"""Tokenizers on models' own files give what transformers gives, on a thousand strings of every kind."""

import json

import numpy as np
import pytest

from tests.parity.references import transformers
from tests.parity.test_trained_bert import folder  # noqa: F401 (a fixture)
from tfdl.data.tokenizers import Pieces, load

pytestmark = pytest.mark.parity

ALPHABETS = (
    "etaoin shrdlu ETAOIN .,!?'-",
    "äöüßéèêñçøåœ ÄÉÑ",
    "日本語中文한국어ひらがな ",
    "🙂👍🏽👨‍👩‍👧🇩🇪 ",
    "مرحبا שלום नमस्ते ",
    "\t\n\r \u00a0\u200b\u2028\u0000\u0007\ufeff",
    "0123456789 +-*/=.,%$€",
    "a\u0301e\u0308o\u0323ﬁ①Ⅷ½ ",
)


def varied(count, seed=0):
    """Strings of all alphabets and of mixtures, empty ones and very long words among them."""
    rng = np.random.default_rng(seed)
    every = [*"".join(ALPHABETS)]
    texts = ["", " ", "x" * 5000, "don't we'll I'm he'd", "  two  spaces  ", "a" * 101]
    while len(texts) < count:
        letters = every if rng.random() < 0.3 else [*ALPHABETS[rng.integers(len(ALPHABETS))]]
        texts.append("".join(rng.choice(letters, rng.integers(1, 80))))
    return texts


TEXTS = varied(1000)


def test_trained_bert_s_tokenizer_is_read_from_each_of_its_files(folder, tmp_path):  # noqa: F811
    theirs = transformers().AutoTokenizer.from_pretrained(folder)
    pieces = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(pieces, key=pieces.get)), encoding="utf-8")
    for ours in (load(folder), load(tmp_path)):
        assert len(ours) == len(theirs) == 30522
        for text in TEXTS:
            assert ours.encode(text).tolist() == theirs(text, add_special_tokens=False)["input_ids"], repr(text)
        batch = ours.encode_batch(TEXTS[10:20], pairs=TEXTS[20:30], length=64)
        expected = theirs(
            TEXTS[10:20], TEXTS[20:30], padding="max_length", max_length=64, truncation=True, return_tensors="np"
        )
        np.testing.assert_array_equal(batch["tokens"], expected["input_ids"])
        np.testing.assert_array_equal(batch["segments"], expected["token_type_ids"])


def test_byte_pairs_are_gpt_2_s(tmp_path):
    trained = Pieces.trained([*TEXTS, "the quick brown fox jumps over the lazy dog"] * 3, 1500)
    trained.tokenizer.model.save(str(tmp_path))
    theirs = transformers().GPT2Tokenizer.from_pretrained(tmp_path)
    ours = load(tmp_path)
    for text in TEXTS:
        assert ours.encode(text).tolist() == theirs(text)["input_ids"], repr(text)
        assert ours.decode(ours.encode(text)) == text
