"""Language models under the names of Hugging Face's files; make parity compares the numbers with its networks."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tfdl
from tests.models.decoders import TOKENS
from tests.models.language_models import moved
from tfdl.data.tokenizers import Bytes
from tfdl.models.text import bert


def test_gpt_has_queries_keys_and_values_side_by_side_and_kernels_as_ours(tmp_path):
    model = moved("gpt")
    tfdl.save_weights(model, tmp_path / "gpt.safetensors", layout="transformers")
    arrays = load_file(tmp_path / "gpt.safetensors")
    attention = model.blocks[1].attention
    parts = [np.array(layer.kernel) for layer in (attention.query, attention.key, attention.value)]
    np.testing.assert_array_equal(arrays["transformer.h.1.attn.c_attn.weight"], np.concatenate(parts, axis=1))
    assert arrays["transformer.h.1.attn.c_attn.bias"].shape == (72,)
    np.testing.assert_array_equal(arrays["transformer.h.1.mlp.c_fc.weight"], model.blocks[1].feed_forward.up.kernel)
    assert "transformer.ln_f.weight" in arrays and "transformer.wte.weight" in arrays


def test_llama_has_kernels_as_pytorch_and_a_head_of_its_own(tmp_path):
    model = moved("llama")
    tfdl.save_weights(model, tmp_path / "llama.safetensors", layout="transformers")
    arrays = load_file(tmp_path / "llama.safetensors")
    np.testing.assert_array_equal(
        arrays["model.layers.0.self_attn.k_proj.weight"], np.array(model.blocks[0].attention.key.kernel).T
    )
    assert arrays["lm_head.weight"].shape == (61, 24) and arrays["model.norm.weight"].shape == (24,)


@pytest.mark.parametrize("key", ["gpt", "llama"])
def test_weights_come_back_as_they_were_with_what_files_have_more(key, tmp_path):
    model = moved(key)
    tfdl.save_weights(model, tmp_path / "a.safetensors", layout="transformers")
    arrays = load_file(tmp_path / "a.safetensors")
    if key == "gpt":  # as the hub's gpt2 has it: no prefix, a mask in every block, the embeddings twice
        arrays = {name.removeprefix("transformer."): array for name, array in arrays.items()}
        arrays["h.0.attn.bias"] = np.ones((1, 1, 32, 32), "float32")
        arrays["lm_head.weight"] = arrays["wte.weight"]
    save_file(arrays, tmp_path / "b.safetensors")
    again = tfdl.build(key, "nano", weights=str(tmp_path / "b.safetensors"))
    np.testing.assert_array_equal(again(TOKENS), model(TOKENS))


def test_columns_that_are_no_multiple_of_three_are_complained_about(tmp_path):
    tfdl.save_weights(moved("gpt"), tmp_path / "a.safetensors", layout="transformers")
    arrays = load_file(tmp_path / "a.safetensors")
    arrays["transformer.h.0.attn.c_attn.weight"] = np.ones((24, 71), "float32")
    save_file(arrays, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"c_attn.weight is \(24, 71\) and should be \(24, 24\)"):
        tfdl.build("gpt", "nano", weights=str(tmp_path / "a.safetensors"))


def test_head_of_another_job_is_new_and_said(tmp_path, capsys):
    before = moved("bert", head="pretraining")
    tfdl.save_weights(before, tmp_path / "bert.safetensors", layout="transformers")
    model = tfdl.build("bert", "nano", head="classifier", num_classes=3, weights=str(tmp_path / "bert.safetensors"))
    printed = capsys.readouterr().out
    assert "The head is new" in printed and "classifier.weight (3, 24)" in printed
    np.testing.assert_array_equal(model.encode(TOKENS), before.encode(TOKENS))
    np.testing.assert_array_equal(model.pooler.kernel, before.pooler.kernel)  # both have it


def test_files_of_the_bare_network_leave_out_its_name(tmp_path):
    before = moved("bert")
    tfdl.save_weights(before, tmp_path / "a.safetensors", layout="transformers")
    arrays = {name.removeprefix("bert."): array for name, array in load_file(tmp_path / "a.safetensors").items()}
    save_file(arrays, tmp_path / "b.safetensors")
    again = tfdl.build("bert", "nano", weights=str(tmp_path / "b.safetensors"))
    np.testing.assert_array_equal(again(TOKENS)["pooled"], before(TOKENS)["pooled"])


def test_damaged_body_is_refused_even_where_the_head_is_new(tmp_path):
    tfdl.save_weights(moved("bert", head="pretraining"), tmp_path / "a.safetensors", layout="transformers")
    arrays = load_file(tmp_path / "a.safetensors")
    del arrays["bert.encoder.layer.1.output.dense.weight"]
    save_file(arrays, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="missing bert.encoder.layer.1.output.dense.weight"):
        tfdl.build("bert", "nano", head="span", weights=str(tmp_path / "a.safetensors"))


def test_head_that_the_model_lacks_is_left_out_and_said(tmp_path, capsys):
    before = moved("bert")
    tfdl.save_weights(before, tmp_path / "a.safetensors", layout="transformers")
    arrays = {name.removeprefix("bert."): array for name, array in load_file(tmp_path / "a.safetensors").items()}
    save_file(arrays, tmp_path / "b.safetensors")  # as sentence transformers write it: bare, with a pooler
    model = tfdl.build("bert", "nano", head="embedding", weights=str(tmp_path / "b.safetensors"))
    assert "since this model has no such head: pooler.dense" in capsys.readouterr().out
    np.testing.assert_array_equal(model.encode(TOKENS), before.encode(TOKENS))


def test_folder_for_transformers_names_what_it_has_no_config_for(tmp_path):
    with pytest.raises(ValueError, match="no config.json for a 'vit' yet, only for bart, bert, gpt, .*; give a file"):
        tfdl.save_weights(tfdl.build("vit", "nano"), tmp_path / "vit", layout="transformers")
    with pytest.raises(ValueError, match="whose padding is 0 counts positions from 1, not from 2; change either"):
        tfdl.save_weights(tfdl.build("roberta", "nano", padding=0), tmp_path / "a", layout="transformers")
    counted = replace(bert.VARIANTS["nano"], first_position=2)
    with pytest.raises(ValueError, match="counts positions from 0, not from 2; build a 'roberta'"):
        tfdl.save_weights(tfdl.build("bert", counted), tmp_path / "b", layout="transformers")
    with pytest.raises(ValueError, match="is one file, which cannot hold a tokenizer"):
        tfdl.save_weights(moved("gpt"), tmp_path / "a.safetensors", layout="transformers", tokenizer=Bytes())
    with pytest.raises(ValueError, match="The tokenizer object has no tokenizer.json; copy its own file instead"):
        tfdl.save_weights(moved("gpt"), tmp_path / "gpt", layout="transformers", tokenizer=object())
    assert not list(tmp_path.iterdir())
    tfdl.save_weights(moved("gpt"), tmp_path / "gpt", layout="transformers", tokenizer=Bytes())
    assert sorted(file.name for file in (tmp_path / "gpt").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
