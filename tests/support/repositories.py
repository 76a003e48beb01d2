"""Ready repositories for the hub simulator. Each function gives a description for `Simulator.put_repository`."""

import base64
import json
import struct

ODD_NAME = "a b/ü [1]^|%.txt"
LONG_NAME = "nested/deeper/still deeper/" + "long-name-" * 8 + ".txt"
CARD = "---\nlicense: apache-2.0\n---\n# Small\n\nA model that exists only in tests.\n"
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "vocab_size": 256, "torch_dtype": "float32",
}
MIB = 1 << 20


def safetensors(tensors, seed="weights", metadata=None, sha256=None):
    """A safetensors file: a true header for {name: (dtype, shape)}, then noise of the right size."""
    widths = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1, "F8_E4M3": 1}
    header, offset = ({"__metadata__": metadata} if metadata else {}), 0
    for name, (dtype, shape) in tensors.items():
        size = widths[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    start = base64.b64encode(struct.pack("<Q", len(text)) + text).decode()
    description = {"parts": [{"base64": start}, {"size": offset, "seed": seed}]}
    if sha256:
        description["sha256"] = sha256
    return description


def gguf(tokens, elements):
    """A GGUF file of one tensor in F16: its header, then noise of the right size."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    def number(key, value):
        return text(key) + struct.pack("<II", 4, value)

    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("llama"), number("llama.block_count", 22),
             number("llama.embedding_length", 2048), number("llama.feed_forward_length", 5632),
             number("llama.attention.head_count", 32), number("llama.attention.head_count_kv", 4), number("llama.vocab_size", tokens),
             text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, tokens) + b"".join(text(f"token {one:09}") for one in range(tokens))]
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs)
    head += text("w") + struct.pack("<IQIQ", 1, elements, 1, 0)
    head += bytes(-len(head) % 32)
    return {"parts": [{"base64": base64.b64encode(head).decode()}, {"size": 2 * elements + (-2 * elements) % 32, "seed": "gguf"}]}


def small_model(identity="acme/small"):
    """Three commits on main, a branch, a tag and a pull request; regular and LFS files, folders, odd names, an empty file."""
    weights = {"embed.weight": ("F32", [256, 64]), "layers.0.weight": ("F32", [1024, 700]), "norm.weight": ("BF16", [64])}
    return {
        "id": identity,
        "commits": [
            {"title": "Initial commit", "files": {
                ".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
                "README.md": "# Small\n",
                "config.json": json.dumps(CONFIG),
                "model.safetensors": safetensors(weights, "first", {"format": "pt"}),
            }},
            {"title": "Add the tokenizer", "tag": "v1.0", "files": {
                "tokenizer/tokenizer.json": '{"version": "1.0"}',
                "tokenizer/vocabulary/words.txt": "one\ntwo\nthree\n",
                "empty.txt": "",
                ODD_NAME: "odd\n",
                LONG_NAME: "long\n",
            }},
            {"title": "Train longer", "message": "With a larger step.", "files": {
                "README.md": CARD,
                "model.safetensors": safetensors(weights, "second", {"format": "pt"}),
            }},
            {"title": "Try another card", "branch": "feature/card", "from": "v1.0", "files": {"README.md": "# Branch\n"}},
            {"title": "Correct a word", "pull": 1, "from": "main", "files": {"README.md": "# Pull request\n"}},
        ],
    }


def sharded_model(identity="acme/sharded"):
    """Two shards and their index."""
    first = {"a.weight": ("BF16", [64, 64]), "b.weight": ("BF16", [64])}
    second = {"c.weight": ("BF16", [128, 64])}
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"metadata": {"total_size": 2 * (64 * 64 + 64 + 128 * 64)},
             "weight_map": {**{name: names[0] for name in first}, **{name: names[1] for name in second}}}
    return {"id": identity, "files": {
        "config.json": json.dumps(CONFIG), "model.safetensors.index.json": json.dumps(index),
        names[0]: safetensors(first, 1), names[1]: safetensors(second, 2),
    }}


def large_file(size, identity="acme/large", seed="large"):
    """One LFS file of any size."""
    weights = {"size": size, "seed": seed}
    return {"id": identity, "files": {"config.json": json.dumps(CONFIG), "model.bin": weights}}


def many_files(count=230, identity="acme/many"):
    """Enough small files for several pages of a listing."""
    files = {f"folder {number % 7}/file-{number:04}.txt": f"{number}\n" for number in range(count)}
    return {"id": identity, "files": files}


def gated_model(identity="acme/gated"):
    return {"id": identity, "gated": "manual", "files": {"README.md": CARD, "config.json": json.dumps(CONFIG),
                                                         "model.bin": {"size": MIB, "seed": "gated"}}}


def private_model(identity="acme/private"):
    return {"id": identity, "private": True, "files": {"config.json": json.dumps(CONFIG),
                                                       "model.bin": {"size": MIB, "seed": "private"}}}


def disabled_model(identity="acme/disabled"):
    return {"id": identity, "disabled": True, "files": {"config.json": "{}"}}


def dataset(identity="acme/data"):
    return {"type": "dataset", "id": identity, "files": {
        "README.md": "# Data\n", "data/train.parquet": {"size": 2 * MIB, "seed": "train"},
        "data/labels.csv": "id,label\n1,yes\n"}}


def space(identity="acme/app"):
    return {"type": "space", "id": identity, "info": {"sdk": "gradio"},
            "files": {"README.md": "# App\n", "app.py": "print('hello')\n"}}


def every():
    """All of the above that need no argument."""
    return [small_model(), sharded_model(), many_files(), gated_model(), private_model(), disabled_model(), dataset(), space()]
