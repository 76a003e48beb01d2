"""What the packages of Hugging Face and llama.cpp say of what examples/lora has read and written, as one line of JSON.

    python judge.py tokens FOLDER              its tokens of many texts against those of the package tokenizers
    python judge.py files FOLDER BEFORE GGUF   the files of a trained model, those of the same model untrained, and its first GGUF

With the packages gguf, numpy, safetensors, tokenizers.
"""

import json
import os
import random
import sys
import unicodedata

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors import safe_open
from tokenizers import Tokenizer

import smollm2

LEFT_OUT = ("tokenizer.ggml.padding_token_id", "tokenizer.ggml.unknown_token_id")  # of no use where nothing is padded or unknown
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "examples")
sys.path[:0] = [os.path.join(EXAMPLES, "lora"), os.path.join(EXAMPLES, "workload")]
sys.dont_write_bytecode = True

import bpe  # noqa: E402


def texts():
    """Words, spaces, numbers and marks of many scripts, in order and out of it."""
    chance = random.Random(3)
    yield from ("Hello world's 12345 ½²³ x", "  a\n\n b\t\r\n  ", "naïve 你好 １２ ٣٤ 👩‍🚀", "'S 'll don't", "",
                "\x1c\x1d \x85\xa0 \u3000x", "<|im_start|>user\nWhat's <|im_end|>\n<|im_end", "".join(map(chr, range(1, 0x500))),
                "a" * 300, " " * 300)
    characters = [chr(i) for i in range(1, 0x3000) if unicodedata.category(chr(i)) not in ("Cs", "Cn")]
    for _ in range(3000):
        yield "".join(chance.choice(characters if chance.random() < 0.5 else " \n\t'abcdefgh0123")
                      for _ in range(chance.randrange(1, 30)))


def tokens(folder):
    ours, theirs = bpe.Tokenizer(folder), Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    other = [text for text in texts() if ours.encode(text) != theirs.encode(text, add_special_tokens=False).ids]
    return {"texts": len(list(texts())), "other": other[:5]}


def stored(folder):
    """Every weight as safetensors has it."""
    with safe_open(os.path.join(folder, "model.safetensors"), "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def unpacked(path):
    """Every weight as GGUF has it, in the order and under the names of Transformers; and the header's fields."""
    reader, weights = GGUFReader(path), {}
    fields = {key: field.contents() for key, field in reader.fields.items()}
    for tensor in reader.tensors:
        weight, name = dequantize(tensor.data, tensor.tensor_type), smollm2.name_of(tensor)
        for part, key in (("q_proj", "llama.attention.head_count"), ("k_proj", "llama.attention.head_count_kv")):
            weight = smollm2.in_order(weight, fields[key]) if part in name else weight
        weights[name] = weight
    return weights, fields


def files(folder, before, first):
    after, original = stored(folder), stored(before)
    copies, fields = unpacked(os.path.join(folder, "model.gguf"))
    source, expected = unpacked(first)
    said = [key for key in expected if key.startswith(("llama.", "tokenizer.")) and key not in LEFT_OUT]
    return {
        "types": sorted({str(weight.dtype) for weight in after.values()}),
        "names": sorted(after) == sorted(copies) == sorted(source),
        "differ_from_gguf": [name for name, weight in after.items()
                             if not np.array_equal(weight, copies[name].astype(np.float16))],
        # Of the repository's BF16 half a unit in the last of 8 bits is lost at most.
        "differ_from_source": [name for name, weight in original.items()
                               if not np.allclose(weight.astype(np.float32), source[name], rtol=2.0 ** -8, atol=1e-7)],
        "changed": [name for name, weight in after.items() if not np.array_equal(weight, original[name])],
        "fields": [key for key in said if fields.get(key) != expected[key]]}


if __name__ == "__main__":
    print(json.dumps({"tokens": tokens, "files": files}[sys.argv[1]](*sys.argv[2:])))
