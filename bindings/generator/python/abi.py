"""Writes _abi.py: constants, structs, prototypes, rows and errors, as the header has them."""

import re
from typing import List, Optional

from ..description import Description
from .names import HEAD, Names, call, docstring, short, wrapped

CTYPES = {"int32": "ctypes.c_int32", "uint32": "ctypes.c_uint32", "int64": "ctypes.c_int64", "uint64": "ctypes.c_uint64",
          "uint8": "ctypes.c_uint8", "double": "ctypes.c_double", "size": "ctypes.c_size_t", "status": "ctypes.c_int32",
          "text": "ctypes.c_char_p", "texts": "ctypes.POINTER(ctypes.c_char_p)", "pointer": "ctypes.c_void_p",
          "bytes": "ctypes.c_void_p", "handle": "ctypes.c_void_p"}

IMPORTS = '''import ctypes
import enum
from dataclasses import dataclass
from typing import Optional, Tuple

from ._base import (Numbered, Row, TenonError, to_constant, to_known, to_known_real, to_known_truth, to_number, to_text,
                    to_truth)

VERSION = "{version}"
'''


class AbiWriter:
    def __init__(self, description: Description):
        self.description = description
        self.names = Names(description)

    def write(self) -> str:
        head = HEAD.format(summary="The C interface of libtenon for ctypes.")
        lines = [head + IMPORTS.format(version=self.description["version"])]
        lines += call(0, "__all__ = [", [f'"{name}"' for name in self.public()], "]") + [""]
        for group in self.description["constants"]:
            lines += self.enum(group)
        lines += self.errors()
        for struct in self.description["structs"]:
            lines += self.struct(struct)
        for struct in self.rows():
            lines += self.row(struct)
        lines += ["", "# What each function returns and takes.", "PROTOTYPES = {"]
        for function in self.description["functions"]:
            lines += self.prototype(function)
        return "\n".join(lines + ["}"]) + "\n"

    def public(self) -> List[str]:
        """What a user of the package sees of this module."""
        statuses = self.names.groups["status"]["values"]
        errors = [self.names.error(constant["name"]) for constant in statuses if constant["value"] < 0]
        return [*self.names.enums.values(), *errors, *[self.names.row(row["name"]) for row in self.rows()]]

    # ---- constants and errors ----

    def enum(self, group: Description) -> List[str]:
        base = "enum.IntFlag" if group.get("flags") else "Numbered"
        name = self.names.enums[group["group"]]
        lines = ["", f"class {name}({base}):", *docstring(4, self.names.prose(group["doc"])), ""]
        for constant in group["values"]:
            lines += wrapped("# " + self.names.prose(constant["doc"]), 4, 0, "# ")
            lines += [f"    {self.names.constant(group, constant['name'])} = {constant['value']}"]
        return lines + [""]

    def errors(self) -> List[str]:
        group = self.names.groups["status"]
        lines: List[str] = []
        for constant in group["values"]:
            if constant["value"] < 0:
                status = f"{self.names.enums['status']}.{self.names.constant(group, constant['name'])}"
                lines += ["", f"class {self.names.error(constant['name'])}(TenonError):",
                          *docstring(4, self.names.prose(constant["doc"])), "", f"    status = {status}", ""]
        return lines

    # ---- structs ----

    def ctype(self, value: Description) -> str:
        """The ctypes type of a value; of what goes out, the pointer that it goes through."""
        kind, depth = value.get("kind"), value["type"].count("*")
        if kind == "callback":
            types = [self.ctype(value["callback"]["return"])] + [self.ctype(part) for part in value["callback"]["parameters"]]
            return f"ctypes.CFUNCTYPE({', '.join(types)})"
        if kind is None:
            return "None"
        if kind == "struct":
            return f"ctypes.POINTER({value['of']})"
        through_pointer = depth > {"text": 1, "texts": 2, "handle": 1, "pointer": 1, "bytes": 1}.get(kind, 0)
        return f"ctypes.POINTER({CTYPES[kind]})" if through_pointer else CTYPES[kind]

    def struct(self, struct: Description) -> List[str]:
        lines = ["", f"class {struct['name']}(ctypes.Structure):", "    _fields_ = ["]
        for field in struct["fields"]:
            lines += call(8, "(", [f'"{field["name"]}"', self.ctype(field)], "),")
        return lines + ["    ]", ""]

    def prototype(self, function: Description) -> List[str]:
        types = [self.ctype(parameter) for parameter in function.get("parameters", ())]
        comma = "," if len(types) == 1 else ""
        return call(4, f'"{function["name"]}": ({self.ctype(function["return"])}, (', types, f"{comma})),")

    # ---- rows ----

    def rows(self) -> List[Description]:
        """The rows; one that holds others comes behind them."""
        rows = [struct for struct in self.description["structs"] if struct["kind"] == "row"]
        return sorted(rows, key=lambda row: "children" in row)

    def column(self, field: Description) -> Optional[List[str]]:
        """The type of a row's field, and what makes it from the C value."""
        known = "unknown" in field
        if field["name"] == "struct_size" or field.get("reserved"):
            return None
        if "values" in field:
            name = self.names.enums[field["values"]]
            return [name, f"to_constant({name})"]
        if field["kind"] == "text":
            return ["str", "to_text"]
        if field["kind"] == "double":
            return ["Optional[float]", "to_known_real"]
        if field.get("boolean"):
            return ["Optional[bool]", "to_known_truth"] if known else ["bool", "to_truth"]
        return ["Optional[int]", "to_known"] if known else ["int", "to_number"]

    def row(self, struct: Description) -> List[str]:
        columns = [(field, self.column(field)) for field in struct["fields"] if self.column(field)]
        children = [(plural(short(child["function"]).split("_", 2)[2]), self.names.row(child["of"]))
                    for child in struct.get("children", ())]
        entries = [f"{field['name']}: {self.prose(field)}" for field, _ in columns]
        entries += [f"{name}: a {kind} for each" for name, kind in children]
        lines = ["", "@dataclass(frozen=True)", f"class {self.names.row(struct['name'])}(Row):",
                 *docstring(4, self.names.prose(struct["doc"]), "", entries), ""]
        lines += [f"    {field['name']}: {column[0]}" for field, column in columns]
        lines += [f"    {name}: Tuple[{kind}, ...]" for name, kind in children]
        lines += ["", f"    _struct = {struct['name']}", "    _columns = ("]
        lines += [f"        (\"{field['name']}\", {column[1]})," for field, column in columns]
        return lines + ["    )", ""]

    def prose(self, field: Description) -> str:
        """What a field says, where what is unknown is None."""
        doc = self.names.prose(field["doc"])
        doc = re.sub(r"-1 (unknown|not yet)", r"None: \1", doc)
        return doc.replace("-1 ", "None ") if "unknown" in field else doc


def plural(word: str) -> str:
    """reason becomes reasons; memory is many already."""
    return word if word == "memory" else word + "s"


def write(description: Description) -> str:
    return AbiWriter(description).write()
