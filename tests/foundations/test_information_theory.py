"""Information theory: facts of Cover and Thomas, identities between the measures, scipy, and Huffman's bound."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from scipy.spatial.distance import jensenshannon

from tests.magnitudes import magnitudes, quick
from tfdl.foundations import information_theory as info
from tfdl.foundations.information_theory import BITS
from tfdl.foundations.probability import MultivariateNormal, Normal

P = np.array([[0.5, 0.25, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4]])
Q = np.array([[0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]])
JOINT = np.array([[4, 2, 1, 1], [2, 4, 1, 1], [2, 2, 2, 2], [8, 0, 0, 0]]) / 32  # Cover and Thomas, Example 2.2.1

# --- tables ----------------------------------------------------------------------------------------------------------


def test_entropy_of_the_textbook_horse_race_is_two_bits():
    odds = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 64, 1 / 64, 1 / 64, 1 / 64])  # Cover and Thomas, section 1.1
    assert info.entropy(odds, base=BITS) == 2
    np.testing.assert_allclose(info.entropy(odds), 2 * np.log(2))


def test_textbook_joint_table_has_its_mutual_information():
    x, y = JOINT.sum(0), JOINT.sum(1)
    assert info.entropy(x, base=BITS) == 7 / 4 and info.entropy(y, base=BITS) == 2
    np.testing.assert_allclose(info.entropy(JOINT.ravel(), base=BITS), 27 / 8)
    np.testing.assert_allclose(info.mutual_information(JOINT, base=BITS), 3 / 8)
    np.testing.assert_allclose(info.mutual_information(JOINT.T, base=BITS), 3 / 8)


def test_textbook_divergence_is_not_symmetric():
    fair, bent = np.array([0.5, 0.5]), np.array([0.75, 0.25])  # Cover and Thomas, Example 2.3.1
    np.testing.assert_allclose(info.kl_divergence(fair, bent, base=BITS), 1 - np.log2(3) / 2)
    np.testing.assert_allclose(info.kl_divergence(bent, fair, base=BITS), 3 / 4 * np.log2(3) - 1)


def test_measures_equal_scipy_in_batches():
    np.testing.assert_allclose(info.entropy(P), stats.entropy(P, axis=-1))
    np.testing.assert_allclose(info.kl_divergence(P, Q, base=BITS), stats.entropy(P, Q, base=2, axis=-1))
    np.testing.assert_allclose(info.js_divergence(P, Q, base=BITS), jensenshannon(P, Q, base=2, axis=-1) ** 2)


@pytest.mark.parametrize("measure", [info.cross_entropy, info.kl_divergence, info.js_divergence, info.perplexity])
def test_axis_chooses_where_the_probabilities_lie(measure):
    np.testing.assert_allclose(measure(P.T, Q.T, axis=0), measure(P, Q))
    np.testing.assert_allclose(measure(P[0], Q), [measure(P[0], Q[0]), measure(P[0], Q[1])])
    np.testing.assert_allclose(measure(P[0], Q.T, axis=0), measure(P[0], Q))


def test_cross_entropy_is_entropy_and_divergence():
    np.testing.assert_allclose(info.cross_entropy(P, Q), info.entropy(P) + info.kl_divergence(P, Q), rtol=1e-14)


def test_divergences_are_zero_only_from_itself_and_bounded():
    assert np.all(info.kl_divergence(P, P) == 0) and np.all(info.kl_divergence(P, Q) > 0.1)
    np.testing.assert_allclose(info.js_divergence(P, Q), info.js_divergence(Q, P), rtol=1e-14)
    assert info.js_divergence([1.0, 0.0], [0.0, 1.0], base=BITS) == 1


def test_impossible_events_cost_nothing_and_unexpected_ones_everything():
    assert info.entropy([0.0, 1.0]) == 0 and not np.signbit(info.entropy([0.0, 1.0]))
    np.testing.assert_array_equal(info.kl_divergence([[0.5, 0.5], [1, 0]], [1.0, 0.0]), [np.inf, 0])
    np.testing.assert_array_equal(info.cross_entropy([[0.5, 0.5], [1, 0]], [1.0, 0.0]), [np.inf, 0])
    assert np.isfinite(info.js_divergence([0.5, 0.5], [1.0, 0.0]))


def test_nothing_is_more_surprising_than_the_uniform():
    random = np.random.default_rng(0).dirichlet(np.ones(6), size=50)
    assert np.all(info.entropy(random) < np.log(6))
    np.testing.assert_allclose(info.entropy(np.full(6, 1 / 6)), np.log(6))
    np.testing.assert_allclose(info.perplexity(np.full(6, 1 / 6), np.full(6, 1 / 6)), 6)


def test_perplexity_grows_with_wrong_expectations():
    np.testing.assert_allclose(info.perplexity(P, Q), 2 ** info.cross_entropy(P, Q, base=BITS))
    assert np.all(info.perplexity(P, Q) > info.perplexity(P, P))


def test_mutual_information_is_entropy_saved_and_zero_if_independent():
    joint = np.random.default_rng(1).dirichlet(np.ones(15), size=(2, 3)).reshape(2, 3, 5, 3)
    saved = info.entropy(joint.sum(-1)) + info.entropy(joint.sum(-2)) - info.entropy(joint.reshape(2, 3, 15))
    np.testing.assert_allclose(info.mutual_information(joint), saved, rtol=1e-12)
    np.testing.assert_allclose(info.mutual_information(np.outer(P[0], Q[1])), 0, atol=1e-15)
    np.testing.assert_allclose(info.mutual_information(np.diag(P[1])), info.entropy(P[1]), rtol=1e-14)


def test_joint_table_counts_the_pairs():
    x, y = np.array([[0, 2], [1, 0], [0, 2], [0, 1]]), np.array([1, 0, 1, 1])
    table = info.joint_table(x, y)
    np.testing.assert_array_equal(table, [[[0, 0.75], [0.25, 0], [0, 0]], [[0.25, 0], [0, 0.25], [0, 0.5]]])
    np.testing.assert_allclose(info.mutual_information(table)[0], info.entropy([0.25, 0.75]))


def test_estimated_information_of_independent_draws_is_as_much_too_high_as_stated():
    rng = np.random.default_rng(7)
    found = info.mutual_information(info.joint_table(rng.integers(0, 5, (2000, 300)), rng.integers(0, 4, 2000)))
    np.testing.assert_allclose(found.mean(), 4 * 3 / (2 * 2000), rtol=0.1)


def test_float32_tables_are_welcome():
    logits = np.random.default_rng(2).normal(size=(3, 1000)).astype("float32")
    table = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert table.dtype == np.float32
    np.testing.assert_allclose(info.entropy(table), stats.entropy(table.astype("float64"), axis=-1), rtol=1e-6)


# --- Gaussians -------------------------------------------------------------------------------------------------------

ROOTS = np.random.default_rng(3).normal(size=(2, 3, 3))
MEANS = np.random.default_rng(4).normal(size=(2, 3))
ONE, OTHER = (MultivariateNormal(m, root @ root.T + 0.3 * np.eye(3)) for m, root in zip(MEANS, ROOTS))


def test_gaussian_entropy_equals_scipy():
    truth = stats.multivariate_normal(ONE.mean, ONE.covariance).entropy()
    np.testing.assert_allclose(info.gaussian_entropy(ONE), truth, rtol=1e-12)
    np.testing.assert_allclose(info.gaussian_entropy(ONE, base=BITS), truth / np.log(2), rtol=1e-12)


def test_gaussian_divergence_equals_the_integral():
    p, q = Normal(1.0, 0.5), Normal(-0.5, 2.0)
    x = np.linspace(-6, 8, 400_001)
    integral = (np.exp(p.log_density(x)) * (p.log_density(x) - q.log_density(x))).sum() * (x[1] - x[0])
    found = info.gaussian_kl(MultivariateNormal([1.0], [[0.25]]), MultivariateNormal([-0.5], [[4.0]]))
    np.testing.assert_allclose(found, integral, rtol=1e-9)


def test_gaussian_divergence_equals_its_formula_and_the_mean_of_its_draws():
    inverse, offset = np.linalg.inv(OTHER.covariance), OTHER.mean - ONE.mean
    formula = np.trace(inverse @ ONE.covariance) + offset @ inverse @ offset - 3
    formula = (formula + np.log(np.linalg.det(OTHER.covariance) / np.linalg.det(ONE.covariance))) / 2
    np.testing.assert_allclose(info.gaussian_kl(ONE, OTHER), formula, rtol=1e-10)
    draws = ONE.sample((50_000,), seed=5)
    ratios = ONE.log_density(draws) - OTHER.log_density(draws)
    assert abs(ratios.mean() - formula) < 4 * ratios.std() / np.sqrt(50_000)


def test_gaussian_divergence_is_zero_from_itself_and_works_in_batches():
    batch = MultivariateNormal(MEANS, np.stack([ONE.covariance, OTHER.covariance]))
    np.testing.assert_allclose(info.gaussian_kl(ONE, batch), [0, info.gaussian_kl(ONE, OTHER)], atol=1e-12)
    np.testing.assert_allclose(info.gaussian_entropy(batch)[1], info.gaussian_entropy(OTHER))


def test_gaussian_mutual_information_depends_on_correlation_alone():
    r, deviation = 0.6, np.diag([2.0, 30.0])
    pair = MultivariateNormal([5, 7], deviation @ [[1, r], [r, 1]] @ deviation)
    np.testing.assert_allclose(info.gaussian_mutual_information(pair, 1), -np.log(1 - r**2) / 2)
    alone = MultivariateNormal(np.zeros(3), np.diag([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(info.gaussian_mutual_information(alone, 2), 0, atol=1e-12)


def test_fine_table_of_a_gaussian_pair_has_its_mutual_information():
    pair = MultivariateNormal([0, 0], [[1, 0.6], [0.6, 1]])
    x = np.linspace(-6, 6, 241)
    table = np.exp(pair.log_density(np.stack(np.meshgrid(x, x), -1)))
    found = info.mutual_information(table / table.sum(), base=BITS)
    np.testing.assert_allclose(found, info.gaussian_mutual_information(pair, 1, base=BITS), rtol=1e-5)


# --- Huffman ---------------------------------------------------------------------------------------------------------

TEXT = "the theory of communication: how much is there to say, and how briefly can it be said?"


def test_textbook_code_has_the_textbook_length():
    counts = dict(zip("abcde", [0.25, 0.25, 0.2, 0.15, 0.15]))  # Cover and Thomas, Example 5.6.1
    code = info.huffman_code(counts)
    assert [len(code[letter]) for letter in "abcde"] == [2, 2, 2, 3, 3]
    np.testing.assert_allclose(info.expected_length(counts, code), 2.3)


def test_dyadic_code_meets_the_entropy_exactly():
    counts = {"a": 8, "b": 4, "c": 2, "d": 1, "e": 1}
    code = info.huffman_code(counts)
    assert {letter: len(word) for letter, word in code.items()} == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 4}
    assert info.expected_length(counts, code) == info.entropy(np.array([8, 4, 2, 1, 1]) / 16, base=BITS)


@pytest.mark.parametrize("seed", range(8))
def test_expected_length_is_less_than_a_bit_above_the_entropy(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(rng.integers(2, 60), rng.choice([0.05, 1.0]))) + 1e-9
    counts = dict(enumerate(p / p.sum()))
    length = info.expected_length(counts, info.huffman_code(counts))
    bound = info.entropy(p / p.sum(), base=BITS)
    assert bound <= length + 1e-12 and length < bound + 1


def test_no_code_of_four_symbols_is_shorter():
    lengths = [(1, 2, 3, 3), (2, 2, 2, 2)]  # all full trees with four leaves
    for p in np.sort(np.random.default_rng(6).dirichlet(np.ones(4), size=20))[:, ::-1]:
        counts = dict(enumerate(p))
        best = min(p @ shape for shape in lengths)
        np.testing.assert_allclose(info.expected_length(counts, info.huffman_code(counts)), best)


def test_no_word_begins_another_and_no_bit_is_wasted():
    code = info.huffman_code(Counter(TEXT))
    assert not any(a.startswith(b) or b.startswith(a) for a, b in combinations(code.values(), 2))
    assert info.kraft_sum(code) == 1


def test_decoding_undoes_encoding_bit_for_bit():
    code = info.huffman_code(Counter(TEXT))
    bits = info.encode(TEXT, code)
    assert set(bits) == {"0", "1"} and "".join(info.decode(bits, code)) == TEXT
    assert len(bits) == round(info.expected_length(Counter(TEXT), code) * len(TEXT))
    assert info.decode("", code) == []


def test_lone_symbol_still_takes_a_bit():
    code = info.huffman_code({7: 3})
    assert code == {7: "0"} and info.decode(info.encode([7, 7, 7], code), code) == [7, 7, 7]


def test_equal_counts_always_give_the_same_code():
    assert info.huffman_code(dict.fromkeys("abcdef", 2)) == info.huffman_code(dict.fromkeys("abcdef", 2))


# --- bad input -------------------------------------------------------------------------------------------------------

CODE = {"a": "0", "b": "10", "c": "11"}
# --- magnitudes ------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.tuples(st.one_of(st.just(0.0), magnitudes(-300, 0)), magnitudes(-300, 0)), min_size=2, max_size=5))
def test_measures_are_scipys_for_probabilities_of_every_magnitude(pairs):
    p, q = np.array(pairs).T
    p[0] += 1
    p, q = p / p.sum(), q / q.sum()
    np.testing.assert_allclose(info.entropy(p), stats.entropy(p), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(info.kl_divergence(p, q), special.kl_div(p, q).sum(), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(info.cross_entropy(p, q), -special.xlogy(p, q).sum(), rtol=1e-12)
    np.testing.assert_allclose(info.js_divergence(p, q), jensenshannon(p, q) ** 2, rtol=1e-6, atol=1e-15)
    for divergence in (info.kl_divergence, info.js_divergence):
        assert divergence(p, q) >= 0 and divergence(p, p) == 0
        assert divergence(p.astype("float32"), q.astype("float32")) >= 0


def test_divergence_of_nearly_equal_tables_is_half_the_chi_square_and_never_negative():
    p = np.array([0.1, 0.2, 0.3, 0.4])
    for step in (1e-3, 1e-6, 1e-9):
        q = p + step * np.array([1, -1, 1, -1])
        expected = ((q - p) ** 2 / p).sum() / 2
        np.testing.assert_allclose(info.kl_divergence(p, q), expected, rtol=10 * step + 1e-6)
    near, far = np.eye(2), np.array([[1, 1e-9], [1e-9, 1]])
    found = info.gaussian_kl(MultivariateNormal([0, 0], far), MultivariateNormal([0, 0], near))
    np.testing.assert_allclose(found, 0.5e-18, rtol=1e-6)
    independent = MultivariateNormal(np.zeros(3), np.eye(3) * [3, 0.1, 7])
    assert 0 <= info.gaussian_mutual_information(independent, 1) < 1e-15


BAD = {
    "negative": (lambda: info.entropy([1.5, -0.5]), "p must be 0 or more; got -0.5"),
    "sum": (lambda: info.entropy([0.5, 0.4]), "sum of p along axis -1 must be 1; got 0.9"),
    "nan": (lambda: info.entropy([0.5, np.nan]), "p must be 0 or more; got nan"),
    "q": (lambda: info.kl_divergence([0.5, 0.5], [2.0, 3.0]), "sum of q along axis -1 must be 1; got 5"),
    "lengths": (lambda: info.kl_divergence([0.5, 0.5], [0.2, 0.3, 0.5]), r"axis -1: shapes \(2,\) and \(3,\)"),
    "one": (lambda: info.kl_divergence([0.5, 0.5], [1.0]), "differ in length"),
    "number": (lambda: info.entropy(1.0), r"p of shape \(\) has no axis -1"),
    "axis": (lambda: info.entropy([1.0], axis=1), "no axis 1"),
    "batches": (
        lambda: info.kl_divergence(np.full((2, 2), 0.5), np.full((3, 2), 0.5)),
        r"p and q got shapes that don't broadcast: \(2, 2\), \(3, 2\)",
    ),
    "base": (lambda: info.entropy([0.5, 0.5], base=1), "base must be above 1: e for nats, 2 for bits; got 1"),
    "joint": (lambda: info.mutual_information([0.5, 0.5]), r"two axes or more; got shape \(2,\)"),
    "joint sum": (lambda: info.mutual_information(np.ones((2, 3))), "must be 1; got 6"),
    "pairs": (lambda: info.joint_table(np.zeros((3, 2)), np.zeros(2)), r"got \(3, 2\) and \(2,\)"),
    "halves": (lambda: info.joint_table([0.5, 1.0], [0, 1]), "x must be a whole number, 0 or more; got 0.5"),
    "widths": (lambda: info.gaussian_kl(ONE, MultivariateNormal([0.0], [[1.0]])), "got 3 and 1"),
    "first": (lambda: info.gaussian_mutual_information(ONE, 3), "first must be above 0 and below 3"),
    "none": (lambda: info.huffman_code({}), "got no symbols"),
    "never": (
        lambda: info.huffman_code({"a": 2, "b": 0}),
        "count must be above 0 and finite: leave out symbols that never occur; got 0",
    ),
    "unknown": (lambda: info.encode("abz", CODE), "no codeword for 'z'"),
    "cut": (lambda: info.decode("0101", CODE), "bits from 3 on, '1', are not a complete codeword"),
    "not bits": (lambda: info.decode("0x1", CODE), "bits from 1 on"),
}


@pytest.mark.parametrize("call, sentence", BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
