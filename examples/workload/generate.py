"""Continues a text token by token."""

import numpy as np

import tokens
from model import Cache, forward


def choose(logits, temperature, top_p, random):
    """The next token: the likeliest one at temperature 0, else one drawn from those that make up top_p together."""
    if temperature == 0:
        return int(logits.argmax())
    with np.errstate(over="ignore"):  # a temperature close to 0 takes all but the likeliest to minus infinity
        shares = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    allowed = order[:max(1, np.count_nonzero(before < top_p))]
    return int(random.choice(allowed, p=shares[allowed] / shares[allowed].sum()))


def generate(config, weights, prompt, limit, temperature=0, top_p=1, seed=None):
    """Yields bytes until the model sets a mark, at most so many."""
    random = np.random.default_rng(seed)
    cache = Cache(config, len(prompt) + limit)
    news = prompt
    for _ in range(limit):
        logits, _ = forward(config, weights, np.array([news]), cache)
        token = choose(logits[0, -1], temperature, top_p, random)
        if token >= tokens.END:
            break
        yield token
        news = [token]


class Answer:
    """The text that follows a prompt, in pieces, up to a mark, a stop text or the limit."""

    def __init__(self, config, weights, prompt, limit, stops=(), **sampling):
        self.prompt_tokens, self.completion_tokens, self.finish_reason = len(prompt), 0, "stop"
        self._limit, self._stops = limit, stops
        self._tokens = generate(config, weights, prompt, limit, **sampling)

    def pieces(self):
        """Text that may yet turn out to be the beginning of a stop text is held back."""
        decoder, held = tokens.Decoder(), ""
        for token in self._tokens:
            self.completion_tokens += 1
            held += decoder.feed(token)
            found = [held.index(stop) for stop in self._stops if stop in held]
            if found:
                yield held[:min(found)]
                return
            ready = len(held) - self._doubtful(held)
            yield held[:ready]
            held = held[ready:]
        if self.completion_tokens == self._limit:
            self.finish_reason = "length"
        yield held + decoder.finish()

    def _doubtful(self, text):
        """Length of the longest end of the text that a stop text begins with."""
        return max((n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
