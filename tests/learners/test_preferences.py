"""DPO and reward models: log 2 at the beginning, the papers' losses, and pairs that come to be ranked as judged."""

import keras
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from tfdl.core.saved import load_model
from tfdl.learners.learner import frozen_copy
from tfdl.learners.preference.dpo import DPO
from tfdl.learners.preference.reward import RewardModel
from tfdl.models.text.gpt import gpt
from tfdl.models.text.llama import llama
from tfdl.train.step import exact

RNG = np.random.default_rng(0)


def pairs(count=12):
    """Chosen answers are of small numbers, rejected ones of large."""
    answered = (np.arange(9) >= RNG.integers(3, 7, (count, 1))).astype("int32")
    prompts = RNG.integers(1, 60, (count, 9))
    found = {}
    for side, (low, high) in {"chosen": (1, 20), "rejected": (40, 60)}.items():
        found[side] = np.where(answered, RNG.integers(low, high, (count, 9)), prompts).astype("int32")
        found[f"{side}_answered"] = answered
    return found


PAIRS = pairs()


def trained(learner, epochs=6):
    learner.compile(keras.optimizers.Adam(3e-3))
    exact(learner)
    return learner.fit(PAIRS, batch_size=12, epochs=epochs, verbose=0).history


@pytest.fixture(scope="module", params=[gpt, llama])
def network(request):
    keras.utils.set_random_seed(0)
    return request.param("nano")


def test_dpo_starts_at_log_2_exactly(network):
    learner = DPO(network, frozen_copy(network))
    learner.compile("sgd")
    logs = learner.test_on_batch(PAIRS, return_dict=True)
    assert np.float32(logs["loss"]) == np.float32(np.log(2)) and logs["reward_margin"] == 0


def test_dpo_is_its_equation_7():
    keras.utils.set_random_seed(1)
    network, reference = gpt("nano"), gpt("nano")
    learner = DPO(network, reference, beta=0.3, label_smoothing=0.1)
    learner.compile("sgd")

    def log_probability(model, side):
        logs = log_softmax(np.array(model(PAIRS[side])), -1)[:, :-1]
        chosen = np.take_along_axis(logs, PAIRS[side][:, 1:, None], -1)[..., 0]
        return (chosen * PAIRS[f"{side}_answered"][:, 1:]).sum(-1)

    ratios = [log_probability(network, side) - log_probability(reference, side) for side in ("chosen", "rejected")]
    difference = 0.3 * (ratios[0] - ratios[1])
    expected = -(0.9 * np.log(expit(difference)) + 0.1 * np.log(expit(-difference))).mean()
    logs = learner.test_on_batch(PAIRS, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    assert logs["reward_accuracy"] == pytest.approx((difference > 0).mean())
    assert logs["reward_margin"] == pytest.approx(difference.mean(), rel=1e-3)


def test_dpo_ranks_pairs_and_leaves_the_reference_alone(tmp_path):
    keras.utils.set_random_seed(0)
    network = gpt("nano")
    reference = frozen_copy(network)
    before = [w.copy() for w in reference.get_weights()]
    learner = DPO(network, reference)
    history = trained(learner)
    assert history["reward_accuracy"][-1] == 1.0 and history["loss"][-1] < 0.6
    for weight, old in zip(reference.get_weights(), before):
        np.testing.assert_array_equal(weight, old)
    assert {id(v) for v in learner.trainable_variables} == {id(v) for v in network.trainable_variables}
    learner.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.network(PAIRS["chosen"]), network(PAIRS["chosen"]))
    np.testing.assert_array_equal(again.reference(PAIRS["chosen"]), reference(PAIRS["chosen"]))
    assert again.beta == 0.1 and again.generate([[3]], new_tokens=2, compiled=False).tokens[0].shape == (2,)


def test_reward_model_ranks_pairs_by_the_number_behind_each_answer(network, tmp_path):
    model = RewardModel(frozen_copy(network))
    model.network.trainable = True
    history = trained(model)
    assert history["reward_accuracy"][-1] == 1.0 and history["loss"][-1] < history["loss"][0]
    scores = np.array(model.scores(PAIRS["chosen"]))
    assert scores.shape == PAIRS["chosen"].shape
    np.testing.assert_allclose(model(PAIRS)["chosen"], scores[:, -1], rtol=1e-5)
    shorter = PAIRS["chosen_answered"] * (np.arange(9) < 8)
    np.testing.assert_allclose(model.rewards(PAIRS["chosen"], shorter), scores[:, 7], rtol=1e-5)
    rows = list(zip(PAIRS["chosen"], PAIRS["chosen_answered"]))
    texts = model.score_texts(lambda prompt, text: (rows[text][0][:prompt], rows[text][1][:prompt]), [9, 8], [0, 3])
    np.testing.assert_allclose(texts, [scores[0, 8], scores[3, 7]], rtol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras")(PAIRS)["chosen"], model(PAIRS)["chosen"])


def test_errors_name_the_value_and_the_remedy(network):
    with pytest.raises(ValueError, match="beta is 0; give more than 0"):
        DPO(network, network, beta=0)
    with pytest.raises(ValueError, match="label_smoothing is 0.5; give 0 to below 0.5"):
        DPO(network, network, label_smoothing=0.5)
