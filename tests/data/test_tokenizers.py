"""Tokens turn back into the text that they came from."""

import io

import numpy as np
import pytest
import sentencepiece
import tokenizers

from tfdl.data.tokenizers import Bytes, Characters, Pieces, load

TEXTS = ["To be, or not to be", "naïve café", "日本語 🙂 \u0000\t\n", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back(text):
    for tokenizer in (Characters.of("".join(TEXTS)), Bytes()):
        tokens = tokenizer.encode(text)
        assert tokens.dtype == np.int32 and tokenizer.decode(tokens) == text
        assert tokens.size == 0 or 0 <= tokens.min() <= tokens.max() < len(tokenizer)


def test_characters_are_numbered_in_the_order_of_their_code_points():
    tokenizer = Characters.of("cab🙂a")
    assert tokenizer.characters == "abc🙂" and len(tokenizer) == 6
    np.testing.assert_array_equal(tokenizer.encode("ba🙂"), [3, 2, 5])


def test_unknown_characters_are_shown_and_padding_is_left_out():
    tokenizer = Characters.of("bc")
    np.testing.assert_array_equal(tokenizer.encode("zb🙂"), [1, 2, 1])
    assert tokenizer.decode([0, 1, 2, 0]) == "\ufffdb"


def test_bytes_that_are_no_text_are_shown_as_such():
    assert Bytes().decode([72, 105, 255]) == "Hi\ufffd"


# Pieces of words

WORDS = ["the quick brown fox jumps over the lazy dog", "The end. The beginning?", "lower lowest newer newest", *TEXTS]
VARIED = [*WORDS, "don't  stop", "a\u0301 é ﬁ ①", "x" * 3000, "\u202eabc\u0007", "1234567 3.14", "مرحبا שלום", " lead"]


@pytest.fixture(scope="module")
def byte_pairs():
    return Pieces.trained(WORDS, 320)


@pytest.fixture(scope="module")
def word_pieces():
    return Pieces.trained(WORDS, 90, kind="word_pieces")


@pytest.mark.parametrize("text", VARIED)
def test_every_text_comes_back_from_byte_pairs(byte_pairs, text):
    tokens = byte_pairs.encode(text)
    assert tokens.dtype == np.int32 and byte_pairs.decode(tokens) == text


def test_frequent_words_are_one_piece(byte_pairs):
    assert len(byte_pairs.encode(" the")) == 1 < len(byte_pairs.encode("zqxj"))
    assert 257 < len(byte_pairs) <= 320


def test_words_come_back_from_word_pieces_in_lower_case(word_pieces):
    assert word_pieces.decode(word_pieces.encode("The quick dog")) == "the quick dog"
    assert word_pieces.special == {"padding": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}


def test_batch_has_special_tokens_segments_and_padding(word_pieces):
    batch = word_pieces.encode_batch(["the dog", "fox"], pairs=["lazy", "quick brown fox"], length=12)
    tokens, segments = batch["tokens"], batch["segments"]
    assert tokens.shape == segments.shape == (2, 12) and tokens.dtype == segments.dtype == np.int32
    start, end = word_pieces.special["start"], word_pieces.special["end"]
    first = [start, *word_pieces.encode("the dog"), end, *word_pieces.encode("lazy"), end]
    np.testing.assert_array_equal(tokens[0], [*first, *[0] * (12 - len(first))])
    assert segments[0].tolist() == [0] * first.index(end) + [0] + [1] * (len(first) - first.index(end) - 1) + [0] * (
        12 - len(first)
    )


def test_long_texts_are_cut_and_keep_their_end(word_pieces):
    tokens = word_pieces.encode_batch(["the quick brown fox jumps over the lazy dog"], length=5)["tokens"][0]
    assert tokens[0] == word_pieces.special["start"] and tokens[-1] == word_pieces.special["end"]
    assert len(word_pieces.encode("the quick brown fox jumps over the lazy dog")) > 5  # the next call is not cut


def test_saved_tokenizer_is_the_same(byte_pairs, word_pieces, tmp_path):
    for tokenizer in (byte_pairs, word_pieces):
        tokenizer.save(tmp_path / "tokenizer.json")
        again = load(tmp_path)
        assert len(again) == len(tokenizer) and again.special == tokenizer.special
        for text in VARIED:
            np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))


def test_files_of_gpt_2_and_of_bert_are_read(byte_pairs, word_pieces, tmp_path):
    for tokenizer, folder in ((byte_pairs, tmp_path / "gpt"), (word_pieces, tmp_path / "bert")):
        folder.mkdir()
        tokenizer.tokenizer.model.save(str(folder))  # vocab.json and merges.txt, or vocab.txt
        again = load(folder)
        for text in VARIED:
            np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))
    batch = load(tmp_path / "bert").encode_batch(["the dog"], length=6)
    np.testing.assert_array_equal(batch["tokens"], word_pieces.encode_batch(["the dog"], length=6)["tokens"])


def test_padding_and_cutting_that_a_file_asks_for_are_left_out(byte_pairs, tmp_path):
    byte_pairs.save(tmp_path / "plain.json")
    asking = tokenizers.Tokenizer.from_file(str(tmp_path / "plain.json"))
    asking.enable_padding(length=100)
    asking.enable_truncation(3)
    asking.save(str(tmp_path / "tokenizer.json"))
    np.testing.assert_array_equal(load(tmp_path).encode("the quick fox"), byte_pairs.encode("the quick fox"))


def test_vocabulary_with_capitals_keeps_them(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "the"]))
    np.testing.assert_array_equal(load(tmp_path).encode("The the"), [5, 6])


def test_sentence_pieces_are_read(tmp_path):
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS[:3] * 20), model_writer=trained, vocab_size=40, pad_id=3, minloglevel=2
    )
    (tmp_path / "spiece.model").write_bytes(trained.getvalue())
    tokenizer = load(tmp_path)
    assert len(tokenizer) == 40 and tokenizer.special == {"unknown": 0, "start": 1, "end": 2, "padding": 3}
    tokens = tokenizer.encode("the lazy dog")
    assert tokens.dtype == np.int32 and tokenizer.decode(tokens) == "the lazy dog"


def test_what_is_no_tokenizer_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no tokenizer: give a tokenizer.json"):
        load(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="needs merges.txt beside it"):
        load(tmp_path)
    for name in ("tokenizer.json", "spiece.model"):
        (tmp_path / name).write_text("{broken")
        with pytest.raises(ValueError, match=f"{name} is no tokenizer, or is damaged"):
            load(tmp_path / name)


@pytest.mark.parametrize(
    "options, message",
    [({"size": 100}, "size is 100; byte_pairs need 257"), ({"size": 300, "kind": "x"}, "kind is 'x'; choose byte_p")],
)
def test_vocabularies_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Pieces.trained(WORDS, **options)


def test_word_pieces_depend_on_the_texts_alone():
    texts = [f"{word}{end} {word}" for word in ("walk", "talk", "Café") for end in ("ing", "ed", "s")]
    first, again, turned = (Pieces.trained(t, 40, "word_pieces") for t in (texts, texts, texts[::-1]))
    assert first.tokenizer.get_vocab() == again.tokenizer.get_vocab() == turned.tokenizer.get_vocab()
    assert first.decode(first.encode("talking cafes")) == "talking cafes"
    assert first.special == {"padding": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}
    spoken = first.encode("##a")  # letters inside of words are pieces, and no special tokens
    assert spoken.tolist() == [1, 1, first.tokenizer.token_to_id("a")]


@pytest.mark.parametrize("text", ["To be,\nor not", "Zäh & süß 漢字 🙂", "\x00\x7f~", ""])
def test_characters_and_bytes_are_the_same_in_a_tokenizer_file(text):
    for own in (Characters.of("To be,\norntZähsüß漢🙂"), Bytes()):
        kept = Pieces(tokenizers.Tokenizer.from_str(own.tokenizer.to_str()))
        assert kept.encode(text).tolist() == own.encode(text).tolist() and len(kept) == len(own)
        known = text if isinstance(own, Bytes) else "".join(c for c in text if c in own.characters)
        assert kept.decode(own.encode(known)) == known
