"""Generated texts: against the whole model token by token, against numpy's distributions, and against all texts."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import tfdl
from tests.models.language_models import moved
from tfdl.inference import sampling as sampling_file
from tfdl.inference.sampling import Sampling

PROMPTS = [[5, 9, 2], [7], [3, 3, 8, 1, 4]]


@pytest.fixture(scope="module")
def gpt():
    return moved("gpt")


@pytest.fixture(scope="module")
def bart():
    return moved("bart")


def check_greedy(tokens, values, logits):
    """Whether each of the new tokens is the likeliest by the logits (N, V) of the whole model, without a cache."""
    logits = tf.nn.log_softmax(logits).numpy()
    assert tokens.tolist() == logits.argmax(-1).tolist()
    np.testing.assert_allclose(values, logits.max(-1), atol=1e-5)


def write(model, prompts, **options):
    return model.generate(prompts, **{"new_tokens": 6, "compiled": False} | options)


@pytest.mark.parametrize("key", ["gpt", "llama"])
def test_greedy_tokens_are_those_of_the_whole_model_whatever_stands_beside(key, request):
    model = request.getfixturevalue(key) if key == "gpt" else moved(key)
    answer = write(model, PROMPTS)
    for prompt, tokens, values in zip(PROMPTS, answer.tokens, answer.log_probabilities):
        whole = np.array([[*prompt, *tokens[:-1]]])
        check_greedy(tokens, values, model(whole)[0, len(prompt) - 1 :])


def test_encoder_decoder_writes_what_its_whole_model_finds_likeliest(bart):
    answer = write(bart, PROMPTS, start=2)
    for prompt, tokens, values in zip(PROMPTS, answer.tokens, answer.log_probabilities):
        target = np.array([[2, *tokens[:-1]]])
        check_greedy(tokens, values, bart({"source": np.array([prompt]), "target_in": target})[0])


def test_xla_gives_the_same_tokens(gpt):
    options = dict(sampling=Sampling(temperature=1.5, top_k=20), seed=3)
    for one, other in zip(write(gpt, PROMPTS, **options).tokens, write(gpt, PROMPTS, compiled=True, **options).tokens):
        assert one.tolist() == other.tolist()


def test_lengths_share_one_trace():
    model, traces = moved("gpt"), []
    extend = model.extend
    model.extend = lambda *arguments: traces.append(1) or extend(*arguments)
    write(model, [[1, 2]], new_tokens=3)
    write(model, [[1, 2, 3]], new_tokens=3)  # the second length makes the prompt's trace a free one
    before = len(traces)
    for length, new_tokens in itertools.product((1, 4, 7, 12), (1, 5, 11)):
        write(model, [[4] * length], new_tokens=new_tokens)
    assert len(traces) == before


def test_a_longer_text_follows_a_shorter_one():
    """Their caches differ in length, and a prompt of the same length is read into both."""
    short, long = (write(moved("gpt", context=100), [[1, 2]], new_tokens=n).tokens[0] for n in (3, 70))
    model = moved("gpt", context=100)
    for new_tokens, expected in ((3, short), (70, long), (3, short)):
        assert write(model, [[1, 2]], new_tokens=new_tokens).tokens[0].tolist() == expected.tolist()


def test_a_drawn_text_depends_on_its_own_seed_alone(gpt):
    hot = Sampling(temperature=2.0)
    together = write(gpt, PROMPTS, sampling=hot, seed=10).tokens
    for i, prompt in enumerate(PROMPTS):
        assert write(gpt, [prompt], sampling=hot, seed=10 + i).tokens[0].tolist() == together[i].tolist()
    assert write(gpt, PROMPTS, sampling=hot, seed=11).tokens[0].tolist() != together[0].tolist()


def probabilities(logits, sampling):
    """What numpy makes of the definitions."""
    logits = logits / sampling.temperature
    p = np.exp(logits - logits.max())
    p /= p.sum()
    order = np.argsort(-p)
    keep = np.ones(len(p), bool)
    if sampling.top_k:
        keep[order[sampling.top_k :]] = False
    if sampling.top_p:
        q = np.where(keep, p, 0) / p[keep].sum()
        keep[order[np.searchsorted(np.cumsum(q[order]), sampling.top_p) + 1 :]] = False
    if sampling.min_p:
        keep &= p >= sampling.min_p * p.max()
    return np.where(keep, p, 0) / p[keep].sum()


@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.3}, {"top_k": 5, "top_p": 0.7, "temperature": 2.0}],
    ids=str,
)
def test_draws_follow_the_distribution(options):
    sampling = Sampling(**{"temperature": 0.7} | options)
    logits = np.array([0.3, 2.0, -1.0, 1.2, 0.9, -3.0, 1.5], "float32")
    rows = 8000
    draws = sampling_file.chosen(
        tf.constant(np.tile(logits, (rows, 1))), None, tf.range(rows, dtype=tf.int64), tf.constant(4), sampling
    )
    expected = probabilities(logits, sampling)
    found = np.bincount(draws, minlength=7) / rows
    assert np.all(found[expected == 0] == 0)
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / rows))


def test_top_p_keeps_the_fewest_tokens_that_reach_it():
    """Two tokens of 3/8 and one of 1/4: three quarters are reached by the two."""
    logits = tf.math.log([[3.0, 3.0, 2.0]])
    for top_p, cut in ((0.375, [False, False, True]), (0.75, [False, False, True]), (0.76, [False, False, False])):
        found = sampling_file.kept(logits, None, Sampling(temperature=1.0, top_p=top_p))
        assert np.isinf(found)[0].tolist() == cut, top_p


def test_penalty_divides_or_multiplies_by_the_sign():
    logits, seen = tf.constant([[2.0, -2.0, 1.0]]), tf.constant([[True, True, False]])
    np.testing.assert_allclose(sampling_file.kept(logits, seen, Sampling(repetition_penalty=2.0)), [[1.0, -4.0, 1.0]])


def test_a_penalized_text_does_not_repeat(gpt):
    repeated, not_repeated = (
        write(gpt, [[5]], new_tokens=12, sampling=Sampling(repetition_penalty=p)).tokens[0] for p in (1.0, 1e6)
    )
    assert len({5, *not_repeated.tolist()}) == 13
    assert len({5, *repeated.tolist()}) < 13


def test_a_stop_token_ends_its_own_text_only(gpt):
    free = write(gpt, PROMPTS).tokens
    stop = int(free[0][2])
    answer = write(gpt, PROMPTS, stop_tokens=[stop, 60])
    for tokens, values, whole in zip(answer.tokens, answer.log_probabilities, free):
        ends = [i for i, token in enumerate(whole) if token in (stop, 60)]
        assert tokens.tolist() == whole[: ends[0] if ends else None].tolist() and len(values) == len(tokens)
    assert write(gpt, [PROMPTS[0]], stop_tokens=[int(free[0][0])]).tokens[0].size == 0


def test_stream_shows_the_tokens_in_pieces(gpt):
    pieces = []
    answer = write(gpt, PROMPTS, new_tokens=19, stream=lambda rows: pieces.append([row.tolist() for row in rows]))
    assert len(pieces) == 3
    for i, tokens in enumerate(answer.tokens):
        assert sum((piece[i] for piece in pieces), []) == tokens.tolist()


def all_texts(model, prompt, count, stop):
    """Every text of at most `count` tokens with its log-probability and length, its stop token counted."""
    texts = {}
    for tokens in itertools.product(range(model.config.vocabulary_size), repeat=count):
        end = tokens.index(stop) + 1 if stop in tokens else count
        texts[tokens[:end]] = None
    rows = list(texts)
    padded = np.array([[*prompt, *text, *[0] * (count - len(text))] for text in rows])
    values = tf.nn.log_softmax(model(padded)).numpy()
    first = len(prompt) - 1
    return {text: sum(values[i, first + j, t] for j, t in enumerate(text)) for i, text in enumerate(rows)}


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_enough_beams_find_the_best_of_all_texts(penalty):
    model = tfdl.build("gpt", "nano", vocabulary_size=5)
    for weight in model.trainable_variables:
        weight.assign(weight + np.random.default_rng(2).normal(0, 0.1, weight.shape))
    texts = all_texts(model, [1, 3], 3, stop=4)
    best = max(texts, key=lambda text: texts[text] / len(text) ** penalty)
    assert len(best) == (3 if penalty else 1), "a penalty makes the longer text the better one"
    answer = model.beam_search([[1, 3]], beams=25, new_tokens=3, stop_tokens=[4], length_penalty=penalty)
    assert answer.tokens[0].tolist() == [token for token in best if token != 4]
    expected = texts[best] if best[-1] != 4 else sum(answer.log_probabilities[0])
    np.testing.assert_allclose(sum(answer.log_probabilities[0]), expected, atol=1e-5)


def test_one_beam_is_greedy_and_prompts_do_not_mix(gpt, bart):
    for model, options in ((gpt, {}), (bart, {"start": 2})):
        greedy = write(model, PROMPTS, **options).tokens
        for one, other in zip(model.beam_search(PROMPTS, beams=1, new_tokens=6, **options).tokens, greedy):
            assert one.tolist() == other.tolist()
        answer = model.beam_search(PROMPTS, beams=3, new_tokens=6, **options)
        for prompt, tokens, values in zip(PROMPTS, answer.tokens, answer.log_probabilities):
            written = np.array([[*([2] if options else prompt), *tokens[:-1]]])
            whole = model({"source": np.array([prompt]), "target_in": written} if options else written)[0]
            logits = tf.nn.log_softmax(whole[-len(tokens) :]).numpy()  # of the whole model, without a cache
            np.testing.assert_allclose(values, logits[np.arange(len(tokens)), tokens], atol=1e-5)
            alone = model.beam_search([prompt], beams=3, new_tokens=6, **options).tokens[0]
            assert alone.tolist() == tokens.tolist()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"prompts": []}, "There are no prompts"),
        ({"prompts": [[1], []]}, "Prompt 1 is empty; begin it with"),
        ({"prompts": [[1, 70]]}, "has the token 70, but gpt has 61: is the tokenizer another model's"),
        (
            {"prompts": [[1] * 30]},
            r"30 tokens and 6 more are wanted, but gpt sees 32: shorten it, or give new_tokens=2\.",
        ),
        ({"prompts": [[1] * 40]}, r"but gpt sees 32: shorten it\."),
        ({"new_tokens": 0}, "new_tokens is 0; give 1 or more"),
    ],
)
def test_bad_input_is_one_sentence(gpt, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        write(gpt, **{"prompts": PROMPTS} | options)
    with pytest.raises(ValueError, match=sentence):
        gpt.beam_search(**{"prompts": PROMPTS, "new_tokens": 6} | options)


def test_other_bad_input(gpt, bart):
    with pytest.raises(ValueError, match="bart writes from a start token: give start="):
        write(bart, PROMPTS)
    with pytest.raises(ValueError, match="beams is 0; give 1 or more"):
        gpt.beam_search(PROMPTS, beams=0)
    for option, value in {"temperature": -1.0, "top_k": 0, "top_p": 1.5, "min_p": 2.0, "repetition_penalty": 0}.items():
        with pytest.raises(ValueError, match=f"{option} is {value}; give"):
            Sampling(**{option: value})
    broken = moved("gpt")
    broken.norm.gamma.assign(broken.norm.gamma * np.nan)
    for way in (write, lambda model, prompts: model.beam_search(prompts, new_tokens=6)):
        with pytest.raises(FloatingPointError, match="The logits of gpt are NaN"):
            way(broken, PROMPTS)


def test_golden_text():
    """Drawn tokens of fixed weights, as they were on the day of writing: seeds mean the same texts for good."""
    model = moved("gpt")
    for i, variable in enumerate(model.trainable_variables):  # independent of any library's random numbers
        values = np.sin(np.arange(int(np.prod(variable.shape))) * (0.37 + 0.011 * i)) * 0.3
        variable.assign(values.reshape(variable.shape).astype("float32"))
    sampling = Sampling(temperature=0.9, top_k=30, top_p=0.95)
    tokens = write(model, [[5, 9, 2], [7]], new_tokens=16, sampling=sampling, seed=7).tokens
    assert bytes(np.concatenate(tokens).tolist()).hex() == (
        "280b14271217191e1214382f2d011e392f191e34230b23233b27360331360114"
    )
