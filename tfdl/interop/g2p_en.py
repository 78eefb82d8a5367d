"""Names of g2p-en 2.1.0 (github.com/Kyubyong/g2p, Park & Kim 2019): its GRU encoder and decoder, letters to sounds.

    model = tfdl.build("seq2seq", "g2p_en")
    tfdl.load_weights(model, ".../g2p_en/checkpoint20.npz", layout="g2p_en")

The weights are PyTorch's, whose gates stand in the order of ours.
"""

from tfdl.interop.layouts import Layout

SIDES = (("encoder", "source", "enc"), ("decoder", "target", "dec"))
RULES = (
    *((rf"{language}_embedding", f"{there}_emb!") for _, language, there in SIDES),
    *((rf"{ours}0/project", f"{there}_ih") for ours, _, there in SIDES),
    *((rf"{ours}0/(\w+/)*recurrent", f"{there}_hh") for ours, _, there in SIDES),
    (r"logits", "fc"),
)
LAYOUT = Layout(
    name="g2p_en",
    families={"seq2seq": RULES},
    torch=True,
    old_names=(
        (r"^(enc|dec)_w_(ih|hh)$", r"\1_\2.weight"),
        (r"^(enc|dec)_b_(ih|hh)$", r"\1_\2.bias"),
        (r"^fc_w$", "fc.weight"),
        (r"^fc_b$", "fc.bias"),
    ),
)
