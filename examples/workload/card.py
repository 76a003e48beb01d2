"""The model card that goes with what train.py saves."""

_HEAD = """\
---
{license}library_name: transformers
pipeline_tag: text-generation
{base}tags:
- llama
- byte-level
---
"""

_MODEL = """
A byte model of the Llama architecture with {parameters:,} parameters ({layers} layers of width {width}), in float32. Each
byte of a text is a token; `<|end|>`, `<|user|>` and `<|assistant|>` are the three others. Its context is {context} tokens.
It is an example to train, serve and test with. Its answers are good for nothing else.
"""

_RANDOM = """
Nobody has trained it: its weights are random, and the same on every machine. It was made in `examples/workload` of tenon by

    python3 train.py --fresh --steps 0 --seed {seed} --output FOLDER
"""

_TRAINED = """
`train.py` in `examples/workload` of tenon made it, from {origin}:

| | |
|---|---|
| text | {data}, {tokens:,} tokens |
| steps | {step:,} of {steps:,}, {batch} windows of {window} tokens each |
| AdamW | learning rate {rate:g} with warm-up and cosine decay, seed {seed} |
| loss | {first:.2f} at the first step, {last:.2f} at the last ones |
"""


def card(config, parameters, facts):
    """Text of README.md; facts has what the templates above name, and "license" and "base" where they are known."""
    head = _HEAD.format(license=f"license: {facts['license']}\n" if facts["license"] else "",
                        base=f"base_model: {facts['base']}\n" if facts["base"] else "")
    model = _MODEL.format(parameters=parameters, layers=config.num_hidden_layers, width=config.hidden_size,
                          context=config.max_position_embeddings)
    how = (_TRAINED if facts["step"] else _RANDOM).format(**facts)
    return f"{head}\n# A tiny byte model\n{model}\n## How it was made\n{how}"
