"""Writes the version script of the library: one node for each version that brought symbols, oldest first."""

from itertools import groupby

from .description import Description


def version_key(version: str):
    return tuple(map(int, version.split(".")))


def write(description: Description) -> str:
    functions = sorted(description["functions"], key=lambda function: (version_key(function["since"]), function["name"]))
    nodes = []
    before = ""
    for since, group in groupby(functions, key=lambda function: function["since"]):
        names = "".join(f"    {function['name']};\n" for function in group)
        rest = "" if before else "  local:\n    *;\n"
        nodes.append(f"TENON_{since} {{\n  global:\n{names}{rest}}}{before};\n")
        before = f" TENON_{since}"
    return "\n".join(nodes)
