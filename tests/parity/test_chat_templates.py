"""Chat templates as Hugging Face's tokenizers apply them: the same text and the same tokens."""

import pytest

from tests.parity.references import transformers
from tfdl.core.chat_templates import TEMPLATES
from tfdl.data.conversations import Conversation
from tfdl.data.instructions import characters_of, with_special

pytestmark = pytest.mark.parity

TALK = (("system", "Be 'brief'\\n."), ("user", "37+58\n?"), ("assistant", "95"), ("user", "1+1"), ("assistant", "2"))


@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_text_and_tokens_are_those_of_apply_chat_template(name, prompt):
    template = TEMPLATES[name]
    tokenizer = with_special(characters_of([Conversation(TALK)], template), template.special)
    theirs = transformers().PreTrainedTokenizerFast(tokenizer_object=tokenizer.tokenizer)
    theirs.chat_template = template.jinja
    talk = TALK[:-1] if prompt else TALK
    messages = [{"role": role, "content": content} for role, content in talk]
    text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    assert text == template.text(talk, prompt=prompt)
    tokens, _ = template.encode(talk, tokenizer, prompt=prompt)
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokens.tolist()
