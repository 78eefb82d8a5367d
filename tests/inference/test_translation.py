"""Greedy decoding: the likeliest token at every step, each text for itself, ended by its end."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.models.language_models import moved
from tfdl.data.tokenizers import Words
from tfdl.inference.translation import alignment, greedy, translate

START, END, LENGTH = 2, 3, 6
SOURCE = np.random.default_rng(0).integers(4, 9, (4, 5), "int32")
SOURCE[1, 3:] = 0
MODELS = ("seq2seq", "transformer")


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return moved(request.param)


def test_each_text_of_a_batch_is_the_likeliest_by_itself_and_the_loop_is_traced_once(model):
    write = greedy(model, start=START, end=END, length=LENGTH)
    texts = write(SOURCE).numpy()
    assert texts.shape == (4, LENGTH) and len({str(text) for text in texts}) > 1
    before = np.pad(texts, ((0, 0), (1, 0)), constant_values=START)
    likeliest = np.array(model({"source": SOURCE, "target_in": before})).argmax(-1)  # all steps at once
    for row, text, expected in zip(SOURCE, texts, likeliest.tolist()):
        count = expected.index(END) if END in expected[:LENGTH] else LENGTH
        assert text.tolist() == expected[:count] + [0] * (LENGTH - count)
        assert write(row[None, row > 0]).numpy().tolist() == [text.tolist()]
    assert write.experimental_get_tracing_count() == 1


def test_generate_writes_the_same_and_beams_find_likelier_texts(model):
    write = greedy(model, start=START, end=END, length=LENGTH)
    prompts, options = [row[row > 0] for row in SOURCE], {"start": START, "stop_tokens": (END,), "new_tokens": LENGTH}
    found = model.generate(prompts, compiled=False, **options)
    for text, tokens in zip(write(SOURCE).numpy(), found.tokens, strict=True):
        assert text[: len(tokens)].tolist() == tokens.tolist() and not text[len(tokens) :].any()
    beams = model.beam_search(prompts, beams=4, length_penalty=0.0, **options)
    for best, first in zip(beams.log_probabilities, found.log_probabilities):
        assert len(best) < len(first) or best.sum() >= first.sum() - 1e-5
    with pytest.raises(ValueError, match=f"has the token 99, but {model.name} has"):
        model.generate([[99]], **options)


class Countdown:
    """Writes its source's number, and one less each time, past the end too; counts its steps."""

    def __init__(self):
        self.steps = tf.Variable(0)

    def start(self, source, length):
        return source[:, :1]

    def extend(self, tokens, cache, position):
        self.steps.assign_add(1)
        return tf.one_hot(tf.maximum(cache, 0), 10), cache - 1


def test_texts_end_each_at_its_end_and_the_loop_after_the_last():
    model = Countdown()
    texts = greedy(model, start=START, end=END, length=9)(np.array([[6], [3], [4]], "int32")).numpy()
    assert texts.tolist() == [[6, 5, 4] + [0] * 6, [0] * 9, [4] + [0] * 8]
    assert int(model.steps) == 4
    with pytest.raises(ValueError, match="length is 0; give 1 or more"):
        greedy(model, start=START, end=END, length=0)


def test_translations_are_texts_in_the_order_of_the_data():
    words = Words(("a", "b", "c", "d", "e"))
    sources = np.array([[5], [3], [6], [4], [7]], "int32")
    data = tf.data.Dataset.from_tensor_slices(({"source": sources}, sources)).batch(2)
    texts, tokens = translate(Countdown(), data, words, length=4)
    assert texts == ["b a", "", "c b a", "a", "d c b a"]
    assert [row.tolist() for row in tokens] == [[5, 4], [], [6, 5, 4], [4], [7, 6, 5, 4]]


def test_alignment_names_what_was_read_and_written(model):
    words = Words(("a", "b", "c"))
    data = SimpleNamespace(source_tokenizer=words, target_tokenizer=words)
    weights, source, target = alignment(model, data, "a b c a", np.array([5, 6]))
    assert source == ["a", "b", "c", "a", "end"] and target == ["b", "c", "end"]
    assert weights.shape == (3, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    inputs = {"source": np.array([[4, 5, 6, 4, 3]]), "target_in": np.array([[2, 5, 6]])}
    np.testing.assert_allclose(weights, np.array(model.attention_map(inputs))[0], atol=1e-6)
