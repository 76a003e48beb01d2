"""Calls every function of the library with nothing: NULL and 0 everywhere, then with a true handle first. What must not be NULL
has to be refused, and nothing may crash; the last name that was printed is the function that did."""

import ctypes
import json
import tempfile

from package import ROOT, read_text
from tenon import _abi
from tenon._library import library

import tenon

FREES = ("_free", "_ref")
# With a handle these wait for ever, or change what the others need.
LEFT_OUT = {"tenon_context_step"}


def nothing(kind):
    return 0 if kind in (ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_size_t) else None


def wants_something(function):
    """Whether a parameter behind the first is a pointer that may not be NULL."""
    return any("*" in parameter["type"] and not parameter.get("nullable") for parameter in function["parameters"][1:])


def call(function, *first):
    name = function["name"]
    print(name, *first, flush=True)
    result, kinds = _abi.PROTOTYPES[name]
    given = list(first) + [nothing(kind) for kind in kinds[len(first):]]
    return getattr(library, name)(*given)


def main():
    functions = [function for function in json.loads(read_text(ROOT, "bindings", "tenon.json"))["functions"]
                 if library.has(function["name"])]
    for function in functions:
        status = call(function)
        fails = function["return"].get("kind") == "status" and "*" in str(function.get("parameters"))
        assert not fails or status < 0, (function["name"], status)
    with tempfile.TemporaryDirectory() as home:
        context = tenon.Context({"home": home, "hub.endpoint": f"file://{home}"}, environment=False)
        handles = {"tenon_context": context}
        if library.has("tenon_hub_open"):
            handles["tenon_hub"] = tenon.Hub(context=context)
            handles["tenon_task"] = handles["tenon_hub"].start_cached()
        if library.has("tenon_accelerator_open"):
            handles["tenon_accelerator"] = tenon.Accelerator("local:cpu", context=context)
        for function in functions:
            first = (function.get("parameters") or [{}])[0].get("of")
            if first not in handles or function["name"].endswith(FREES) or function["name"] in LEFT_OUT:
                continue
            if function["return"].get("kind") == "status" and wants_something(function):
                status = call(function, handles[first]._pointer)
                assert status != 0, function["name"]


main()
