"""Turns a header into the description that bindings are made from: dicts and lists, as bindings/tenon.json holds them.

What is false, empty or absent is left out. Beside what the header says word by word, the description says what follows from
it: the kind of each value, the constants that a number takes its values from, what a number stands for that means "unknown",
and which function takes the rows of a task."""

import re
from typing import Dict, List, Optional

from .header import Comment, Enum, Field, Function, Header, Parameter, Struct
from .rules import RESULTS, VALUES, pointee, starts_task

Description = Dict[str, object]

PLAIN_KINDS = {"int32_t": "int32", "uint32_t": "uint32", "int64_t": "int64", "uint64_t": "uint64", "uint8_t": "uint8",
               "double": "double", "size_t": "size", "size_t *": "size", "tenon_status": "status", "const char *": "text",
               "const char **": "text", "const char *const *": "texts", "void *": "pointer", "uint8_t *": "bytes", "void": ""}


def drop_empty(entry: Description) -> Description:
    return {key: value for key, value in entry.items() if value not in (None, False, "", [], {})}


class Describer:
    def __init__(self, header: Header):
        self.header = header
        self.handles = {handle.name for handle in header.handles}
        self.structs = {struct.name: struct for struct in header.structs}
        self.functions = {function.name: function for function in header.functions}
        self.groups = {enum.name: self.group_name(enum) for enum in header.enums}

    def whole(self) -> Description:
        header = self.header
        return {
            "version": ".".join(map(str, header.version)),
            "types": [drop_empty({"name": alias.name, "type": alias.type, "values": self.values_of_alias(alias.name),
                                  **self.head(alias.comment)}) for alias in header.aliases],
            "handles": [{"name": handle.name, "ref": handle.name + "_ref", "free": handle.name + "_free",
                         **self.head(handle.comment)} for handle in header.handles],
            "constants": [self.enum(enum) for enum in header.enums],
            "structs": [self.struct(struct) for struct in header.structs],
            "functions": [self.function(function) for function in header.functions],
        }

    @staticmethod
    def head(comment: Comment) -> Description:
        return drop_empty({"doc": comment.doc, "body": comment.body, "since": comment.value("since")})

    # ---- constants ----

    def group_name(self, enum: Enum) -> str:
        """status for the values of tenon_status; else what stands between TENON_ and the next underscore."""
        for alias in self.header.aliases:
            if enum.comment.doc.startswith(f"Values of {alias.name}"):
                return alias.name[len("tenon_"):]
        return enum.name[len("TENON_"):-1].lower()

    def values_of_alias(self, name: str) -> Optional[str]:
        return name[len("tenon_"):] if name[len("tenon_"):] in self.groups.values() else None

    def values(self, text: str) -> Optional[str]:
        match = VALUES.search(text)
        return self.groups.get(match[2]) if match else None

    def enum(self, enum: Enum) -> Description:
        group = self.groups[enum.name]
        texts = [field.comment.doc for struct in self.header.structs for field in struct.fields]
        flags = any(word.lower() == "sum" and prefix == enum.name for text in texts for word, prefix in VALUES.findall(text))
        constants = [{"name": constant.name, "value": constant.value, **self.head(constant.comment)}
                     for constant in enum.constants]
        return drop_empty({"group": group, "prefix": enum.name, "flags": flags, **self.head(enum.comment), "values": constants})

    # ---- types ----

    def kind(self, type_name: str) -> Description:
        """What a value of this C type is; "of" names the handle or the struct."""
        base = pointee(type_name)
        kind = PLAIN_KINDS.get(type_name)
        if kind is None:
            kind = "handle" if base in self.handles else "struct" if base in self.structs else "callback"
        return drop_empty({"kind": kind, "of": base if base in self.handles or base in self.structs else None})

    def number(self, type_name: str, doc: str) -> Description:
        """What the words of the documentation say about a number."""
        entry: Description = {"values": "status" if type_name == "tenon_status" else self.values(doc)}
        if type_name in ("int32_t", "int64_t"):
            entry["boolean"] = bool(re.match(r"1(:| when)\s", doc))
            unknown = re.search(r"(?:^|[;,] )-1 (unknown|not yet|when|while)", doc)
            entry["unknown"] = -1 if unknown else None
        return drop_empty(entry)

    # ---- structs ----

    def struct(self, struct: Struct) -> Description:
        kind = struct.comment.value("kind")
        fields = [self.field(field, kind) for field in struct.fields]
        return drop_empty({"name": struct.name, "kind": kind, **self.head(struct.comment), "size": struct.size,
                           "alignment": struct.alignment, "next": self.next_function(struct.name),
                           "children": self.children(struct.name), "fields": fields})

    def field(self, field: Field, struct_kind: str) -> Description:
        doc = field.comment.doc
        entry = {"name": field.name, "type": field.type, "offset": field.offset, "size": field.size, **self.kind(field.type),
                 "reserved": doc == "0", "required": struct_kind == "options" and bool(re.search(r"\brequired\b", doc)),
                 **self.number(field.type, doc), **self.head(field.comment)}
        if struct_kind == "row" and field.type == "double":
            entry["unknown"] = "nan"
        if field.callback:
            result, parameters = field.callback
            entry["callback"] = {"return": {"type": result, **self.kind(result)},
                                 "parameters": [{"name": parameter.name, "type": parameter.type, **self.kind(parameter.type)}
                                                for parameter in parameters]}
        return {key: value for key, value in entry.items() if key == "offset" or value not in (None, False, "", [], {})}

    def next_function(self, row: str) -> Optional[str]:
        """The function that takes rows of this kind from a task."""
        for function in self.header.functions:
            if function.name.startswith("tenon_task_next_") and pointee(function.parameters[-1].type) == row:
                return function.name
        return None

    def children(self, row: str) -> List[Description]:
        """The functions that read by index what belongs to the row that was taken last."""
        prefix = "tenon_task_" + row[len("tenon_"):] + "_"
        return [{"function": function.name, "of": pointee(function.parameters[-1].type)} for function in self.header.functions
                if function.name.startswith(prefix) and [parameter.name for parameter in function.parameters][1:2] == ["index"]]

    # ---- functions ----

    def function(self, function: Function) -> Description:
        comment = function.comment
        words = function.name.split("_", 2)
        result = {"type": function.result, **self.kind(function.result), "doc": comment.value("return"),
                  **self.number(function.result, comment.value("return")), **self.about(comment, "return")}
        return drop_empty({
            "name": function.name,
            "noun": words[1] if len(words) == 3 else None,
            "verb": words[-1],
            **self.head(comment),
            "parameters": [self.parameter(function, parameter) for parameter in function.parameters],
            "return": drop_empty(result),
            "starts_task": starts_task(function),
            "yields": [self.yielded(tag.name, tag.value, tag.text) for tag in comment.tags if tag.name in RESULTS],
            "errors": [{"status": tag.subject, "doc": tag.rest} for tag in comment.all("error")],
            "thread": comment.value("thread"),
            "blocking": comment.first("blocking") is not None,
        })

    @staticmethod
    def yielded(name: str, value: str, text: str) -> Description:
        """One thing that a task yields, in the order of the tags."""
        return drop_empty({"what": name, "of": value, "doc": text, "single": name == "row" and text.startswith("exactly one"),
                           "number": name == "text" and "in decimal digits" in text})

    @staticmethod
    def about(comment: Comment, name: str) -> Description:
        transfer, scope = comment.about("transfer", name), comment.about("scope", name)
        return drop_empty({"nullable": comment.about("nullable", name) is not None,
                           "transfer": transfer.value if transfer else None, "scope": scope.value if scope else None})

    def parameter(self, function: Function, parameter: Parameter) -> Description:
        comment = function.comment
        tag = comment.about("param", parameter.name)
        lengths = dict(re.findall(r"(\w+), length=(\w+)", " ".join(tag.value for tag in comment.all("array"))))
        doc = tag.rest if tag else ""
        kind = "bytes" if parameter.name in lengths else self.kind(parameter.type)["kind"]
        return drop_empty({"name": parameter.name, "type": parameter.type, "direction": tag.direction if tag else None,
                           **self.kind(parameter.type), "kind": kind, **self.about(comment, parameter.name),
                           "length": lengths.get(parameter.name), **self.number(parameter.type, doc), "doc": doc})


def describe(header: Header) -> Description:
    return Describer(header).whole()
