"""Writes JSON so that a person can read it and a diff stays small: what fits on a line is on one line."""

import json

WIDTH = 200


def write(value: object) -> str:
    return _write(value, 0, 0) + "\n"


def _write(value: object, depth: int, used: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or depth + used + len(line) <= WIDTH and not _is_nested(value):
        return line
    margin = " " * (depth + 1)
    if isinstance(value, dict):
        heads = [json.dumps(key, ensure_ascii=False) + ": " for key in value]
        parts = [head + _write(part, depth + 1, len(head)) for head, part in zip(heads, value.values())]
        opening, closing = "{", "}"
    else:
        parts = [_write(part, depth + 1, 0) for part in value]
        opening, closing = "[", "]"
    return opening + "\n" + ",\n".join(margin + part for part in parts) + "\n" + " " * depth + closing


def _is_nested(value: object) -> bool:
    """Whether lists or objects stand inside, which deserve lines of their own."""
    inside = value.values() if isinstance(value, dict) else value
    return any(isinstance(part, (dict, list)) and part for part in inside)
