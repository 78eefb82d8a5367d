"""Write text by every decoding method, and see what each is good for: likely, varied, fast, or of a given form.

Stage 4 (transformers) - Holtzman et al. 2019, arXiv:1904.09751; contrastive search: Su et al. 2022, arXiv:2202.06417;
speculative decoding: Leviathan et al. 2022, arXiv:2211.17192
Run:     tfdl run generate_text
         tfdl run generate_text --source runs/tiny_shakespeare_gpt --prompt "ROMEO:"
Expect:  of the pieces of 6 letters that greedy search writes 0.77 are repetitions, of beam search 0.43, of a draw 0.02,
         of contrastive search none; after 2 minutes on two CPU cores that others shared (one run, seed 0)
"""

import time
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np

import tfdl
from tfdl.data import text
from tfdl.figures.groups import grouped_bars
from tfdl.inference.sampling import Sampling
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sample from a causal language model in every way."""

    data: str = "descriptions"
    """text to learn from: descriptions, tiny_shakespeare or another tensorflow_datasets name, a text file, a folder of
    *.txt"""
    model: Literal["gpt", "llama"] = "llama"
    """key of a causal language model"""
    variant: str = "char_small"
    """row of the model's VARIANTS: tfdl show llama"""
    source: str = ""
    """run folder of a `train_gpt` of the same data, model and length; default: the model is trained here"""
    length: int = 64
    """tokens in a block: what the model sees"""
    batch_size: int = 32
    """blocks per update"""
    learning_rate: float = 3e-3
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    epochs: int = 15
    """passes over the training text, without `source`"""
    prompt: str = "The "
    """what is gone on from"""
    new_tokens: int = 56
    """tokens that are written; prompt and text must fit into the length"""
    texts: int = 16
    """texts of each method that draws"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_generated")

    # Data
    data = text.load(config.data, length=config.length, batch_size=config.batch_size, run=run)
    prompt = data.tokenizer.encode(config.prompt)

    # Model, and a smaller one that guesses what it will write
    def compiled(variant):
        model = tfdl.build(config.model, variant, vocabulary_size=len(data.tokenizer), context=config.length)
        if config.source and variant == config.variant:
            tfdl.load_weights(model, config.source)
        model.compile(
            language_model_optimizer(config.learning_rate, run.updates(data, config.epochs)),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=text.PADDING),
        )
        return model

    names = {"draft": "nano"} if config.source else {"draft": "nano", "model": config.variant}
    results = run.compare(
        data, {name: lambda variant=variant: compiled(variant) for name, variant in names.items()}, epochs=config.epochs
    )
    draft = results["draft"].model
    model = compiled(config.variant) if config.source else results["model"].model

    # Write by every method
    def drawn(**options):
        sampling = Sampling(**options)
        return lambda: model.generate(
            [prompt] * config.texts, new_tokens=config.new_tokens, sampling=sampling, seed=run.seed
        )

    methods = {
        "greedy": lambda: model.generate([prompt], new_tokens=config.new_tokens),
        "beam_search": lambda: model.beam_search([prompt], new_tokens=config.new_tokens),
        "contrastive_search": lambda: model.contrastive_search([prompt], new_tokens=config.new_tokens),
        "repetition_penalty": lambda: model.generate(
            [prompt], new_tokens=config.new_tokens, sampling=Sampling(repetition_penalty=1.3)
        ),
        "speculative": lambda: model.speculate(draft, [prompt], new_tokens=config.new_tokens),
        "temperature_1": drawn(temperature=1.0),
        "temperature_0.5": drawn(temperature=0.5),
        "top_k_5": drawn(temperature=1.0, top_k=5),
        "top_p_0.9": drawn(temperature=1.0, top_p=0.9),
        "min_p_0.1": drawn(temperature=1.0, min_p=0.1),
    }
    rows, metrics = [], {}
    for name, write in methods.items():
        write()  # compiles
        started = time.perf_counter()
        written = write().tokens
        seconds = time.perf_counter() - started
        texts = [data.tokenizer.decode(tokens) for tokens in written]
        tokens = sum(map(len, written))
        metrics |= {
            f"tokens_per_second/{name}": tokens / seconds,
            f"repeated_share/{name}": float(np.mean([repeated_share(text) for text in texts])),
            f"nats/{name}": nats(model, prompt, written),
        }
        rows.append({"method": name, "text": config.prompt + texts[0]})
        print(f"{name:<20}{config.prompt}{texts[0]!r}", flush=True)

    # Look: how often each repeats itself, and how likely the model finds what it wrote
    run.tell("texts", rows)
    groups = list(methods)
    for key, label in (("repeated_share", "share of letters that are repeated"), ("nats", "nats per character")):
        values = [metrics[f"{key}/{name}"] for name in groups]
        run.show(key, grouped_bars({key: values}, groups, y_label=label, title="Decoding methods"))
    return run.finish(None, metrics, samples=rows)


def repeated_share(text, size=6):
    """Share of the pieces of `size` letters that occurred before in the text."""
    pieces = [text[i : i + size] for i in range(len(text) - size + 1)]
    return 1 - len(set(pieces)) / len(pieces) if pieces else 0.0


def nats(model, prompt, written):
    """The model's own nats per character of what was written."""
    losses = []
    for tokens in written:
        row = np.concatenate([prompt, tokens])[None]
        logits = model(row[:, :-1])
        values = keras.losses.sparse_categorical_crossentropy(row[:, 1:], logits, from_logits=True)
        losses.append(np.array(values)[0, len(prompt) - 1 :])
    return float(np.concatenate(losses).mean())


if __name__ == "__main__":
    tfdl.launch(main, Config)
