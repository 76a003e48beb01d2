"""The Llama architecture in PyTorch, with adapters (LoRA) over the queries and values of its last layers.

Only the adapters learn. The layers below them are computed without remembering anything, so that training costs little more
memory than the weights.
"""

import math

import torch
from files import Refused
from torch.nn import functional

ADAPTED = ("q_proj", "v_proj")
SCALE = 2.0
_LARGEST = 65504.0  # of F16, as which weights are saved


def _turn(x, cosine, sine):
    """Turns the pairs of elements i and i + head_dim / 2, as each position wants it."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)


class Llama:
    def __init__(self, config, weights, rank, layers, seed):
        """weights are names and values as numpy has them; adapters go over the last so many layers."""
        self.config = config
        self.weights = {name: torch.tensor(values, dtype=torch.float32) for name, values in weights}
        self.adapters = {}
        torch.manual_seed(seed)
        for i in range(max(0, config.num_hidden_layers - layers), config.num_hidden_layers):
            for part in ADAPTED:
                name = f"model.layers.{i}.self_attn.{part}.weight"
                rows, columns = self.weights[name].shape
                # The product is zero at first, so that training begins with the model as it is.
                self.adapters[name] = (torch.nn.Parameter(torch.randn(rank, columns) / math.sqrt(rank)),
                                       torch.nn.Parameter(torch.zeros(rows, rank)))

    def parameters(self):
        return [part for pair in self.adapters.values() for part in pair]

    def logits(self, tokens, chosen):
        """Of rows of tokens, the logits at those places that are chosen."""
        x = self.weights["model.embed_tokens.weight"][tokens]
        time = tokens.shape[1]
        later = torch.full((time, time), -math.inf).triu(1)
        position = self._position(time)
        for i in range(self.config.num_hidden_layers):
            layer = f"model.layers.{i}."
            x = x + self._attention(self._norm(x, layer + "input_layernorm"), layer + "self_attn.", position, later)
            x = x + self._network(self._norm(x, layer + "post_attention_layernorm"), layer + "mlp.")
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self._dense(self._norm(x[chosen], "model.norm"), head)

    def merged(self):
        """The values of every weight with its adapter in it, in the order of the names."""
        for name, weight in self.weights.items():
            if name in self.adapters:
                down, up = self.adapters[name]
                weight = (weight + SCALE * up @ down).detach()
            if not (weight.max() <= _LARGEST and weight.min() >= -_LARGEST):
                raise Refused(f"{name} has become too large; try a lower learning rate")
            yield weight.numpy()

    def _position(self, time):
        size = self.config.head_dim
        angles = torch.arange(time)[:, None] * self.config.rope_theta ** (-torch.arange(0, size, 2) / size)
        return angles.cos(), angles.sin()

    def _dense(self, x, name):
        name += ".weight"
        result = x @ self.weights[name].T
        if name in self.adapters:
            down, up = self.adapters[name]
            result = result + SCALE * (x @ down.T) @ up.T
        return result

    def _norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps) * self.weights[name + ".weight"]

    def _attention(self, x, layer, position, later):
        size = self.config.head_dim

        def heads(name):
            return self._dense(x, layer + name).unflatten(-1, (-1, size)).transpose(1, 2)

        query, key, value = _turn(heads("q_proj"), *position), _turn(heads("k_proj"), *position), heads("v_proj")
        shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
        shares = (query @ key.transpose(2, 3) / math.sqrt(size) + later).softmax(-1)
        return self._dense((shares @ value).transpose(1, 2).flatten(2), layer + "o_proj")

    def _network(self, x, layer):
        gate, up = functional.silu(self._dense(x, layer + "gate_proj")), self._dense(x, layer + "up_proj")
        return self._dense(gate * up, layer + "down_proj")
