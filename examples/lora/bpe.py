"""Byte-level BPE as tokenizer.json describes it: from texts to tokens. Debian has no package of it."""

import os
import re
import sys
import unicodedata

from files import Refused, read_json

FILE = "tokenizer.json"
NORMAL, CONTROL, OWN, UNUSED = 1, 3, 4, 5  # what llama.cpp distinguishes


def _characters(category):
    """All characters of a category of Unicode, for the brackets of a pattern: Python's own \\w and \\d draw other lines."""
    there = "".join("x" if unicodedata.category(chr(i))[0] == category else " " for i in range(sys.maxunicode + 1))
    return "".join(f"{re.escape(chr(run.start()))}-{re.escape(chr(run.end() - 1))}" for run in re.finditer("x+", there))


_SPACES = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LETTERS, _NUMBERS = _characters("L"), _characters("N")
_DIGIT = re.compile(f"([{_NUMBERS}])")
_WORD = re.compile(f"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTERS}]+| ?[{_NUMBERS}]+| ?[^{_SPACES}{_LETTERS}{_NUMBERS}]+"
                   f"|[{_SPACES}]+(?![^{_SPACES}])|[{_SPACES}]+")


def _alphabet():
    """The character that stands for each byte: itself where it can be seen, else one of those from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


_ALPHABET = _alphabet()


def _splits_digits(path, found):
    """Whether numbers are split into digits before words are found; another way than these two is refused."""
    steps = found.get("pretokenizers", [found])
    kinds = [step.get("type") for step in steps]
    if kinds not in (["ByteLevel"], ["Digits", "ByteLevel"]) or steps[-1].get("add_prefix_space") is not False \
            or not steps[-1].get("use_regex", True) or not steps[0].get("individual_digits", True):
        raise Refused(f"{path}: texts are split in a way that this program does not know; it knows that of GPT-2 and of SmolLM")
    return len(kinds) == 2


class Tokenizer:
    def __init__(self, folder):
        path = os.path.join(folder, FILE)
        found = read_json(path)
        try:
            self._take(path, found, found["model"], found.get("added_tokens") or [])
        except (AttributeError, LookupError, TypeError, ValueError):
            raise Refused(f"{path} is not a tokenizer") from None
        self._known = {}

    def _take(self, path, found, model, added):
        if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("ignore_merges") or found.get("normalizer"):
            raise Refused(f"{path}: this program knows byte-level BPE only, as GPT-2, SmolLM and their kin have it")
        self.digits = _splits_digits(path, found.get("pre_tokenizer") or {})
        # A pair is "a b" in older files, ["a", "b"] in newer ones.
        self.merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._marks = {mark["content"]: mark["id"] for mark in added}
        self._special = {mark["id"] for mark in added if mark.get("special")}
        self._ids = {**model["vocab"], **self._marks}
        marks = sorted(map(re.escape, self._marks), key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(marks)})" if marks else "(?!)")

    def id_of(self, token):
        return self._ids.get(token)

    def encode(self, text):
        """Tokens of a text in which marks, as those between messages, are spelled out."""
        tokens = []
        for part in self._split.split(text):
            if part in self._marks:
                tokens.append(self._marks[part])
            else:
                for piece in _DIGIT.split(part) if self.digits else [part]:
                    for word in _WORD.findall(piece):
                        tokens += self._tokens_of(word)
        return tokens

    def _tokens_of(self, word):
        if word not in self._known:
            self._known[word] = [self._ids[part] for part in self._merge(word) if part in self._ids]
        return self._known[word]

    def _merge(self, word):
        """Joins neighbours as long as any may be joined, the earliest of the merges first."""
        parts, never = [_ALPHABET[byte] for byte in word.encode("utf-8", "replace")], len(self._ranks)
        while len(parts) > 1:
            rank, at = min((self._ranks.get(pair, never), at) for at, pair in enumerate(zip(parts, parts[1:])))
            if rank == never:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        return parts

    def listing(self, size):
        """Text and kind of each token, for a model that has so many."""
        texts, kinds = [f"[UNUSED{i}]" for i in range(size)], [UNUSED] * size
        for text, token in self._ids.items():
            if token >= size:
                raise Refused(f"{FILE} has token {token}, and the model {size} tokens only")
            texts[token] = text
            kinds[token] = NORMAL if text not in self._marks else CONTROL if token in self._special else OWN
        return texts, kinds
