"""Values on their way into the library."""

import ctypes
import json
import os
from typing import Any, Iterable, Mapping, Optional, Sequence, Type, TypeVar, Union

from . import _abi
from ._base import Numbered, Row

Text = Union[str, "os.PathLike[str]"]
Texts = Union[str, Iterable[str], Mapping[str, object]]
Document = Union[str, "os.PathLike[str]", Mapping[str, Any], Sequence[Any]]

E = TypeVar("E", bound=Numbered)


def text(value: Optional[Text]) -> Optional[bytes]:
    """A text or a path as the library takes it."""
    if value is None:
        return None
    plain = os.fspath(value)
    data = plain if isinstance(plain, bytes) else plain.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ValueError("a text for tenon cannot hold a NUL character")
    return data


def document(value: Optional[Document]) -> Optional[bytes]:
    """A JSON document: as text, as a path where the library takes one, or as what json.dumps understands."""
    if value is None or isinstance(value, (str, os.PathLike)):
        return text(value)
    return text(json.dumps(value))


def texts(value: Optional[Texts]) -> Any:
    """A list of texts that ends with NULL; a mapping becomes "key=value"; a single text is a list of one."""
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        items: Iterable[Any] = [value]
    elif isinstance(value, Mapping):
        items = [f"{key}={part}" for key, part in value.items()]
    else:
        items = value
    data = [text(item) for item in items]
    return (ctypes.c_char_p * (len(data) + 1))(*data, None)


def choice(kind: Type[E], value: Union[E, int, str]) -> int:
    """A constant of an enumeration, also by its name in any case, or as a number that only the library knows."""
    if not isinstance(value, str):
        return int(value)
    try:
        return int(kind[value.upper()])
    except KeyError:
        names = ", ".join(name.lower() for name in kind.__members__)
        raise _abi.ArgumentError(f'"{value}" is none of: {names}') from None


def options(kind: Type[ctypes.Structure], **values: Any) -> ctypes.Structure:
    """An options struct; what is None keeps the default of the library."""
    struct = kind(struct_size=ctypes.sizeof(kind))
    for name, value in values.items():
        if isinstance(value, ctypes.Array):
            value = ctypes.cast(value, ctypes.POINTER(ctypes.c_char_p))
        value = getattr(value, "_pointer", value)
        if value is not None:
            setattr(struct, name, value)
    return struct


def row_struct(kind: Type[Row]) -> ctypes.Structure:
    return kind._struct(struct_size=ctypes.sizeof(kind._struct))
