"""Makes of SmolLM2-135M-Instruct as GGUF what its repository on the Hub has: config.json, model.safetensors in BF16,
tokenizer.json, tokenizer_config.json, generation_config.json. The weights are those of the GGUF file, rounded as
they are there.

    python smollm2.py FILE.gguf FOLDER       with the packages gguf, numpy, safetensors, tokenizers
"""

import json
import os
import sys

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors import TensorSpec, serialize_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL = 3  # type of a token that is no text


def name_of(tensor):
    parts = tensor.name.split(".")
    return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.weight" if parts[0] == "blk" else f"{OUTER[parts[0]]}.weight"


def in_order(weight, heads):
    """Rows as Transformers has them: llama.cpp turns pairs of neighbours, Transformers turns halves of a head."""
    return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def bfloat16(weight):
    """The upper half of each number, rounded to the nearest."""
    bits = np.ascontiguousarray(weight, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def write_weights(reader, heads, path):
    kept = {}
    for tensor in reader.tensors:
        name, weight = name_of(tensor), dequantize(tensor.data, tensor.tensor_type)
        for part, count in heads.items():
            weight = in_order(weight, count) if part in name else weight
        kept[name] = bfloat16(weight)
    serialize_file({name: TensorSpec(dtype="bfloat16", shape=weight.shape, data_ptr=weight.ctypes.data, data_len=weight.nbytes)
                    for name, weight in kept.items()}, path, {"format": "pt"})
    return list(kept)


def write_tokenizer(field, path):
    tokens, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(tokens[i], special=True) for i, kind in enumerate(types) if kind == CONTROL])
    tokenizer.save(path)
    return tokens


def main(source, folder):
    reader = GGUFReader(source)

    def field(key):
        return reader.fields[key].contents()

    def write(name, value):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2)

    os.makedirs(folder, exist_ok=True)
    heads, keys = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    names = write_weights(reader, {"q_proj": heads, "k_proj": keys}, os.path.join(folder, "model.safetensors"))
    tokens = write_tokenizer(field, os.path.join(folder, "tokenizer.json"))
    first, last = field("tokenizer.ggml.bos_token_id"), field("tokenizer.ggml.eos_token_id")
    write("config.json", {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": first,
        "eos_token_id": last, "hidden_act": "silu", "hidden_size": field("llama.embedding_length"),
        "intermediate_size": field("llama.feed_forward_length"), "max_position_embeddings": field("llama.context_length"),
        "mlp_bias": False, "model_type": "llama", "num_attention_heads": heads, "num_hidden_layers": field("llama.block_count"),
        "num_key_value_heads": keys, "rms_norm_eps": round(float(field("llama.attention.layer_norm_rms_epsilon")), 10),
        "rope_scaling": None, "rope_theta": int(field("llama.rope.freq_base")),
        "tie_word_embeddings": "lm_head.weight" not in names, "torch_dtype": "bfloat16", "vocab_size": len(tokens)})
    write("tokenizer_config.json", {
        "tokenizer_class": "GPT2Tokenizer", "bos_token": tokens[first], "eos_token": tokens[last], "pad_token": tokens[last],
        "model_max_length": field("llama.context_length"), "chat_template": field("tokenizer.chat_template")})
    write("generation_config.json", {"bos_token_id": first, "eos_token_id": last, "pad_token_id": last})


if __name__ == "__main__":
    main(*sys.argv[1:])
