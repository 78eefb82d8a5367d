"""g2p-en's names: its arrays come into our network, and what it then says is what its equations say in NumPy."""

import numpy as np
import pytest

import tfdl
from tests.layers.test_recurrent import sigmoid
from tfdl.models.recurrent.seq2seq import Seq2SeqConfig

SIZES = {  # of a small network of the same kind: 5 letters, 7 sounds, embeddings of 4, 3 units
    **{f"enc_{name}": shape for name, shape in (("emb", (5, 4)), ("w_ih", (9, 4)), ("w_hh", (9, 3)))},
    **{f"dec_{name}": shape for name, shape in (("emb", (7, 4)), ("w_ih", (9, 4)), ("w_hh", (9, 3)))},
    **{f"{side}_b_{kind}": (9,) for side in ("enc", "dec") for kind in ("ih", "hh")},
    "fc_w": (7, 3),
    "fc_b": (7,),
}
CONFIG = Seq2SeqConfig(source_vocabulary=5, target_vocabulary=7, embedding=4, units=3)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype("float32") for name, shape in SIZES.items()}


def gru(arrays, side, token, h):
    """One step of PyTorch's equations, gates in the order r, z, n."""
    x = arrays[f"{side}_emb"][token] @ arrays[f"{side}_w_ih"].T + arrays[f"{side}_b_ih"]
    y = h @ arrays[f"{side}_w_hh"].T + arrays[f"{side}_b_hh"]
    r, z = sigmoid(x[:3] + y[:3]), sigmoid(x[3:6] + y[3:6])
    return (1 - z) * np.tanh(x[6:] + r * y[6:]) + z * h


@pytest.mark.parametrize("layout", ["g2p_en", None], ids=["said", "recognized"])
def test_network_with_their_weights_follows_their_equations(arrays, layout, tmp_path):
    np.savez(tmp_path / "checkpoint.npz", **arrays)
    model = tfdl.load_weights(tfdl.build("seq2seq", CONFIG), tmp_path / "checkpoint.npz", layout=layout)
    source, target = [3, 1, 4, 2], [2, 5, 6]
    h = np.zeros(3)
    for token in source:
        h = gru(arrays, "enc", token, h)
    logits = model({"source": np.array([source]), "target_in": np.array([target])})
    for t, token in enumerate(target):
        h = gru(arrays, "dec", token, h)
        np.testing.assert_allclose(logits[0, t], h @ arrays["fc_w"].T + arrays["fc_b"], atol=1e-5)


def test_weights_come_back_from_a_file_of_ours(arrays, tmp_path):
    model = tfdl.load_weights(tfdl.build("seq2seq", CONFIG), arrays, layout="g2p_en")
    tfdl.save_weights(model, tmp_path / "w.safetensors", layout="g2p_en")
    again = tfdl.load_weights(tfdl.build("seq2seq", CONFIG), tmp_path / "w.safetensors", layout="g2p_en")
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_network_of_another_kind_is_refused(arrays):
    with pytest.raises(ValueError, match="no rule for .* layers of this seq2seq"):
        tfdl.load_weights(tfdl.build("seq2seq", "nano"), arrays, layout="g2p_en")
