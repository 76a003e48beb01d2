"""Files that any model of the Llama architecture has on the Hub: config.json and model.safetensors, read with care and written whole."""

import dataclasses
import json
import math
import os
import struct
import sys

from model import Config, shapes

import numpy as np

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_MOST_HEADER = 100_000_000  # as the safetensors library has it
_MOST = 1 << 20  # of any whole number in config.json

# What config.json may say and this program does not compute, with the one value that it can work with.
FIXED = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "rope_scaling": None,
         "attention_dropout": 0.0, "pretraining_tp": 1}


class Refused(Exception):
    """An input cannot be used; the message is one line for the user."""


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise Refused(f"{path} is not JSON") from None
    if not isinstance(result, dict):
        raise Refused(f"{path} is not a JSON object")
    return result


def _value(path, found, field):
    """One field of config.json, as the type that its default has."""
    value = found.get(field.name, field.default)
    if field.type is float and type(value) is int:
        value = float(value)
    if type(value) is not field.type:
        raise Refused(f"{path}: {field.name} is not {'an' if field.type is int else 'a'} {field.type.__name__}")
    if field.type is not bool and not 0 < value <= (_MOST if field.type is int else sys.float_info.max):
        raise Refused(f"{path}: {field.name} is out of bounds")
    return value


def read_config(folder):
    path = os.path.join(folder, CONFIG)
    found = read_json(path)
    for name, expected in {**FIXED, "rope_parameters": None}.items():
        if found.get(name, expected) != expected:
            raise Refused(f"{path}: {name} is {json.dumps(found[name])}; this program knows {json.dumps(expected)} only")
    if found.get("head_dim") is None:
        found.pop("head_dim", None)
    values = {field.name: _value(path, found, field) for field in dataclasses.fields(Config)}
    if "head_dim" not in found:
        values["head_dim"] = values["hidden_size"] // values["num_attention_heads"]
    config = Config(**values)
    if config.num_attention_heads % config.num_key_value_heads or config.head_dim % 2 or config.head_dim == 0:
        raise Refused(f"{path}: the sizes of the attention heads do not fit together")
    return config


def _header(path, file):
    """The table of a safetensors file, and where its data begins and ends."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _MOST_HEADER + 1
    if length > min(size - 8, _MOST_HEADER):
        raise Refused(f"{path} is cut off, or is not a safetensors file")
    try:
        table = json.loads(file.read(length))
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise Refused(f"{path} is broken: its header is not a JSON object")
    return table, 8 + length, size


def _decode(data, kind):
    if kind == "BF16":  # the upper half of an F32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[kind])


def _read_tensor(path, file, entry, name, shape, data_start, data_end):
    """One weight, when the table's entry is what the model needs and lies inside the file."""
    kind = entry.get("dtype") if isinstance(entry, dict) else None
    if kind not in ("F32", "F16", "BF16"):
        raise Refused(f"{path}: {name} is missing, or is not F32, F16 or BF16")
    if entry.get("shape") != list(shape):
        raise Refused(f"{path}: the shape of {name} is {entry.get('shape')}, not {list(shape)}")
    offsets, size = entry.get("data_offsets"), math.prod(shape) * (4 if kind == "F32" else 2)
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(offset) is int for offset in offsets)
            and 0 <= offsets[0] and offsets[1] - offsets[0] == size and data_start + offsets[1] <= data_end):
        raise Refused(f"{path} is broken or cut off at {name}")
    file.seek(data_start + offsets[0])
    data = file.read(size)
    if len(data) != size:
        raise Refused(f"{path} is cut off at {name}")
    return _decode(data, kind).reshape(shape)


def tensors(folder, config):
    """Name and values of every weight, in the order of shapes()."""
    path = os.path.join(folder, WEIGHTS)
    try:
        with open(path, "rb") as file:
            table, start, end = _header(path, file)
            if 2 * sum(math.prod(shape) for shape in shapes(config).values()) > end - start:
                raise Refused(f"{path} is cut off, or {CONFIG} is of a larger model")
            if config.tie_word_embeddings and "lm_head.weight" in table:
                raise Refused(f"{path} has lm_head.weight, and {CONFIG} says that the embedding stands for it")
            for name, shape in shapes(config).items():
                values = _read_tensor(path, file, table.get(name), name, shape, start, end)
                if not np.isfinite(values).all():
                    raise Refused(f"{path}: {name} holds values that are not finite")
                yield name, values
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None


def safetensors(config, parts, kind="F32"):
    """The pieces of a file of weights; parts are their values in the order of shapes()."""
    table, start, size = {"__metadata__": {"format": "pt"}}, 0, {"F32": 4, "F16": 2}[kind]
    for name, shape in shapes(config).items():
        table[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, start + size * math.prod(shape)]}
        start = table[name]["data_offsets"][1]
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    yield struct.pack("<Q", len(header)) + header
    for part in parts:
        yield part.astype(f"<f{size}").tobytes()


def as_json(value):
    return [(json.dumps(value, indent=2) + "\n").encode()]


def replace(path, pieces):
    """The file is the old one or the whole new one, whenever the program or the machine stops."""
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
