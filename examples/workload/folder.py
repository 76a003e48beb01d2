"""A byte model's folder in the form of Hugging Face: config.json, model.safetensors, the tokenizer's files, a model card."""

import dataclasses
import os

import files
from files import CONFIG, WEIGHTS, Refused
from model import Parameters

import tokens


def read_config(folder):
    config = files.read_config(folder)
    if config.vocab_size != tokens.VOCABULARY:
        raise Refused(f"{os.path.join(folder, CONFIG)}: vocab_size is {config.vocab_size}; this program reads bytes and needs "
                      f"{tokens.VOCABULARY}")
    return config


def _config_json(config):
    return {
        "architectures": ["LlamaForCausalLM"],
        **files.FIXED,
        **dataclasses.asdict(config),
        "bos_token_id": None,
        "eos_token_id": tokens.END,
        "torch_dtype": "float32",
        "use_cache": True,
    }


def read_weights(folder, config):
    weights = None
    for name, values in files.tensors(folder, config):
        weights = weights or Parameters(config)  # once it is known that there is so much
        weights.by_name[name][...] = values
    return weights


def write(folder, config, weights, card):
    """Weights come last: a reader that finds them finds what belongs to them too."""
    os.makedirs(folder, exist_ok=True)
    described = {
        CONFIG: _config_json(config),
        "generation_config.json": {"do_sample": False, "eos_token_id": tokens.END},
        "tokenizer.json": tokens.tokenizer(),
        "tokenizer_config.json": tokens.tokenizer_config(config),
    }
    for name, value in described.items():
        files.replace(os.path.join(folder, name), files.as_json(value))
    files.replace(os.path.join(folder, "README.md"), [card.encode()])
    files.replace(os.path.join(folder, WEIGHTS), files.safetensors(config, weights.by_name.values()))
