"""PPO and GRPO: losses as the papers have them, answers as they were drawn, and rewards that rise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.saved import load_model
from tfdl.data import experience, instructions
from tfdl.inference.sampling import Sampling
from tfdl.learners.learner import frozen_copy
from tfdl.learners.preference.grpo import GRPO, log_probabilities
from tfdl.learners.preference.ppo import PPO
from tfdl.learners.preference.reward import RewardModel
from tfdl.learners.preference.rollouts import Rollouts
from tfdl.models.text.gpt import GPTConfig, gpt
from tfdl.train.step import exact

TOKENS = np.random.default_rng(0).integers(1, 20, (8, 7)).astype("int32")
ANSWERED = (np.arange(7) >= 4 - np.arange(8)[:, None] % 3).astype("int32")
ANSWERED[:, -1] = np.arange(8) % 2
REWARDS = np.array([1, 0, 0, 1, 0.5, 0, 2, 0], "float32")


@pytest.fixture(scope="module")
def data():
    return instructions.load("add", template="tags", length=32, batch_size=8, limit=40)


def network_for(data):
    keras.utils.set_random_seed(0)
    size = len(data.tokenizer)
    return gpt(GPTConfig(vocabulary_size=size, context=32, width=24, depth=1, heads=2, dropout=0.0))


def learner_for(kind, data, **options):
    network = network_for(data)
    if kind is PPO:
        critic = RewardModel(frozen_copy(network))
        critic.network.trainable = True
        options["critic"] = critic
    return kind(network, frozen_copy(network), **options)


def batch(learner, rewards=REWARDS):
    fields, _ = learner.experience(TOKENS, ANSWERED, rewards)
    return {"tokens": TOKENS, "answered": ANSWERED, **fields}


@pytest.mark.parametrize("mean", ["tokens", "answers"])
def test_grpo_is_its_equation_3(data, mean):
    learner = learner_for(GRPO, data, answers=4, beta=0.1, mean=mean)
    rows = batch(learner)
    for weight in learner.network.trainable_variables:  # now policy, old policy and reference all differ
        weight.assign(weight * 1.3)
    rows["reference"] = (rows["reference"] - 0.1 * ANSWERED).astype("float32")
    p = np.array(log_probabilities(learner.network, TOKENS, ANSWERED))
    r, a = np.exp(p - rows["old"]), rows["advantages"]
    grouped = REWARDS.reshape(2, 4)
    whole = (grouped - grouped.mean(1, keepdims=True)) / (grouped.std(1, ddof=1, keepdims=True) + 1e-4)
    np.testing.assert_allclose(a, whole.reshape(8, 1) * ANSWERED, rtol=1e-5)
    k3 = np.exp(rows["reference"] - p) - (rows["reference"] - p) - 1
    losses = (-np.minimum(r * a, np.clip(r, 0.8, 1.2) * a) + 0.1 * k3) * ANSWERED
    expected = losses.sum() / ANSWERED.sum() if mean == "tokens" else (losses.sum(1) / ANSWERED.sum(1)).mean()
    learner.compile("sgd")
    logs = learner.test_on_batch(rows, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    assert logs["divergence"] == pytest.approx((k3 * ANSWERED).sum() / ANSWERED.sum(), rel=1e-4)
    assert logs["clipped"] == pytest.approx(((np.abs(r - 1) > 0.2) * ANSWERED).sum() / ANSWERED.sum())


def test_ppo_is_its_equation_with_a_clipped_value_loss(data):
    learner = learner_for(PPO, data, beta=0.1, value_weight=0.7, target=1.0)
    rows = batch(learner)
    for weight in learner.trainable_variables:
        weight.assign(weight * 1.3)
    learner.compile("sgd")
    logs = learner.test_on_batch(rows, return_dict=True)
    p = np.array(log_probabilities(learner.network, TOKENS, ANSWERED))
    v = np.array(learner.values(TOKENS, ANSWERED))
    r, a = np.exp(p - rows["old"]), rows["advantages"]
    policy = -np.minimum(r * a, np.clip(r, 0.8, 1.2) * a)
    near = rows["values"] + np.clip(v - rows["values"], -0.2, 0.2)
    value = 0.5 * np.maximum((v - rows["returns"]) ** 2, (near - rows["returns"]) ** 2)
    expected = ((policy + 0.7 * value) * ANSWERED).sum() / ANSWERED.sum()
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    assert float(learner.coefficient) < 0.1, "the policy was its reference, so that the penalty may fall"


def test_critic_values_what_stands_before_a_token(data):
    learner = learner_for(PPO, data)
    scores = np.array(learner.critic.scores(TOKENS))
    values = np.array(learner.values(TOKENS, ANSWERED))
    np.testing.assert_allclose(values[:, 1:], scores[:, :-1] * ANSWERED[:, 1:], rtol=1e-6)


@pytest.mark.parametrize("kind", [GRPO, PPO])
def test_rewards_rise_and_the_learner_comes_back_from_a_file(data, kind, tmp_path):
    """An answer is the better the fewer digits it has: quickly learned."""
    learner = learner_for(kind, data, **({"answers": 4} if kind is GRPO else {"target": 5.0}))
    rows = experience.of_prompts(
        data, prompts=8, answers=learner.answers, batch_size=16, fields=kind.fields, new_tokens=4, passes=2, held_out=8
    )
    learner.compile(keras.optimizers.Adam(0.01))
    exact(learner)
    rollouts = Rollouts(
        learner,
        rows,
        rewards=lambda _, answers: [-len(answer) for answer in answers],
        sampling=Sampling(temperature=1.0),
        compiled=False,
    )
    history = learner.fit(rows.train, epochs=8, verbose=0, callbacks=[rollouts]).history
    assert np.mean(history["reward"][-2:]) > np.mean(history["reward"][:2]) + 0.5
    assert len(history["val_reward"]) == 8
    learner.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.network(TOKENS), learner.network(TOKENS))
    if kind is PPO:
        assert float(again.coefficient) == float(learner.coefficient) != learner.beta


def test_rows_hold_prompts_answers_and_ends(data):
    rows = experience.of_prompts(data, prompts=4, answers=2, batch_size=3, fields=("old",), new_tokens=3)
    asked = rows.prompts(0)
    assert len(asked) == 4 and {row.prompt for row in rows.prompts(0)}.isdisjoint(row.prompt for row in rows.prompts(1))
    written = [np.array(part, "int32") for part in ([5, 6], [], [7, 8, 9], [4])]
    tokens, answered = rows.rows(asked, written)
    for row, answer, conversation in zip(range(4), written, asked):
        ended = [] if len(answer) == 3 else [data.stop_token]
        assert tokens[row][answered[row] > 0].tolist() == [*answer, *ended]
        prompt = rows.prompt(conversation)
        np.testing.assert_array_equal(tokens[row, : len(prompt)], prompt)
    numbered = np.arange(8 * rows.length).reshape(8, rows.length)
    rows.fill(tokens=np.tile(tokens, (2, 1)), answered=np.tile(answered, (2, 1)), old=numbered)
    found = [batch["old"][:, 0].tolist() for batch in rows.train.as_numpy_iterator()]
    assert sorted(sum(found, [])) == [rows.length * i for i in range(8)]
    position = tf.Variable((0, 1), dtype=tf.int64)
    again = experience.of_prompts(
        data, prompts=4, answers=2, batch_size=3, fields=("old",), new_tokens=3, position=position
    )
    again.fill(old=numbered)
    assert [batch["old"][:, 0].tolist() for batch in again.train.as_numpy_iterator()] == found[1:]


def test_every_pass_sees_every_answer_once(data):
    rows = experience.of_prompts(data, prompts=3, answers=2, batch_size=6, fields=("old",), new_tokens=3, passes=3)
    rows.fill(old=np.repeat(np.arange(6), rows.length).reshape(6, -1))
    for batch_ in rows.train.as_numpy_iterator():
        assert sorted(batch_["old"][:, 0].tolist()) == list(range(6))


def test_errors_name_the_value_and_the_remedy(data):
    network = network_for(data)
    with pytest.raises(ValueError, match="answers is 1; give 2 or more"):
        GRPO(network, network, answers=1)
    with pytest.raises(ValueError, match="mean is 'rows'; choose tokens or answers"):
        GRPO(network, network, mean="rows")
    with pytest.raises(ValueError, match="trace is 2; give 0 to 1"):
        PPO(network, network, None, trace=2)
    with pytest.raises(ValueError, match="prompts is 41, but 'add' has 40; give fewer"):
        experience.of_prompts(data, prompts=41, answers=1, batch_size=1, fields=(), new_tokens=1)
