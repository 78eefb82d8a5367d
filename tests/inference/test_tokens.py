"""Words for masks and tags for words: those of the network by hand, whatever the batch; the commands."""

import json

import keras
import numpy as np
import pytest
from scipy.special import softmax

import tfdl
import tfdl.__main__ as command_line
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.core.token_rows import encode_words
from tfdl.data import corrupted_text, tagged_text
from tfdl.data.tokenizers import BART_TOKENS, Pieces
from tfdl.inference.inputs import Broken
from tfdl.inference.masked_words import encoded
from tfdl.metrics.tags import tag_scores
from tfdl.models.recurrent.rnn import RecurrentConfig, rnn
from tfdl.models.text.bert import VARIANTS, bert
from tfdl.models.text.roberta import VARIANTS as ROBERTA_VARIANTS
from tfdl.models.text.roberta import roberta

LENGTH = 20
TEXT = ["A good film of 1988.", "a bad film, in London"] * 3
TAGS = ("lower", "First", "UPPER", "mIxed")


def saved(folder, network, tokenizer, **task):
    """A run folder with a network of random weights, larger than at the start, so that answers differ."""
    (folder / "checkpoints" / "best").mkdir(parents=True)
    for weight in network.trainable_weights:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=int(np.prod(weight.shape))))
    network.save(folder / "checkpoints" / "best" / "model.keras")
    tokenizer.save(folder / "tokenizer.json")
    write_json(folder / "task.json", Task(tokenizer="tokenizer.json", length=LENGTH, **task).to_json())
    return folder, network, tokenizer


@pytest.fixture(scope="module", params=["bert", "roberta"])
def masked(request, tmp_path_factory):
    kind, variants, build = {
        "bert": ("word_pieces", VARIANTS, bert),
        "roberta": ("byte_pairs", ROBERTA_VARIANTS, roberta),
    }[request.param]
    tokenizer = Pieces.trained(TEXT, 280, kind, BART_TOKENS)
    network = build(variants["nano"], vocabulary_size=len(tokenizer), context=LENGTH, head="masked_lm")
    padding = tokenizer.special["padding"]
    return saved(tmp_path_factory.mktemp(request.param), network, tokenizer, kind="masked_words", padding=padding)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    tokenizer = Pieces.trained(TEXT, 60, "word_pieces")
    config = RecurrentConfig(
        vocabulary_size=len(tokenizer), embedding=5, units=7, cell="gru", head="tagger", bidirectional=True
    )
    return saved(tmp_path_factory.mktemp("tagger"), rnn(config, num_classes=4), tokenizer, kind="tagging", labels=TAGS)


def run(*words):
    return command_line.main(list(map(str, words)))


def test_words_for_masks_are_those_of_the_network(masked):
    folder, network, tokenizer = masked
    special = tokenizer.special
    texts = ["a [MASK] film", "[MASK] [SEP] <mask>.", "in <mask>", "film " * 30 + "[MASK]", "no mask"]
    answers = tfdl.load(folder).predict(texts)
    assert [answer.reason for answer in answers[3:]] == ["its mask is behind 20 tokens", "no [MASK] is in it"]
    assert all(isinstance(answer, Broken) for answer in answers[3:])
    before, after = tokenizer.encode("a"), tokenizer.encode(" film")
    tokens = [special["start"], *before, special["mask"], *after, special["end"]]
    logits = np.array(network(np.array([tokens], "int32"))[0, 1 + len(before)])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(answers[0].probabilities[0], expected, atol=1e-5)
    assert [len(answer.probabilities) for answer in answers[:3]] == [1, 2, 1]
    best = answers[0].top(3)[0]
    assert [share for _, share in best] == pytest.approx(np.sort(expected)[:-4:-1].tolist(), abs=1e-5)
    for answer, text in zip(answers[:3], texts):
        (alone,) = tfdl.load(folder).predict(text)
        for one, other in zip(answer.probabilities, alone.probabilities, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_tokens_of_a_masked_text_are_those_of_training(masked):
    """The mask in the place of a word, with the space before it."""
    _, _, tokenizer = masked
    mask = tokenizer.tokenizer.id_to_token(tokenizer.special["mask"])
    (found,) = encoded(tokenizer.tokenizer, ["a [MASK] film"], mask, LENGTH)
    (whole,) = encoded(tokenizer.tokenizer, ["a good film"], mask, LENGTH)
    good = tokenizer.encode(" good")
    place = found.tolist().index(tokenizer.special["mask"])
    assert whole.tolist() == [*found[:place], *good, *found[place + 1 :]]


def test_masked_words_on_the_command_line(masked, tmp_path, capsys):
    folder, _, _ = masked
    assert run("predict", folder, "a <mask> and [MASK]", "--json", "--top", 2) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert [len(words) for words in row["masks"]] == [2, 2] and row["text"] == "a <mask> and [MASK]"
    assert run("predict", folder, "a <mask> and [MASK]", "none", "--csv", "--top", 1) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "text,word_1,probability_1" and out.splitlines()[1].count("|") >= 2
    assert "none: no [MASK] is in it" in err


def test_masked_words_are_evaluated_at_the_masks_of_training(masked, tmp_path, capsys):
    folder, network, tokenizer = masked
    (tmp_path / "t.txt").write_text("\n".join(TEXT * 30))
    assert run("evaluate", folder, "--data", tmp_path / "t.txt", "--out", tmp_path / "out") == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    data = corrupted_text.load(tmp_path / "t.txt", network.name, length=LENGTH, tokenizer=folder)
    network.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1))
    assert data.task == tfdl.load(folder).task
    (x, y), *_ = list(data.test.unbatch().batch(1000))
    assert metrics["loss"] == pytest.approx(float(network.evaluate(x, y, verbose=0, batch_size=1000)), rel=1e-4)
    assert "accuracy" in capsys.readouterr().out


def test_tags_are_those_of_each_text_alone(tagger):
    folder, network, tokenizer = tagger
    model = tfdl.load(folder)
    texts = ["a good film, 1988!", "", "film " * 30, "\u0000 film"]
    together, alone = model.predict(texts), [model.predict(text)[0] for text in texts]
    assert together[0].words == ("a", "good", "film", ",", "1988", "!") and together[1].words == ()
    assert len(together[2].words) == 18 and together[3].words == ("\u0000", "film")
    for one, other in zip(together, alone):
        assert one.tags == other.tags and one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    tokens, places = encode_words(tokenizer.tokenizer, [together[0].words], LENGTH)[0]
    scores = np.array(network(tokens[None]))[0, places]
    assert together[0].tags == tuple(TAGS[number] for number in scores.argmax(-1))
    np.testing.assert_allclose(together[0].probabilities, softmax(scores, axis=-1).max(-1), atol=1e-5)


def test_tags_on_the_command_line(tagger, tmp_path, capsys):
    folder, _, _ = tagger
    assert run("predict", folder, "a film", "--json") == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert [word["word"] for word in row["words"]] == ["a", "film"]
    assert run("predict", folder, "a film") == 0
    assert capsys.readouterr().out.split("a film")[1].split()[0].startswith("a/")
    rows = [{"text": f"A film of {i} in the USA."} for i in range(40)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["--data", tmp_path / "t.jsonl", "--column", "text", "--split", "train", "--out", tmp_path / "out"]
    assert run("evaluate", folder, *words) == 0
    saved = json.loads((tmp_path / "out" / "metrics.json").read_text())
    data = tagged_text.load(tmp_path / "t.jsonl", casing="text", length=LENGTH, tokenizer=folder)
    found = tfdl.load(folder).predict([sentence.words for sentence in data.sentences["train"]])
    truth = [sentence.tags for sentence in data.sentences["train"]]
    assert saved["metrics"] == pytest.approx(tag_scores([answer.tags for answer in found], truth))
    assert saved["words"] == sum(map(len, truth))
