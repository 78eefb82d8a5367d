"""Text as token numbers and back: characters, bytes, or pieces of words as published models have them.

    tokenizer = load("folder/of/gpt2")                     # tokenizer.json, vocab.json and merges.txt, vocab.txt ...
    tokens = tokenizer.encode("To be, or not to be")       # (T,) int32
    tokenizer.decode(tokens)                               # "To be, or not to be"
    tokenizer.encode_batch(texts, length=128)              # {"tokens": (B, T), "segments": (B, T)} int32, for BERT

Papers: byte pairs: Sennrich et al. 2016, arXiv:1508.07909, on bytes: Radford et al. 2019, section 2.2; WordPiece:
Devlin et al. 2018, arXiv:1810.04805, section 3; SentencePiece: Kudo & Richardson 2018, arXiv:1808.06226.  The character
vocabulary is that of Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks".
"""

import collections
import functools
import json
import pathlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import sentencepiece
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tfdl.core.token_rows import byte_letters


@dataclass(frozen=True)
class Characters:
    """One token for each character: 0 is padding, 1 a character that is not known, 2 + i the i-th of `characters`.

    Attributes:
        characters: in the order of their code points, as `of` gives them.
    """

    characters: str
    special = {"padding": 0, "unknown": 1}

    @classmethod
    def of(cls, text):
        """The characters that a text contains."""
        return cls("".join(sorted(set(text))))

    def __len__(self):
        return 2 + len(self.characters)

    @property
    def tokenizer(self):
        """The same as a `tokenizers.Tokenizer`, which is stored as tokenizer.json beside a trained model."""
        pieces = dict(zip(("[PAD]", "[UNK]", *self.characters), range(len(self))))
        tokenizer = tokenizers.Tokenizer(models.WordLevel(pieces, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return tokenizer

    def encode(self, text):
        """Token numbers (T,) int32."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "uint32")
        known = np.frombuffer(self.characters.encode("utf-32-le", "surrogatepass"), "uint32")
        places = np.searchsorted(known, codes).clip(max=max(0, len(known) - 1))
        return np.where(known[places] == codes, places + 2, 1).astype("int32")

    def decode(self, tokens):
        """The text of token numbers (T,), padding left out; U+FFFD stands for what is not known."""
        written = ("", "\ufffd", *self.characters)
        return "".join(written[token] for token in np.asarray(tokens).tolist())


@dataclass(frozen=True)
class Bytes:
    """One token for each byte of UTF-8."""

    special = {}

    def __len__(self):
        return 256

    @property
    def tokenizer(self):
        """The same as a `tokenizers.Tokenizer`, which writes each byte as GPT-2's letter for it."""
        tokenizer = tokenizers.Tokenizer(models.BPE(byte_letters(), []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def encode(self, text):
        """Token numbers (T,) int32."""
        return np.frombuffer(text.encode(), "uint8").astype("int32")

    def decode(self, tokens):
        """The text of token numbers (T,); what is no UTF-8 becomes U+FFFD."""
        return np.asarray(tokens, "uint8").tobytes().decode(errors="replace")


@dataclass(frozen=True)
class Words:
    """One token for each word and each sign, all in lower case.

    0 is padding, 1 a word that is not known, 2 stands before a text and 3 behind it, 4 + i is the i-th of `words`.

    Attributes:
        words: in alphabetical order, as `of` gives them.
    """

    words: tuple[str, ...]
    special = {"padding": 0, "unknown": 1, "start": 2, "end": 3}

    @classmethod
    def of(cls, texts: Iterable[str], least: int = 2):
        """The words that occur `least` times or more in these texts."""
        counts = collections.Counter(word for text in texts for word in split_words(text.lower()))
        return cls(tuple(sorted(word for word, count in counts.items() if count >= least)))

    def __len__(self):
        return len(self.special) + len(self.words)

    @functools.cached_property
    def numbers(self):
        return {word: number for number, word in enumerate(self.words, len(self.special))}

    def encode(self, text):
        """Token numbers (T,) int32."""
        return np.array([self.numbers.get(word, 1) for word in split_words(text.lower())], "int32")

    def decode(self, tokens):
        """The words of token numbers (T,) with spaces between; special ones are left out, U+FFFD is an unknown word.

        Hyphens and apostrophes stand between their words without spaces, as they mostly did.
        """
        written = ("", "\ufffd", "", "", *self.words)
        text = " ".join(written[token] for token in np.asarray(tokens).tolist() if written[token])
        return re.sub(r"(?<=\w) ([-'’]) (?=\w)", r"\1", text)


def split_words(text):
    """Words, and every sign by itself: "a T-shirt." -> ["a", "T", "-", "shirt", "."]"""
    return re.findall(r"\w+|[^\w\s]", text)


class Pieces:
    """Pieces of words, by Hugging Face's `tokenizers`.

    Attributes:
        special: name -> number of the special tokens that the vocabulary has: "padding", "unknown", "start", "end",
            "mask", "sentinel".
    """

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        tokenizer.no_padding()  # a tokenizer.json may ask for both
        tokenizer.no_truncation()
        found = {name: [tokenizer.token_to_id(token) for token in SPECIAL[name]] for name in SPECIAL}
        self.special = {name: next((n for n in numbers if n is not None), None) for name, numbers in found.items()}
        self.special = {name: number for name, number in self.special.items() if number is not None}

    def __len__(self):
        return self.tokenizer.get_vocab_size()

    @classmethod
    def trained(
        cls, texts: Iterable[str], size: int, kind: str = "byte_pairs", special: tuple[str, ...] = ("<|endoftext|>",)
    ):
        """A tokenizer of its own for these texts.

        Args:
            texts: strings, such as lines or documents.
            size: pieces in the vocabulary, special ones included; there may be fewer if the texts have no more.
            kind: "byte_pairs" (as GPT-2) or "word_pieces" (as BERT, lower case).
            special: the first of the byte pairs, such as PAIR_TOKENS; word pieces have BERT_TOKENS.

        Raises:
            ValueError: an unknown kind, or a size below what the kind needs.
        """
        if kind not in ("byte_pairs", "word_pieces"):
            raise ValueError(f"kind is {kind!r}; choose byte_pairs or word_pieces.")
        least = 256 + len(special) if kind == "byte_pairs" else len(BERT_TOKENS) + 1
        if size < least:
            raise ValueError(f"size is {size}; {kind} need {least} or more.")
        if kind == "word_pieces":
            return cls(trained_word_pieces(list(texts), size))
        tokenizer = byte_pairs(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        # A mask stands for a word with the space before it.
        tokens = [AddedToken(token, lstrip=token in SPECIAL["mask"], special=True) for token in special]
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=tokens, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(framed(tokenizer))

    def save(self, path):
        """Writes a tokenizer.json, which `load`, transformers and the browser read."""
        self.tokenizer.save(str(path))

    def encode(self, text):
        """Token numbers (T,) int32, without special tokens around them."""
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, "int32")

    def encode_batch(self, texts, *, pairs=None, length):
        """Texts, or pairs of texts, as a model with special tokens around them reads them: cut and padded to `length`.

        Returns:
            {"tokens": (B, T) int32, "segments": (B, T) int32, 1 in the second text of a pair}.
        """
        tokenizer = self.tokenizer
        tokenizer.enable_truncation(length)
        try:
            rows = tokenizer.encode_batch(list(texts) if pairs is None else list(zip(texts, pairs, strict=True)))
        finally:
            tokenizer.no_truncation()
        tokens = np.full((len(rows), length), self.special.get("padding", 0), "int32")
        segments = np.zeros((len(rows), length), "int32")
        for i, row in enumerate(rows):
            tokens[i, : len(row.ids)] = row.ids
            segments[i, : len(row.ids)] = row.type_ids
        return {"tokens": tokens, "segments": segments}

    def decode(self, tokens):
        """The text of token numbers (T,), special ones left out."""
        return self.tokenizer.decode(np.asarray(tokens).tolist())


SPECIAL = {  # as published vocabularies call them
    "padding": ("[PAD]", "<pad>"),
    "unknown": ("[UNK]", "<unk>"),
    "start": ("[CLS]", "<s>", "<|endoftext|>", "<|begin_of_text|>"),
    "end": ("[SEP]", "</s>", "<|endoftext|>", "<|end_of_text|>"),
    "mask": ("[MASK]", "<mask>"),
    "sentinel": ("<extra_id_0>",),  # T5's first; the others count down from it
}
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # padding is 0, as our BERT has it
PAIR_TOKENS = ("<pad>", "<s>", "</s>")  # around the texts of pairs; padding is 0
BART_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # and RoBERTa's; padding is 1, as our models have it
T5_TOKENS = ("<pad>", "</s>", "<unk>")


def load(path):
    """The tokenizer of a published model, `Pieces` or `SentencePieces`, from a file or a folder with its files.

    Raises:
        FileNotFoundError: there are no files of a tokenizer.
        ValueError: a file is damaged.
    """
    path = pathlib.Path(path)
    files = [path] if path.is_file() else [path / name for name in ("tokenizer.json", "vocab.json", "vocab.txt")]
    if path.is_dir():
        files += sorted(path.glob("*.model"))
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"{path} has no tokenizer: give a tokenizer.json, a vocab.json beside its merges.txt, a vocab.txt, or a"
            " SentencePiece file *.model."
        )
    try:
        return read(file)
    except (OSError, ValueError):
        raise
    except Exception as error:  # the libraries raise bare Exceptions and RuntimeErrors
        raise ValueError(f"{file} is no tokenizer, or is damaged: {error}") from error


def read(file):
    """The tokenizer in a file, by what kind of file it is."""
    if file.suffix == ".model":
        return SentencePieces(file)
    if file.name.endswith("vocab.txt"):
        return Pieces(from_vocabulary(file))
    if file.name.endswith("vocab.json"):
        return Pieces(from_vocabulary_and_merges(file))
    return Pieces(tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8")))


def from_vocabulary_and_merges(file):
    """GPT-2's and RoBERTa's files, or GPT-1's, whose pieces end with </w> where a word does."""
    merges = file.with_name(file.name.replace("vocab.json", "merges.txt"))
    if not merges.is_file():
        raise FileNotFoundError(f"{file} needs {merges.name} beside it.")
    pieces = json.loads(file.read_text(encoding="utf-8"))
    if any(piece.endswith("</w>") for piece in pieces):
        tokenizer = tokenizers.Tokenizer(
            models.BPE.from_file(str(file), str(merges), end_of_word_suffix="</w>", unk_token="<unk>")
        )
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
        return tokenizer
    tokenizer = framed(byte_pairs(models.BPE.from_file(str(file), str(merges))))
    tokenizer.add_special_tokens([token for names in SPECIAL.values() for token in names if token in pieces])
    return tokenizer


def byte_pairs(model):
    """GPT-2's way: words with the space before them, as bytes."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def framed(tokenizer):
    """With RoBERTa's and BART's special tokens around a text, if the vocabulary has them: <s> text </s>."""
    start, end = (tokenizer.token_to_id(token) for token in ("<s>", "</s>"))
    if start is not None and end is not None:
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", end), ("<s>", start), trim_offsets=False, add_prefix_space=False
        )
    return tokenizer


def from_vocabulary(file):
    """BERT's file; the vocabulary is of lower-case text if it has no capital letter."""
    pieces = file.read_text(encoding="utf-8").splitlines()
    lowercase = not any(piece != piece.lower() for piece in pieces if not piece.startswith("["))
    tokenizer = word_pieces(models.WordPiece.from_file(str(file), unk_token="[UNK]"), lowercase)
    tokenizer.add_special_tokens([token for token in BERT_TOKENS if token in pieces])
    tokenizer.post_processor = around(tokenizer)
    return tokenizer


def trained_word_pieces(texts, size):
    """A tokenizer with the word pieces of these texts, in lower case.

    The library numbers letters inside of words, such as ##a, in the order in which a hash table gives them, and breaks
    ties between pieces by these numbers: the same texts give another vocabulary each time.  With all letters as special
    tokens, which are numbered first, the vocabulary depends on the texts alone.
    """
    tokenizer = word_pieces(models.WordPiece(unk_token="[UNK]"), lowercase=True)
    letters = sorted(set().union(*map(tokenizer.normalizer.normalize_str, texts)))
    numbered = [*BERT_TOKENS, *(f"##{letter}" for letter in letters if not letter.isspace())]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=numbered, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    fresh = word_pieces(models.WordPiece(tokenizer.get_vocab(), unk_token="[UNK]"), lowercase=True)
    fresh.add_special_tokens([*BERT_TOKENS])
    fresh.post_processor = around(fresh)
    return fresh


def word_pieces(model, lowercase):
    """BERT's way: words and signs apart, pieces inside of a word marked by ##."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def around(tokenizer):
    """[CLS] text [SEP], or [CLS] text [SEP] second text [SEP], whose segment is 1."""
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )


class SentencePieces:
    """Pieces of sentences, spaces included, by a SentencePiece file; T5's and the first LLaMA's.

    Attributes:
        special: as of `Pieces`.
    """

    def __init__(self, file):
        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
        numbers = {
            "padding": self.processor.pad_id(),
            "unknown": self.processor.unk_id(),
            "start": self.processor.bos_id(),
            "end": self.processor.eos_id(),
        }
        self.special = {name: number for name, number in numbers.items() if number >= 0}

    def __len__(self):
        return self.processor.vocab_size()

    def encode(self, text):
        """Token numbers (T,) int32, without special tokens around them."""
        return np.array(self.processor.encode(text), "int32")

    def decode(self, tokens):
        """The text of token numbers (T,)."""
        return self.processor.decode(np.asarray(tokens).tolist())


TOKENIZERS = {"characters": Characters.of, "bytes": lambda text: Bytes()}
