"""The Llama architecture a second time, one position and one head at a time, to judge the workload's own by.

Written from the formulas: pairs of elements are complex numbers, and a position turns them.
"""

import numpy as np


def _norm(x, weight, epsilon):
    return x / np.sqrt(np.mean(x ** 2) + epsilon) * weight


def _turn(head, position, theta):
    half = len(head) // 2
    turned = (head[:half] + 1j * head[half:]) * np.exp(1j * position * theta ** (-np.arange(half) / half))
    return np.concatenate((turned.real, turned.imag))


def _attend(queries, keys, values, config):
    """Of the last position: each head looks at all positions so far."""
    share = config.num_attention_heads // config.num_key_value_heads
    position, result = len(keys) - 1, []
    for head, query in enumerate(queries):
        turned = _turn(query, position, config.rope_theta)
        scores = [turned @ _turn(key[head // share], at, config.rope_theta) for at, key in enumerate(keys)]
        shares = np.exp(np.array(scores) / np.sqrt(config.head_dim))
        result.append(sum(part * value[head // share] for part, value in zip(shares / shares.sum(), values)))
    return np.concatenate(result)


def logits(config, weights, tokens):
    """Logits [time, vocabulary] of one row of tokens; weights by their names in the file."""
    weights = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    rows = [weights["model.embed_tokens.weight"][token] for token in tokens]
    for i in range(config.num_hidden_layers):
        w = {name.split(".")[-2]: weight for name, weight in weights.items() if f".layers.{i}." in name}
        keys, values, after = [], [], []
        for x in rows:
            normal = _norm(x, w["input_layernorm"], config.rms_norm_eps)
            keys.append((w["k_proj"] @ normal).reshape(config.num_key_value_heads, -1))
            values.append((w["v_proj"] @ normal).reshape(config.num_key_value_heads, -1))
            queries = (w["q_proj"] @ normal).reshape(config.num_attention_heads, -1)
            x = x + w["o_proj"] @ _attend(queries, keys, values, config)
            normal = _norm(x, w["post_attention_layernorm"], config.rms_norm_eps)
            gate = w["gate_proj"] @ normal
            after.append(x + w["down_proj"] @ (gate / (1 + np.exp(-gate)) * (w["up_proj"] @ normal)))
        rows = after
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return np.array([head @ _norm(x, weights["model.norm.weight"], config.rms_norm_eps) for x in rows])
