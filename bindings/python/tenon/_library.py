"""Finds libtenon, loads it, and gives every function of the header its types."""

import ctypes
import ctypes.util
import os
from typing import Any, Callable, Tuple

from . import _abi


class Library:
    """The functions of libtenon, each with its types set; one that an older library lacks raises UnsupportedError."""

    tenon_version: Callable[[], bytes]

    def __init__(self) -> None:
        self._path, self._library = _load()
        for name, (result, arguments) in _abi.PROTOTYPES.items():
            setattr(self, name, self._function(name, result, arguments))
        version = self.tenon_version().decode()
        if version.split(".")[0] != _abi.VERSION.split(".")[0]:
            raise ImportError(f"{self._path} is libtenon {version}, but this package is made for {_abi.VERSION}")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this package knows no function {name}")

    def has(self, name: str) -> bool:
        """Whether the library that is loaded has this function."""
        return hasattr(self._library, name)

    def _function(self, name: str, result: Any, arguments: Tuple[Any, ...]) -> Callable[..., Any]:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            if name == "tenon_version":
                raise ImportError(f"{self._path} is not libtenon") from None
            return self._absent(name)
        function.restype = result
        function.argtypes = arguments
        return function  # type: ignore[no-any-return]

    def _absent(self, name: str) -> Callable[..., Any]:
        def absent(*arguments: Any) -> Any:
            version = self.tenon_version().decode()
            raise _abi.UnsupportedError(f"libtenon {version} ({self._path}) has no {name}", "Load a newer libtenon.")
        return absent


def _load() -> Tuple[str, ctypes.CDLL]:
    """The library that TENON_LIBRARY names, else the one beside this package, else the system's."""
    named = os.environ.get("TENON_LIBRARY")
    folder = os.path.dirname(os.path.abspath(__file__))
    beside = [os.path.join(folder, name) for name in ("libtenon.so.0", "libtenon.so", "libtenon.0.dylib", "libtenon.dylib")]
    paths = [path for path in beside if os.path.exists(path)] + [ctypes.util.find_library("tenon") or "libtenon.so.0"]
    reasons = []
    for path in [named] if named else paths:
        try:
            return path, ctypes.CDLL(path)
        except OSError as error:
            reasons.append(str(error))
    raise ImportError("libtenon cannot be loaded (" + "; ".join(reasons) + "). Install it, or set TENON_LIBRARY to its path.")


library = Library()
