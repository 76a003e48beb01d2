"""Writes _api.py: a class for each noun, with a method for each function of it."""

import re
from typing import List, NamedTuple, Optional, Tuple

from ..description import Description
from .abi import plural
from .names import HEAD, Names, call, camel, docstring, short

# Where a task yields several things, which of them its blocking call returns. Everywhere else it is the first one.
RESULTS = {"tenon_hub_snapshot": "text", "tenon_hub_exists": "truth", "tenon_inference_chat": "text",
           "tenon_inference_complete": "text"}
# What a caller reads while it arrives: the method returns the task itself.
STREAMS = {"tenon_job_watch", "tenon_job_logs", "tenon_job_metrics", "tenon_inference_chat", "tenon_inference_complete"}
YIELDS = {"row": "Rows", "text": "Text", "json": "JSON", "bytes": "Bytes"}
# Errors that say nothing about one function.
EVERYWHERE = {"TENON_ERROR_MEMORY", "TENON_ERROR_MISUSE"}
# Written by hand in _core.py.
BY_HAND = {"tenon_context_open", "tenon_context_step", "tenon_context_next_task", "tenon_task_wait", "tenon_task_read"}
# What the package needs or has otherwise, and nobody else: references are Python's, and so is what hangs on a task.
INTERNAL = {"tenon_task_set_user", "tenon_task_user"}

IMPORTS = '''from __future__ import annotations

from typing import List, Optional, Type, Union

from . import _abi
{rows}
from ._base import to_text
from ._core import OK, ContextBase, H, Handle
from ._library import library
from ._task import Item, Result, TaskBase, Yield, finish
from ._values import Document, Text, Texts, choice, document, options, row_struct, text, texts
'''

# Names of the package that generated code uses inside methods, and so no argument may have.
TAKEN = {"choice", "document", "finish", "given", "library", "options", "text", "texts", "what"}


class Argument(NamedTuple):
    """One argument of a method: how it is declared, handed on to another method, and handed to C."""
    name: str
    annotation: str
    default: Optional[str]
    doc: str

    @property
    def declaration(self) -> str:
        return f"{self.name}: {self.annotation}" + ("" if self.default is None else f" = {self.default}")


class Plan(NamedTuple):
    """How a method calls its function."""
    positional: List[Argument]
    keywords: List[Argument]
    values: List[str]
    """The fields of the options struct; they are put together first, as `given`."""
    options: List[str]

    @property
    def declarations(self) -> List[str]:
        declared = [argument.declaration for argument in self.positional]
        return declared + (["*"] if self.keywords else []) + [argument.declaration for argument in self.keywords]

    @property
    def forwarded(self) -> List[str]:
        names = [argument.name for argument in self.positional]
        return names + [f"{argument.name}={argument.name}" for argument in self.keywords]

    @property
    def entries(self) -> List[str]:
        return [f"{argument.name}: {argument.doc}" for argument in self.positional + self.keywords]


CONTEXT = Argument("context", "Optional[Context]", "None", "where it happens; None: the default one")


class ApiWriter:
    def __init__(self, description: Description):
        self.description = description
        self.names = Names(description)
        self.used = set()

    def write(self) -> str:
        classes: List[str] = []
        for handle in self.description["handles"]:
            classes += self.handle(handle)
        owners = sorted({self.names.owner(function) for function in self.description["functions"]} - {None})
        for owner in owners:
            if "tenon_" + owner.lower() not in self.names.handles:
                classes += self.namespace(owner)
        functions = [line for function in self.description["functions"] if self.names.owner(function) is None
                     for line in self.module_function(function)]
        head = HEAD.format(summary="The classes of tenon: one for each noun of the header, with a method for each function.")
        rows = "\n".join(call(0, "from ._abi import (", sorted(self.used), ")"))
        return head + IMPORTS.format(rows=rows) + "\n".join(classes + functions) + "\n"

    # ---- classes ----

    def handle(self, handle: Description) -> List[str]:
        name = self.names.handle(handle["name"])
        base = {"Context": "ContextBase", "Task": "TaskBase[Item, Result]"}.get(name, "Handle")
        lines = ["", "", f"class {name}({base}):", *docstring(4, self.names.prose(handle["doc"])), "",
                 f"    _free = staticmethod(library.{handle['free']})"]
        return lines + self.methods(name, {handle["ref"], handle["free"]})

    def namespace(self, owner: str) -> List[str]:
        """A noun that has no handle."""
        summary = docstring(4, f"What the functions tenon_{owner.lower()}_... do.")
        return ["", "", f"class {owner}:", *summary, *self.methods(owner, set())]

    def methods(self, owner: str, without: set) -> List[str]:
        lines: List[str] = []
        for function in self.description["functions"]:
            if self.names.owner(function) == owner and function["name"] not in without | BY_HAND | INTERNAL:
                lines += self.method(owner, function)
        return lines

    def method(self, owner: str, function: Description) -> List[str]:
        last = function.get("parameters", [{}])[-1]
        if function["name"].startswith("tenon_task_next_") or self.is_child(function):
            return []
        if function.get("starts_task"):
            return self.task_methods(owner, function)
        if last.get("direction") == "out" and last["kind"] == "handle":
            return self.maker(owner, function)
        return self.plain_method(owner, function)

    def is_child(self, function: Description) -> bool:
        children = [child["function"] for struct in self.description["structs"] for child in struct.get("children", ())]
        return function["name"] in children

    # ---- arguments ----

    def plan(self, owner: str, function: Description) -> Tuple[Plan, bool]:
        """The arguments of a method, and whether it belongs to an object."""
        parameters = list(function.get("parameters", ()))
        first = parameters[0] if parameters else {}
        on_object = first.get("kind") == "handle" and self.names.handle(first["of"]) == owner
        in_context = not on_object and first.get("of") == "tenon_context"
        plan = Plan([], [], ["self"] if on_object else ["context"] if in_context else [], [])
        for parameter in parameters[len(plan.values):]:
            if parameter["direction"] != "in":
                continue
            if parameter["kind"] == "struct":
                self.add_options(plan, self.names.structs[parameter["of"]])
            else:
                argument, value = self.argument(parameter, parameter.get("nullable", False), parameter["doc"])
                plan.positional.append(argument)
                plan.values.append(value)
        if in_context:
            plan.keywords.append(CONTEXT)
        assert not TAKEN & {argument.name for argument in plan.positional + plan.keywords}, function["name"]
        return plan, on_object

    def add_options(self, plan: Plan, struct: Description) -> None:
        plan.options.append(f"_abi.{struct['name']}")
        for field in struct["fields"]:
            if field["name"] == "struct_size" or field.get("reserved"):
                continue
            group = self.names.groups.get(field.get("values", ""), {})
            if group.get("flags"):
                plan.options.append(f"{field['name']}={self.add_flags(plan, group)}")
            else:
                argument, value = self.argument(field, not field.get("required"), field["doc"])
                plan.keywords.append(argument)
                plan.options.append(f"{field['name']}={value}")
        plan.values.append("given")

    def add_flags(self, plan: Plan, group: Description) -> str:
        """Each constant becomes an argument of its own."""
        terms = []
        for constant in group["values"]:
            name = self.names.constant(group, constant["name"])
            plan.keywords.append(Argument(name.lower(), "bool", "False", self.names.prose(constant["doc"])))
            terms.append(f"{self.use(self.names.enums[group['group']])}.{name} if {name.lower()} else 0")
        return terms[0] if len(terms) == 1 else " | ".join(f"({term})" for term in terms)

    def argument(self, value: Description, optional: bool, doc: str) -> Tuple[Argument, str]:
        """An argument for a parameter or an option, and how it becomes a C value."""
        name = value["name"]
        kind = value["kind"]
        doc = self.names.prose(doc)
        if kind in ("text", "texts"):
            convert = "document" if kind == "text" and "JSON" in doc else kind
            annotation = f"Optional[{camel(convert)}]" if optional else camel(convert)
            return Argument(name, annotation, "None" if optional else None, doc), f"{convert}({name})"
        if kind == "handle":
            annotation = f"Optional[{self.names.handle(value['of'])}]"
            return Argument(name, annotation, "None", doc), name
        default = "0" if "offset" in value else None
        if "values" in value:
            enum = self.use(self.names.enums[value["values"]])
            return Argument(name, f"Union[{enum}, int, str]", default, doc), f"choice({enum}, {name})"
        if value.get("boolean"):
            return Argument(name, "bool", "False", doc), name
        return Argument(name, "int", default, doc), name

    def use(self, name: str) -> str:
        self.used.add(name)
        return name

    # ---- methods that start a task ----

    def result(self, function: Description) -> str:
        """Which of what the task yields its blocking call returns."""
        if function["name"] in RESULTS:
            return RESULTS[function["name"]]
        first = next(iter(function.get("yields", ())), {"what": "nothing"})
        if first["what"] == "row":
            return "single" if first.get("single") else "rows"
        return "number" if first.get("number") else first["what"]

    def annotations(self, function: Description) -> Tuple[str, str]:
        """The types of what a task gives when it is iterated, and of its result."""
        row = next((self.use(self.names.row(part["of"])) for part in function.get("yields", ()) if part["what"] == "row"), None)
        result = self.result(function)
        types = {"rows": f"List[{row}]", "single": row, "text": "str", "json": "str", "bytes": "bytes", "number": "int",
                 "truth": "bool", "nothing": "None"}
        return row or ("bytes" if result == "bytes" else "None"), types[result]

    def yielding(self, function: Description) -> List[str]:
        parts = [f'"{self.result(function)}"']
        for part in function.get("yields", ()):
            if part["what"] == "row":
                struct = self.names.structs[part["of"]]
                children = [f"(library.{child['function']}, {self.use(self.names.row(child['of']))})"
                            for child in struct.get("children", ())]
                parts += [self.use(self.names.row(part["of"])), f"library.{struct['next']}"]
                parts += [f"({', '.join(children)})"] if children else []
        return parts

    def task_methods(self, owner: str, function: Description) -> List[str]:
        plan, on_object = self.plan(owner, function)
        verb = function["verb"]
        item, result = self.annotations(function)
        task = f"Task[{item}, {result}]"
        me = "self" if on_object else owner
        head = [] if on_object else ["    @staticmethod"]
        own = ["self"] if on_object else []
        start = f"{me}.start_{verb}("
        streams = function["name"] in STREAMS
        lines = ["", *head, *call(4, f"def {verb}(", own + plan.declarations, f") -> {task if streams else result}:")]
        lines += self.documentation(function, plan)
        lines += call(8, f"return {start}" if streams else f"return finish({start}", plan.forwarded, ")" if streams else "))")
        lines += ["", *head, *call(4, f"def start_{verb}(", own + plan.declarations, f") -> {task}:")]
        lines += docstring(8, f"The task that {verb}() waits for." if not streams else f"The same as {verb}().")
        lines += [] if on_object else ["        context = context or Context.default()"]
        lines += call(8, "what = Yield(", self.yielding(function), ")") + self.given(plan)
        context = "self.context" if on_object else "context"
        return lines + call(8, "return Task._start(", [context, "what", f"library.{function['name']}", *plan.values], ")")

    @staticmethod
    def given(plan: Plan) -> List[str]:
        return call(8, "given = options(", plan.options, ")") if plan.options else []

    # ---- other methods ----

    def maker(self, owner: str, function: Description) -> List[str]:
        """A function that gives a handle: the constructor, or another way to make one."""
        plan, _ = self.plan(owner, function)
        making = [f"library.{function['name']}", *plan.values]
        if function["verb"] == "open":
            lines = ["", *call(4, "def __init__(", ["self", *plan.declarations], ") -> None:")]
            lines += self.documentation(function, plan)
            lines += ["        self.context = context = context or Context.default()", *self.given(plan)]
            return lines + call(8, "self._address = context._handle(", making, ")")
        lines = ["", "    @classmethod", *call(4, f"def {function['verb']}(", ["cls: Type[H]", *plan.declarations], ") -> H:")]
        lines += self.documentation(function, plan) + ["        context = context or Context.default()", *self.given(plan)]
        return lines + call(8, "return context._make(", ["cls", *making], ")")

    def plain_method(self, owner: str, function: Description) -> List[str]:
        plan, on_object = self.plan(owner, function)
        assert on_object, function["name"]
        last = function["parameters"][-1]
        called = [f"library.{function['name']}", *plan.values]
        direction = last["direction"]
        simple = len(function["parameters"]) == 2 and last["kind"] == "text" and direction == "out"
        if direction == "inout":
            row = self.use(self.names.row(last["of"]))
            result, body = row, call(8, "return self.context._fill(", [row, *called], ")")
        elif direction == "out":
            result, body = "str", call(8, "return self.context._text(", called, ")")
        else:
            result, body = self.plain_call(function, called)
        lines = [""] + (["    @property"] if simple else [])
        lines += call(4, f"def {function['verb']}(", ["self", *plan.declarations], f") -> {result}:")
        return lines + self.documentation(function, plan) + body

    def plain_call(self, function: Description, called: List[str]) -> Tuple[str, List[str]]:
        """A function that gives nothing but what it returns."""
        kind = function["return"].get("kind")
        if function["thread"] == "any":
            return "None", call(8, called[0] + "(", ["self._pointer", *called[2:]], ")")
        if kind is None:
            return "None", call(8, "self.context._ask(", called, ")")
        if kind == "status" and {error["status"] for error in function.get("errors", ())} - EVERYWHERE:
            return "None", call(8, "self.context._call(", called, ")")
        if kind == "status":
            return self.use("Status"), call(8, "return Status(self.context._ask(", called, "))")
        return "int", call(8, "return self.context._ask(", called, ")")

    def module_function(self, function: Description) -> List[str]:
        """A function of no object: version() and its like, or a table that is read row by row."""
        plan, _ = self.plan("", function)
        last = (function.get("parameters") or [{}])[-1]
        if last.get("direction") == "inout":
            return self.table(function, self.names.row(last["of"]))
        assert function["return"]["kind"] == "text", function["name"]
        name = self.names.method(function)[:-2]
        lines = ["", "", *call(0, f"def {name}(", plan.declarations, ") -> str:"), *self.documentation(function, plan, 4)]
        return lines + call(4, f"return to_text(library.{function['name']}(", plan.values, "))")

    def table(self, function: Description, row: str) -> List[str]:
        name = plural(short(function["name"]).split("_")[0])
        self.use(row)
        return ["", "", f"def {name}() -> List[{row}]:", *docstring(4, self.names.prose(function["doc"])),
                f"    rows: List[{row}] = []", f"    struct = row_struct({row})",
                f"    while library.{function['name']}(len(rows), struct) == OK:", f"        rows.append({row}._read(struct))",
                f"        struct = row_struct({row})", "    return rows"]

    def documentation(self, function: Description, plan: Plan, indent: int = 8) -> List[str]:
        yields = [self.yielded(part) for part in function.get("yields", ())]
        body = "\n\n".join(filter(None, [self.names.prose(function.get("body", "")), " ".join(yields)]))
        errors = [error for error in function.get("errors", ())
                  if error["status"] not in EVERYWHERE and not re.match(r"\w+ is NULL\b", error["doc"])]
        raised = [f"{self.names.error(error['status'])}: {self.names.prose(error['doc'])}" for error in errors]
        return docstring(indent, self.names.prose(function["doc"]), body, plan.entries, raised)

    def yielded(self, part: Description) -> str:
        doc = self.names.prose(part["doc"]).replace(", in decimal digits", "")
        return f"{'Number' if part.get('number') else YIELDS[part['what']]}: {doc}."


def write(description: Description) -> str:
    return ApiWriter(description).write()
