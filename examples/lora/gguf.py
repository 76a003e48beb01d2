"""A model of the Llama architecture as GGUF, the one file that llama.cpp and everything that stands on it can serve."""

import math
import struct

from model import shapes

_ALIGNMENT = 32
_F32, _F16 = 0, 1  # how a tensor is stored
_BYTES = {_F32: 4, _F16: 2}

_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_INNER = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
          "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
          "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def _text(text):
    data = text.encode("utf-8", "replace")
    return struct.pack("<Q", len(data)) + data


def _value(value):
    """A value of the header with its type; a list holds texts or whole numbers."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    texts = isinstance(value[0], str)
    items = b"".join(map(_text, value)) if texts else struct.pack(f"<{len(value)}i", *value)
    return struct.pack("<IIQ", 9, 8 if texts else 5, len(value)) + items


def _name(name):
    """What llama.cpp calls a weight."""
    if not name.startswith("model.layers."):
        return _OUTER[name.removesuffix(".weight")] + ".weight"
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_INNER[part]}.weight"


def _rows(config, name, values):
    """llama.cpp turns neighbours of a head, Transformers the halves of it: the rows change places."""
    if ".q_proj." not in name and ".k_proj." not in name:
        return values
    return values.reshape(-1, 2, config.head_dim // 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def _described(config, tokenizer, name, marks, template):
    """The header's fields; marks are the tokens at the begin and the end of a text, where it has them."""
    texts, kinds = tokenizer.listing(config.vocab_size)
    fields = {
        "general.architecture": "llama", "general.name": name, "general.file_type": 1,
        "llama.vocab_size": config.vocab_size, "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size, "llama.block_count": config.num_hidden_layers,
        "llama.feed_forward_length": config.intermediate_size, "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads, "llama.attention.key_length": config.head_dim,
        "llama.attention.value_length": config.head_dim, "llama.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "llama.rope.dimension_count": config.head_dim, "llama.rope.freq_base": config.rope_theta,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm" if tokenizer.digits else "gpt-2",
        "tokenizer.ggml.tokens": texts, "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokenizer.merges],
        "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_space_prefix": False, "tokenizer.chat_template": template}
    return fields | {f"tokenizer.ggml.{place}_token_id": token for place, token in marks.items() if token is not None}


def pieces(config, tokenizer, name, marks, template, parts):
    """The pieces of the file; parts are the weights' values in the order of shapes(). Matrices are stored as F16."""
    fields = _described(config, tokenizer, name, marks, template)
    table = shapes(config)
    head = [struct.pack("<4sIQQ", b"GGUF", 3, len(table), len(fields))]
    head += [_text(key) + _value(value) for key, value in fields.items()]
    start = 0
    for full, shape in table.items():
        kind = _F32 if len(shape) == 1 else _F16
        head.append(_text(_name(full)) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, start))
        start += -(-math.prod(shape) * _BYTES[kind] // _ALIGNMENT) * _ALIGNMENT
    yield _padded(b"".join(head))
    for full, values in zip(table, parts):
        yield _padded(_rows(config, full, values).astype("<f4" if values.ndim == 1 else "<f2").tobytes())


def _padded(data):
    return data + b"\0" * (-len(data) % _ALIGNMENT)
