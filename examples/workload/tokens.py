"""Bytes as tokens: ids 0 to 255 are the bytes of the text, the ids after them are the marks of a conversation."""

import codecs
import re

import numpy as np

MARKS = ("<|end|>", "<|user|>", "<|assistant|>")
END, USER, ASSISTANT = range(256, 256 + len(MARKS))
VOCABULARY = 256 + len(MARKS)

_MARK = re.compile(b"(" + b"|".join(re.escape(mark.encode()) for mark in MARKS) + b")")

# The same as chat() below, for other programs that use the model.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}<|user|>{{ message.content }}"
    "{% elif message.role == 'assistant' %}<|assistant|>{{ message.content }}<|end|>{{ '\\n\\n' }}"
    "{% else %}{{ message.content }}{{ '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}")


def encode(text):
    """Tokens of a text without marks: what only looks like a mark is plain bytes."""
    return list(text.encode("utf-8", "replace"))


def encode_marked(data):
    """Tokens of bytes in which marks are spelled out."""
    parts = []
    for part in _MARK.split(data):
        mark = part.decode("latin-1")
        parts.append(np.array([256 + MARKS.index(mark)], np.uint16) if mark in MARKS else np.frombuffer(part, np.uint8))
    return np.concatenate(parts).astype(np.uint16)


def turn(role, content):
    """Tokens of one message."""
    if role == "user":
        return [USER, *encode(content)]
    if role == "assistant":
        return [ASSISTANT, *encode(content), END, *encode("\n\n")]
    return encode(content + "\n\n")


def chat(messages, room):
    """Tokens of a conversation that an answer follows; the oldest messages are left out where there is no room."""
    tokens = [ASSISTANT]
    for index, (role, content) in enumerate(reversed(messages)):
        message = turn(role, content)
        if index > 0 and len(message) + len(tokens) > room:
            break
        tokens = message + tokens
    return tokens


class Decoder:
    """Text of tokens that come one by one; a character appears when its last byte is there."""

    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token):
        return self._decoder.decode(bytes([token]))

    def finish(self):
        return self._decoder.decode(b"", final=True)


def tokenizer():
    """The same tokens as a tokenizer.json: no character is in its vocabulary, so each falls back to its bytes."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": 256 + i, "content": mark, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for i, mark in enumerate(MARKS)],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": True,
            "vocab": {f"<0x{i:02X}>": i for i in range(256)} | {mark: 256 + i for i, mark in enumerate(MARKS)},
            "merges": []},
    }


def tokenizer_config(config):
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "clean_up_tokenization_spaces": False,
        "eos_token": MARKS[0],
        "chat_template": CHAT_TEMPLATE,
    }
