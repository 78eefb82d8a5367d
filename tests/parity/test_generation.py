"""Texts that our models and Hugging Face's write with the same weights: token for token, greedily and with beams."""

import numpy as np
import pytest

import tfdl
from tests.parity.references import torch
from tests.parity.test_text import bart, gpt2, llama2, spread, t5

pytestmark = pytest.mark.parity

START, STOP, NEW = 0, 7, 10
LENGTHS = (6, 3)  # of two prompts


@pytest.mark.parametrize("pair", [gpt2, llama2, t5, bart], ids=lambda pair: pair.__name__)
def test_tokens_are_those_of_transformers(pair, tmp_path):
    torch().manual_seed(0)
    family, config, theirs = pair()
    spread(theirs)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    ours = tfdl.build(family, config, weights=str(tmp_path / "theirs"))
    random, reads = np.random.default_rng(0), pair in (t5, bart)
    options = dict(new_tokens=NEW, stop_tokens=[STOP], start=START if reads else None)
    prompts = [random.integers(8, 53, length) for length in LENGTHS]
    ways = {
        (1, 1.0): lambda prompt: ours.generate([prompt], compiled=False, **options),
        (4, 2.0): lambda prompt: ours.beam_search([prompt], beams=4, length_penalty=2.0, **options),
    }
    for (beams, penalty), write in ways.items():
        for prompt in prompts:
            expected = theirs.generate(
                torch().tensor(prompt[None]),
                attention_mask=torch().ones((1, len(prompt)), dtype=torch().long),
                max_new_tokens=NEW,
                num_beams=beams,
                length_penalty=penalty,
                do_sample=False,
                early_stopping=False,
                eos_token_id=STOP,
                pad_token_id=1,
                decoder_start_token_id=START,
                forced_eos_token_id=None,
            )[0].tolist()[1 if reads else len(prompt) :]
            expected = expected[: expected.index(STOP)] if STOP in expected else expected
            assert write(prompt).tokens[0].tolist() == expected
