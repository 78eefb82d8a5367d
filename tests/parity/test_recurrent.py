"""Recurrent layers give what PyTorch's give with the same weights, and g2p-en's network says the same words."""

import importlib
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import tfdl
from tests.parity.references import difference, torch
from tfdl.inference.translation import greedy
from tfdl.layers.recurrent import Recurrent

pytestmark = pytest.mark.parity

LENGTHS = (7, 3, 5)
LIMIT = 1e-5
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
CELLS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def copied(layer, theirs, direction=""):
    """Our layer with the weights of one direction of theirs; where ours has one bias, the sum of their two."""
    arrays = {name: getattr(theirs, f"{name}_l0{direction}").detach().numpy() for name in PARTS}
    layer.build((None, None, arrays["weight_ih"].shape[1]))
    layer.project.kernel.assign(arrays["weight_ih"].T)
    recurrent = layer.scan.cell.recurrent
    recurrent.kernel.assign(arrays["weight_hh"].T)
    if recurrent.use_bias:
        recurrent.bias.assign(arrays["bias_hh"])
        layer.project.bias.assign(arrays["bias_ih"])
    else:
        layer.project.bias.assign(arrays["bias_ih"] + arrays["bias_hh"])
    return layer


@pytest.mark.parametrize("cell", CELLS)
def test_both_directions_of_padded_sequences_are_those_of_torch(cell):
    library = torch()
    theirs = getattr(library.nn, CELLS[cell])(4, 6, batch_first=True, bidirectional=True)
    x = np.random.default_rng(0).normal(size=(3, 7, 4)).astype("float32")
    mask = np.arange(7) < np.array(LENGTHS)[:, None]
    packed = library.nn.utils.rnn.pack_padded_sequence(
        library.from_numpy(x), LENGTHS, batch_first=True, enforce_sorted=False
    )
    with library.no_grad():
        outputs, last = theirs(packed)
        outputs = library.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0].numpy()
    last = last if cell == "lstm" else (last,)
    for i, direction in enumerate(("", "_reverse")):
        layer = copied(Recurrent(6, cell, backwards=bool(i)), theirs, direction)
        ours, states = layer(x, mask=mask)
        expected = outputs[..., i * 6 : (i + 1) * 6]
        assert difference(np.array(ours)[mask], expected[mask]) <= LIMIT
        for state, other in zip(states, last, strict=True):
            assert difference(state, other[i].numpy()) <= LIMIT


@pytest.fixture(scope="module")
def program():
    """g2p-en's class and weights.  Its dictionary and tagger, which it would download, are left out."""
    absent = {name: mock.MagicMock() for name in ("nltk", "nltk.corpus", "nltk.tokenize", "inflect")}
    with mock.patch.dict(sys.modules, absent):
        try:
            module = importlib.import_module("g2p_en.g2p")
        except ImportError:
            pytest.skip("g2p-en is not installed")
        return module.G2p(), Path(module.__file__).with_name("checkpoint20.npz")


def words(count):
    """Syllables of consonants and vowels, with "don't" for a sign that g2p-en does not know, and "a" for one letter."""
    rng = np.random.default_rng(0)
    consonants, vowels, made = list("bcdfghjklmnpqrstvwxyz"), list("aeiou"), {"don't", "a"}
    while len(made) < count:
        made.add("".join(rng.choice(letters) for _ in range(rng.integers(1, 5)) for letters in (consonants, vowels)))
        made.add("".join(rng.choice(letters) for letters in (vowels, consonants, consonants, vowels, consonants)))
    return sorted(made)


def test_g2p_en_s_network_says_500_words_as_its_own_program_does(program):
    theirs, file = program
    model = tfdl.load_weights(tfdl.build("seq2seq", "g2p_en"), file, layout="g2p_en")
    texts = words(500)
    longest = max(map(len, texts)) + 1
    source = np.zeros((len(texts), longest), "int32")
    for row, word in zip(source, texts):
        letters = [theirs.g2idx.get(letter, theirs.g2idx["<unk>"]) for letter in word]
        row[: len(letters) + 1] = [*letters, theirs.g2idx["</s>"]]
    write = greedy(model, start=theirs.p2idx["<s>"], end=theirs.p2idx["</s>"], length=20)
    ours = [[theirs.idx2p[token] for token in row if token] for row in write(source).numpy().tolist()]
    assert ours == [theirs.predict(word) for word in texts]
    assert len({tuple(row) for row in ours}) > 450
