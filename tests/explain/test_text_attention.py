"""Where tokens look: the model's own weights, with the names of the tokens."""

import numpy as np

from tfdl.data.tokenizers import Pieces
from tfdl.explain.text_attention import text_attention
from tfdl.figures.alignments import alignments
from tfdl.models.text.bert import bert


def test_each_row_has_its_weights_and_the_names_of_its_tokens():
    tokenizer = Pieces.trained(["a good film"] * 3, 40, "word_pieces")
    model = bert("nano", vocabulary_size=len(tokenizer), head="masked_lm")
    rows = [tokenizer.encode_batch([text], length=size)["tokens"][0] for text, size in (("a film", 4), ("good", 3))]
    weights, labels = text_attention(model, tokenizer, rows)
    assert labels == [["[CLS]", "a", "film", "[SEP]"], ["[CLS]", "good", "[SEP]"]]
    np.testing.assert_allclose(weights[1], np.array(model.attention_map(rows[1][None]))[0], rtol=1e-5)
    assert alignments(weights, labels, labels, names=("is looked at", "looks")).axes[0].get_ylabel() == "looks"
