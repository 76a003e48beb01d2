"""Runs inside the environment of an official Python client: takes one call a line as JSON, gives its result or error back."""

import contextlib
import dataclasses
import datetime
import json
import os
import sys
import types

import huggingface_hub


def plain(value, depth=16):
    """A value as JSON can say it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth == 0:
        return repr(value)
    if isinstance(value, dict):
        return {str(key): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, BaseException):
        return str(value)
    if isinstance(value, (list, tuple, set, frozenset, types.GeneratorType)):
        return [plain(item, depth - 1) for item in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) or hasattr(value, "__dict__"):
        return plain(vars(value), depth - 1)
    return repr(value)


def call(name, arguments):
    """Call what the package has under this dotted name, or else its HfApi."""
    function = huggingface_hub
    try:
        for part in name.split("."):
            function = getattr(function, part)
    except AttributeError:
        function = getattr(huggingface_hub.HfApi(), name)
    return plain(function(**arguments))


def describe(error):
    response = getattr(error, "response", None)
    return {"classes": [one.__name__ for one in type(error).__mro__], "message": str(error),
            "status": response.status_code if response is not None else None}


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer = {"result": call(asked["call"], asked["arguments"])}
            except Exception as error:
                answer = {"error": describe(error)}
            print(json.dumps(answer), file=answers, flush=True)


main()
