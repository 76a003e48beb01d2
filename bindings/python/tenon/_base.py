"""What the generated declarations stand on: enumerations, rows and errors."""

import ctypes
import enum
import math
from typing import Any, Callable, ClassVar, Dict, List, Optional, Tuple, Type, TypeVar

from . import _look

N = TypeVar("N", bound="Numbered")
R = TypeVar("R", bound="Row")


class Numbered(enum.IntEnum):
    """An enumeration of the library; a value that this version does not know is its 0."""

    @classmethod
    def _missing_(cls: Type[N], value: object) -> Optional[N]:
        return cls(0) if isinstance(value, int) and 0 in cls._value2member_map_ else None

    def __str__(self) -> str:
        """Its name as arguments take it, such as "running"."""
        return self.name.lower()

    __format__ = enum.Enum.__format__  # f"{state}" reads as str(state) does


# ---- values of a row; None stands for a field that the loaded library does not fill ----

def to_text(value: Optional[bytes]) -> str:
    return value.decode("utf-8", "surrogateescape") if value else ""


def to_number(value: Optional[int]) -> int:
    return value or 0


def to_known(value: Optional[int]) -> Optional[int]:
    return None if value is None or value == -1 else value


def to_constant(kind: Type[N]) -> Callable[[Optional[int]], N]:
    return lambda value: kind(value or 0)


def to_truth(value: Optional[int]) -> bool:
    return bool(value)


def to_known_truth(value: Optional[int]) -> Optional[bool]:
    return None if value is None or value == -1 else bool(value)


def to_known_real(value: Optional[float]) -> Optional[float]:
    return None if value is None or math.isnan(value) else value


class Row:
    """One row that the library gave: a copy, which lives as long as it likes. Printed, it reads as a line for people."""

    _struct: ClassVar[Type[ctypes.Structure]]
    """How each field of the class is made from the field of the same name in the struct."""
    _columns: ClassVar[Tuple[Tuple[str, Callable[[Any], Any]], ...]]

    @classmethod
    def _read(cls: Type[R], struct: ctypes.Structure, *children: Any) -> R:
        filled = struct.struct_size
        values = [convert(getattr(struct, name) if getattr(cls._struct, name).offset < filled else None)
                  for name, convert in cls._columns]
        return cls(*values, *children)

    def __str__(self) -> str:
        return _look.line(self)


class TenonError(Exception):
    """Something failed. The class says what in general, the message what exactly, and the hint what to do about it."""

    status: int = 0
    _classes: ClassVar[Dict[int, Type["TenonError"]]] = {}

    def __init__(self, message: str = "", hint: str = "", code: str = "", request_id: str = "", http_status: int = 0,
                 system_error: int = 0, retry_after_ms: Optional[int] = None):
        super().__init__(message, hint, code, request_id, http_status, system_error, retry_after_ms)
        self.message = message
        self.hint = hint
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.system_error = system_error
        self.retry_after_ms = retry_after_ms
        """The rows that came before the failure, where a call returns rows."""
        self.rows: List[Any] = []

    def __init_subclass__(cls) -> None:
        TenonError._classes.setdefault(cls.status, cls)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    @staticmethod
    def _make(status: int, message: str = "", *details: Any) -> "TenonError":
        """The error of a status; without a message it says what the status means."""
        kind = TenonError._classes.get(status, TenonError)
        error = kind(message or (kind.__doc__ or "").split("\n")[0], *details)
        error.status = status
        return error
