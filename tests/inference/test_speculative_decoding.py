"""Speculative decoding: the large model's own texts, whatever the draft guesses."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.language_models import moved
from tfdl.inference.sampling import Sampling
from tfdl.inference.speculative_decoding import DRAFT, agreed, drawn, judged

PROMPTS = [[5, 9, 2], [7], [3, 3, 8, 1, 4]]


@pytest.fixture(scope="module")
def gpt():
    return moved("gpt")


@pytest.fixture(scope="module")
def draft(gpt):
    """Often right: the model itself, a little off."""
    other, rng = moved("gpt"), np.random.default_rng(2)
    for variable in other.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.05, variable.shape))
    return other


def texts(answer):
    return [row.tolist() for row in answer.tokens]


def speculate(model, draft, **options):
    return model.speculate(draft, PROMPTS, **{"new_tokens": 12, "compiled": False} | options)


def test_without_temperature_texts_are_those_of_generate(gpt, draft):
    greedy, answer = gpt.generate(PROMPTS, new_tokens=12, compiled=False), speculate(gpt, draft)
    assert texts(answer) == texts(greedy)
    for found, expected in zip(answer.log_probabilities, greedy.log_probabilities):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0 < np.mean(answer.accepted) < 1  # some guesses were right and some were not


def test_a_draft_that_is_the_model_is_always_right(gpt):
    answer = speculate(gpt, gpt, new_tokens=10, guesses=3)
    assert texts(answer) == texts(gpt.generate(PROMPTS, new_tokens=10, compiled=False)) and answer.accepted == [1, 1, 1]


def test_the_first_guess_after_a_prompt_of_one_token_sees_that_token_alone(gpt):
    answer = gpt.speculate(gpt, [[token] for token in range(1, 13)], new_tokens=3, guesses=2, compiled=False)
    assert answer.accepted == [1] * 12


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.3, top_k=20)], ids=["greedy", "drawn"])
def test_xla_gives_the_same_tokens(sampling, gpt, draft):
    plain, compiled = (speculate(gpt, draft, sampling=sampling, seed=3, compiled=c) for c in (False, True))
    assert texts(plain) == texts(compiled) and plain.accepted == compiled.accepted
    other = speculate(gpt, draft, sampling=sampling, seed=4)
    assert (texts(other) == texts(plain)) == (not sampling.temperature)


@pytest.mark.parametrize("guesses", [1, 2])
def test_one_guess_at_a_time_is_enough(guesses, gpt, draft):
    assert texts(speculate(gpt, draft, guesses=guesses)) == texts(speculate(gpt, draft))


def test_agreement_ends_with_the_first_guess_that_is_not_the_model_s_token():
    own = tf.constant([4, 7, 1, 9])
    for guessed, accepted, last in (([4, 7, 1], 3, 9), ([4, 7, 2], 2, 1), ([4, 6, 1], 1, 7), ([3, 7, 1], 0, 4)):
        found = agreed(own, tf.constant(guessed))
        assert (int(found[0]), found[1].numpy().tolist()) == (accepted, [last])


def test_a_stop_token_ends_a_text(gpt, draft):
    free = texts(gpt.generate(PROMPTS, new_tokens=12, compiled=False))
    stop = free[0][4]
    stopped = texts(speculate(gpt, draft, stop_tokens=[stop]))
    assert stopped == [row[: row.index(stop)] if stop in row else row for row in free]


def test_pairs_of_tokens_are_as_frequent_as_the_model_says():
    p = tf.constant([[0.1, 0.6, 0.3, 0.0], [0.5, 0.2, 0.0, 0.3], [0.25, 0.25, 0.25, 0.25]])  # whatever was guessed
    q = tf.constant([[0.5, 0.2, 0.2, 0.1], [0.1, 0.1, 0.4, 0.4]])
    runs = 5_000

    @tf.function
    def pairs():
        def of_seed(seed):
            guessed = tf.concat([drawn(q[i : i + 1], seed, tf.constant(5 + i), DRAFT) for i in range(2)], axis=0)
            accepted, last = judged(p, q, guessed, seed, tf.constant(5))
            next_one = drawn(p[1:2], seed + runs, tf.constant(9), DRAFT)  # by the next round, where one was accepted
            first = tf.where(accepted > 0, guessed[0], last[0])
            second = tf.where(accepted > 1, guessed[1], tf.where(accepted == 1, last[0], next_one[0]))
            return 4 * first + second

        return tf.map_fn(of_seed, tf.range(runs, dtype=tf.int64), fn_output_signature=tf.int32, parallel_iterations=64)

    found = np.bincount(pairs(), minlength=16).reshape(4, 4) / runs
    expected = np.outer(p[0], p[1])
    assert np.all(found[expected == 0] == 0)
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / runs))


def test_a_token_without_probability_is_never_drawn():
    p = tf.constant([[0.0, 0.5, 0.5 - 1e-6, 0.0]])  # the sum is below 1, as rounding may leave it
    assert {int(drawn(p, tf.constant(seed, tf.int64), tf.constant(3), 0)[0]) for seed in range(50)} == {1, 2}


def test_bad_input_is_one_sentence(gpt):
    with pytest.raises(ValueError, match="guesses is 0; give 1 or more"):
        gpt.speculate(gpt, PROMPTS, guesses=0)
    with pytest.raises(ValueError, match="knows no repetition penalty"):
        gpt.speculate(gpt, PROMPTS, sampling=Sampling(repetition_penalty=2.0))
    with pytest.raises(ValueError, match="61 tokens and its draft 11; they must share"):
        gpt.speculate(moved("gpt", vocabulary_size=11), PROMPTS)
    with pytest.raises(ValueError, match="not for encoder-decoders"):
        gpt.speculate(moved("bart"), PROMPTS)
    with pytest.raises(ValueError, match="but gpt sees 32"):
        gpt.speculate(gpt, [[1] * 20], new_tokens=10)  # the guesses need room too
