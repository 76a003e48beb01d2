"""The Llama architecture in numpy: forward, backward, and a key-value cache for generation.

Names, shapes and conventions are those of LlamaForCausalLM in Transformers. Most products go through einsum: it is
faster than the BLAS that Debian installs with numpy, and it needs one thread.
"""

import dataclasses
import functools
import math
import os

# A BLAS reads this when numpy loads it. More threads than tenon gave would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("TENON_THREADS", "1"))

import numpy as np


@dataclasses.dataclass(frozen=True)
class Config:
    """The fields of config.json that decide what is computed; the defaults are the example's own model."""

    vocab_size: int = 259
    hidden_size: int = 64
    intermediate_size: int = 160
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 16
    max_position_embeddings: int = 256
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    initializer_range: float = 0.08
    tie_word_embeddings: bool = True


def shapes(config):
    """Name and shape of every weight, in the order in which they lie in memory and in the file."""
    c = config
    queries, keys = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    result = {"model.embed_tokens.weight": (c.vocab_size, c.hidden_size)}
    for i in range(c.num_hidden_layers):
        layer = f"model.layers.{i}."
        result[layer + "input_layernorm.weight"] = (c.hidden_size,)
        result[layer + "self_attn.q_proj.weight"] = (queries, c.hidden_size)
        result[layer + "self_attn.k_proj.weight"] = (keys, c.hidden_size)
        result[layer + "self_attn.v_proj.weight"] = (keys, c.hidden_size)
        result[layer + "self_attn.o_proj.weight"] = (c.hidden_size, queries)
        result[layer + "post_attention_layernorm.weight"] = (c.hidden_size,)
        result[layer + "mlp.gate_proj.weight"] = (c.intermediate_size, c.hidden_size)
        result[layer + "mlp.up_proj.weight"] = (c.intermediate_size, c.hidden_size)
        result[layer + "mlp.down_proj.weight"] = (c.hidden_size, c.intermediate_size)
    result["model.norm.weight"] = (c.hidden_size,)
    if not c.tie_word_embeddings:
        result["lm_head.weight"] = (c.vocab_size, c.hidden_size)
    return result


class Parameters:
    """All weights, or all their gradients: one flat vector, and views of it by full name and by layer."""

    def __init__(self, config, dtype=np.float32):
        table = shapes(config)
        sizes = [math.prod(shape) for shape in table.values()]
        self.flat = np.zeros(sum(sizes), dtype)
        parts = np.split(self.flat, np.cumsum(sizes)[:-1])
        self.by_name = {name: part.reshape(shape) for (name, shape), part in zip(table.items(), parts)}
        self.embedding = self.by_name["model.embed_tokens.weight"]
        self.norm = self.by_name["model.norm.weight"]
        self.head = self.embedding if config.tie_word_embeddings else self.by_name["lm_head.weight"]
        self.layers = [self._layer(f"model.layers.{i}.") for i in range(config.num_hidden_layers)]

    def _layer(self, prefix):
        return {name.split(".")[-2]: part for name, part in self.by_name.items() if name.startswith(prefix)}


def random_weights(config, seed):
    """Uniform values, because they are the same bits on every machine; norms begin at one."""
    weights = Parameters(config)
    spread = np.float32(config.initializer_range * 3 ** 0.5)
    random = np.random.default_rng(seed)
    for part in weights.by_name.values():
        part[...] = 1 if part.ndim == 1 else (random.random(part.shape, np.float32) * 2 - 1) * spread
    return weights


class Cache:
    """Keys and values of the tokens that a generation has seen."""

    def __init__(self, config, capacity):
        shape = (config.num_hidden_layers, 1, config.num_key_value_heads, capacity, config.head_dim)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.length = 0

    def extend(self, layer, key, value):
        """Adds a layer's new keys and values, and returns them all."""
        end = self.length + key.shape[2]
        self.keys[layer, :, :, self.length:end] = key
        self.values[layer, :, :, self.length:end] = value
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


# Below, a function returns its result and what its _back function needs. The _back function takes the gradient of the
# result, adds the gradients of the weights, and returns the gradient of the input.

def dense(x, weight):
    return np.einsum("bti,oi->bto", x, weight)


def dense_back(d, x, weight, gradient):
    rows = d.reshape(-1, d.shape[-1])
    gradient += np.einsum("no,ni->oi", rows, x.reshape(-1, x.shape[-1]))
    return np.einsum("no,oi->ni", rows, weight).reshape(x.shape)


def norm(x, weight, epsilon):
    scale = 1 / np.sqrt(np.mean(x * x, -1, keepdims=True) + x.dtype.type(epsilon))
    normal = x * scale
    return normal * weight, (normal, scale)


def norm_back(d, kept, weight, gradient):
    normal, scale = kept
    gradient += np.sum(d * normal, (0, 1))
    d = d * weight
    return (d - normal * np.mean(d * normal, -1, keepdims=True)) * scale


def rotation(config, start, count, dtype):
    """Cosine and sine of the angles by which each position is rotated."""
    frequencies = config.rope_theta ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
    angles = np.arange(start, start + count)[:, None] * frequencies
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def rotate(x, cosine, sine):
    """Rotates the pairs of elements i and i + head_dim / 2."""
    first, second = np.split(x, 2, -1)
    return np.concatenate((first * cosine - second * sine, second * cosine + first * sine), -1)


def split_heads(x, size):
    """[batch, time, heads * size] to [batch, heads, time, size]."""
    return x.reshape(*x.shape[:2], -1, size).swapaxes(1, 2)


def join_heads(x):
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


def weighted_sum(shares, values):
    """shares @ values; einsum is fast when both lie one after the other along what is summed."""
    return np.einsum("bkts,bkds->bktd", shares, np.ascontiguousarray(values.swapaxes(2, 3)))


def softmax_causal(scores, count):
    """Scores [batch, heads, group * count, seen] of the last count positions to shares of what each may see."""
    seen = scores.shape[3]
    later = np.arange(seen) > np.arange(seen - count, seen)[:, None]
    scores = np.where(np.tile(later, (scores.shape[2] // count, 1)), -np.inf, scores)
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores


def attention(x, w, config, position, remember):
    """The query heads that share a key head are stacked along time: one product then serves them all."""
    size = config.head_dim
    query = rotate(split_heads(dense(x, w["q_proj"]), size), *position)
    key = rotate(split_heads(dense(x, w["k_proj"]), size), *position)
    key, value = remember(key, split_heads(dense(x, w["v_proj"]), size))
    stacked = query.reshape(len(x), config.num_key_value_heads, -1, size)
    scores = stacked @ key.swapaxes(2, 3) * x.dtype.type(size ** -0.5)
    shares = softmax_causal(scores, x.shape[1])
    mixed = join_heads(weighted_sum(shares, value).reshape(query.shape))
    return dense(mixed, w["o_proj"]), (x, stacked, key, value, shares, mixed)


def attention_back(d, kept, w, g, config, position):
    x, stacked, key, value, shares, mixed = kept
    d = split_heads(dense_back(d, mixed, w["o_proj"], g["o_proj"]), config.head_dim)
    heads, d = d.shape, d.reshape(stacked.shape)
    d_value = weighted_sum(np.ascontiguousarray(shares.swapaxes(2, 3)), d)
    d_scores = d @ value.swapaxes(2, 3)
    d_scores -= np.einsum("bkts,bkts->bkt", d_scores, shares)[..., None]
    d_scores *= shares
    d_scores *= x.dtype.type(config.head_dim ** -0.5)
    d_key = weighted_sum(np.ascontiguousarray(d_scores.swapaxes(2, 3)), stacked)
    d_query = weighted_sum(d_scores, key).reshape(heads)
    cosine, sine = position
    return (dense_back(join_heads(rotate(d_query, cosine, -sine)), x, w["q_proj"], g["q_proj"])
            + dense_back(join_heads(rotate(d_key, cosine, -sine)), x, w["k_proj"], g["k_proj"])
            + dense_back(join_heads(d_value), x, w["v_proj"], g["v_proj"]))


def mlp(x, w):
    gate, up = dense(x, w["gate_proj"]), dense(x, w["up_proj"])
    sigmoid = 1 / (1 + np.exp(-gate))
    hidden = gate * sigmoid * up
    return dense(hidden, w["down_proj"]), (x, gate, up, sigmoid, hidden)


def mlp_back(d, kept, w, g):
    x, gate, up, sigmoid, hidden = kept
    d = dense_back(d, hidden, w["down_proj"], g["down_proj"])
    d_gate = d * up * sigmoid * (1 + gate * (1 - sigmoid))
    d_up = d * gate * sigmoid
    return dense_back(d_gate, x, w["gate_proj"], g["gate_proj"]) + dense_back(d_up, x, w["up_proj"], g["up_proj"])


def layer(x, w, config, position, remember):
    normal, kept_1 = norm(x, w["input_layernorm"], config.rms_norm_eps)
    change, kept_2 = attention(normal, w, config, position, remember)
    x = x + change
    normal, kept_3 = norm(x, w["post_attention_layernorm"], config.rms_norm_eps)
    change, kept_4 = mlp(normal, w)
    return x + change, (kept_1, kept_2, kept_3, kept_4)


def layer_back(d, kept, w, g, config, position):
    kept_1, kept_2, kept_3, kept_4 = kept
    change = mlp_back(d, kept_4, w, g)
    d = d + norm_back(change, kept_3, w["post_attention_layernorm"], g["post_attention_layernorm"])
    change = attention_back(d, kept_2, w, g, config, position)
    return d + norm_back(change, kept_1, w["input_layernorm"], g["input_layernorm"])


def forward(config, weights, tokens, cache=None):
    """Logits [batch, time, vocabulary] of tokens [batch, time], which come after what is in the cache."""
    x = weights.embedding[tokens]
    position = rotation(config, cache.length if cache else 0, tokens.shape[1], x.dtype)
    kept = []
    for i, w in enumerate(weights.layers):
        remember = functools.partial(cache.extend, i) if cache else lambda key, value: (key, value)
        x, kept_layer = layer(x, w, config, position, remember)
        kept.append(kept_layer)
    if cache:
        cache.length += tokens.shape[1]
    normal, kept_norm = norm(x, weights.norm, config.rms_norm_eps)
    return dense(normal, weights.head), (tokens, position, kept, kept_norm, normal)


def backward(d, saved, config, weights, gradients):
    """Adds the gradients of all weights, given the gradient of the logits."""
    tokens, position, kept, kept_norm, normal = saved
    d = dense_back(d, normal, weights.head, gradients.head)
    d = norm_back(d, kept_norm, weights.norm, gradients.norm)
    for kept_layer, w, g in zip(reversed(kept), reversed(weights.layers), reversed(gradients.layers)):
        d = layer_back(d, kept_layer, w, g, config, position)
    np.add.at(gradients.embedding, tokens, d)


def cross_entropy(logits, targets):
    """Mean loss of the targets, and its gradient by the logits."""
    logits = logits - logits.max(-1, keepdims=True)
    shares = np.exp(logits)
    total = shares.sum(-1, keepdims=True)
    chosen = (*np.indices(targets.shape), targets)
    loss = np.mean(np.log(total[..., 0]) - logits[chosen])
    shares /= total
    shares[chosen] -= 1
    return float(loss), shares / shares.dtype.type(targets.size)


def loss_and_gradients(config, weights, tokens, targets):
    logits, saved = forward(config, weights, tokens)
    loss, d = cross_entropy(logits, targets)
    gradients = Parameters(config, weights.flat.dtype)
    backward(d, saved, config, weights, gradients)
    return loss, gradients
