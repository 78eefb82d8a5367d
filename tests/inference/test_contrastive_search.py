"""Contrastive search against equation 5 written out, token by token and without a cache."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.language_models import moved

PROMPTS = [[5, 9, 2], [7], [3, 3, 8, 1, 4]]


@pytest.fixture(scope="module")
def llama():
    return moved("llama")


def vectors(model, tokens):
    tokens = np.array([tokens])
    empty = model.empty_cache(1, tokens.shape[1])
    x, _ = model.extended_vectors(tokens, empty, 0)
    return (x[0] / np.linalg.norm(x[0], axis=-1, keepdims=True)).numpy()


def written_out(model, prompt, candidates, penalty, count):
    tokens = list(prompt)
    for _ in range(count):
        p = tf.nn.softmax(model(np.array([tokens]))[0, -1]).numpy()
        scores = {}
        for v in np.argsort(-p)[:candidates]:
            directions = vectors(model, [*tokens, int(v)])
            scores[int(v)] = (1 - penalty) * p[v] - penalty * np.max(directions[:-1] @ directions[-1])
        tokens.append(max(scores, key=scores.get))
    return tokens[len(prompt) :]


def test_texts_are_those_of_equation_5(llama):
    answer = llama.contrastive_search(PROMPTS, candidates=4, penalty=0.6, new_tokens=6)
    greedy = llama.generate(PROMPTS, new_tokens=6, compiled=False)
    for prompt, tokens, values in zip(PROMPTS, answer.tokens, answer.log_probabilities):
        assert tokens.tolist() == written_out(llama, prompt, 4, 0.6, 6)
        whole = tf.nn.log_softmax(llama(np.array([[*prompt, *tokens]]))[0, len(prompt) - 1 : -1])
        np.testing.assert_allclose(values, tf.gather(whole, tokens, batch_dims=1), atol=1e-5)
    assert any(a.tolist() != b.tolist() for a, b in zip(answer.tokens, greedy.tokens))  # else nothing was shown


def test_without_penalty_it_is_greedy_and_a_stop_token_ends_a_text(llama):
    greedy = llama.generate(PROMPTS, new_tokens=6, compiled=False)
    free = llama.contrastive_search(PROMPTS, penalty=0.0, new_tokens=6)
    assert [row.tolist() for row in free.tokens] == [row.tolist() for row in greedy.tokens]
    stop = int(free.tokens[0][2])
    stopped = llama.contrastive_search(PROMPTS, penalty=0.0, new_tokens=6, stop_tokens=[stop]).tokens[0].tolist()
    assert stopped == free.tokens[0].tolist()[: free.tokens[0].tolist().index(stop)]


@pytest.mark.parametrize("options", [{"candidates": 0}, {"penalty": 1.5}])
def test_arguments_out_of_range(llama, options):
    with pytest.raises(ValueError, match="give 1 to 61 candidates and a penalty of 0 to 1"):
        llama.contrastive_search(PROMPTS, **options)


def test_encoder_decoders_are_refused():
    with pytest.raises(ValueError, match="reads a source"):
        moved("bart").contrastive_search(PROMPTS)
