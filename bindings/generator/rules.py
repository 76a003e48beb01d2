"""What every declaration of the header must look like. Each rule is a function that yields (declaration, complaint)."""

import re
from typing import Iterator, List, Set, Tuple

from .header import Declaration, Function, Header, Struct

Complaint = Tuple[Declaration, str]

FUNCTION_TAGS = {"param", "nullable", "transfer", "array", "scope", "return", "text", "json", "bytes", "row", "error", "thread",
                 "blocking", "since"}
OTHER_TAGS = {"kind", "since"}
ONCE = {"return", "text", "json", "bytes", "row", "thread", "blocking", "since", "kind"}
THREADS = {"any", "one", "callback"}
KINDS = {"options", "row", "hooks"}
DIRECTIONS = {"in", "out", "inout"}
TRANSFERS = {"full", "none"}
SCOPES = {"call", "task", "context"}
RESULTS = {"text", "json", "bytes", "row"}
NUMBERS = {"int32_t", "uint32_t", "int64_t", "uint64_t", "double", "tenon_status"}
MOST_PARAMETERS = 5

# A number that is a time or a size says its unit. These words are a unit, or are bytes wherever they are used.
UNIT = re.compile(r"(^|_)(ms|bytes?|offset|length|size|micros|milli|tokens|per_second)(_|$)")
MEASURE = re.compile(r"(^|_)(time|timeout|delay|elapsed|duration|expiry|age|grace|interval|period|deadline|wait|after|since|at|"
                     r"size|memory|space|capacity|bandwidth|rate|speed)(_|$)")
MEASURE_IN_PROSE = re.compile(r"\b(milliseconds?|ms|seconds?|minutes?|hours?|bytes?|kilobytes?|[KMG]i?B)\b", re.IGNORECASE)

# "One of TENON_X_..." or "Sum of TENON_X_...": where a number takes its values from.
VALUES = re.compile(r"\b([Oo]ne|[Ss]um) of (TENON_[A-Z]+_)[A-Z_]*\s?\.\.\.")
VALUES_BEGIN = re.compile(r"\b([Oo]ne|[Ss]um) of TENON_")


def pointee(type_name: str) -> str:
    """The name that a pointer type is built on: tenon_task of "tenon_task **"."""
    return re.sub(r"\bconst\b|\*|\s", "", type_name)


def stars(type_name: str) -> int:
    return type_name.count("*")


def starts_task(function: Function) -> bool:
    """Whether it makes a task: the last parameter takes one, and the caller owns it."""
    last = function.parameters[-1] if function.parameters else None
    tag = function.comment.about("transfer", last.name) if last else None
    return last is not None and last.type == "tenon_task **" and tag is not None and tag.value == "full"


def all_declarations(header: Header) -> Iterator[Declaration]:
    yield from header.handles
    yield from header.aliases
    for enum in header.enums:
        yield enum
        yield from enum.constants
    for struct in header.structs:
        yield struct
        yield from struct.fields
    yield from header.functions


def names_of(function: Function) -> Set[str]:
    return {parameter.name for parameter in function.parameters} | {"return"}


# ---- documentation ----

def documented(header: Header) -> Iterator[Complaint]:
    for declaration in all_declarations(header):
        if not declaration.comment.doc:
            yield declaration, "has no documentation"


def since(header: Header) -> Iterator[Complaint]:
    for declaration in header.handles + header.aliases + header.enums + header.structs + header.functions:
        if not re.fullmatch(r"\d+\.\d+", declaration.comment.value("since")):
            yield declaration, "@since with a version is missing"
    for declaration in all_declarations(header):
        version = declaration.comment.value("since")
        if re.fullmatch(r"\d+\.\d+", version) and tuple(map(int, version.split("."))) > header.version[:2]:
            yield declaration, f"@since {version} is newer than the header"


def known_tags(header: Header) -> Iterator[Complaint]:
    for declaration in all_declarations(header):
        allowed = FUNCTION_TAGS if isinstance(declaration, Function) else OTHER_TAGS
        names = [tag.name for tag in declaration.comment.tags]
        for name in sorted(set(names)):
            if name not in allowed:
                yield declaration, f"unknown tag @{name}"
            elif name in ONCE and names.count(name) > 1:
                yield declaration, f"@{name} is there twice"


def parameters_documented(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        tags = function.comment.all("param")
        real = [parameter.name for parameter in function.parameters]
        for name in real:
            if name not in [tag.subject for tag in tags]:
                yield function, f"parameter {name or '(without a name)'} has no @param"
        for tag in tags:
            if tag.subject not in real:
                yield function, f"@param {tag.subject}: no such parameter"
            elif tag.direction not in DIRECTIONS:
                yield function, f"@param {tag.subject}: the direction is missing"
            elif not tag.rest:
                yield function, f"@param {tag.subject}: says nothing"
        if [tag.subject for tag in tags] != real and sorted(tag.subject for tag in tags) == sorted(real):
            yield function, "@param in another order than the parameters"


def tags_name_parameters(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        for name in ("nullable", "transfer", "scope"):
            for tag in function.comment.all(name):
                if tag.subject not in names_of(function):
                    yield function, f"@{name} {tag.subject}: no such parameter"
        for tag in function.comment.all("array"):
            match = re.fullmatch(r"(\w+), length=(\w+)", tag.value)
            if not match or not set(match.groups()) <= names_of(function):
                yield function, "@array does not name a parameter and its length"


def tag_values(header: Header) -> Iterator[Complaint]:
    for declaration in all_declarations(header):
        for name, values in (("transfer", TRANSFERS), ("scope", SCOPES), ("thread", THREADS), ("kind", KINDS)):
            for tag in declaration.comment.all(name):
                if tag.value not in values:
                    yield declaration, f"@{name}{{{tag.value}}}: not one of {', '.join(sorted(values))}"


def nulls(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        for tag in function.comment.all("param"):
            if re.search(r"\bNULL\b", tag.rest) and not function.comment.about("nullable", tag.subject):
                yield function, f"@param {tag.subject} says what NULL means, but there is no @nullable {tag.subject}"


def threads(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        if not function.comment.first("thread"):
            yield function, "@thread is missing"


def directions(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        for parameter in function.parameters:
            tag = function.comment.about("param", parameter.name)
            writes = "*" in parameter.type and not parameter.type.startswith("const") or stars(parameter.type) > 1
            if tag and tag.direction != "in" and not writes:
                yield function, f"@param {parameter.name} cannot be written through {parameter.type}"
            if tag and tag.direction == "in" and stars(parameter.type) > 1 and parameter.type != "const char *const *":
                yield function, f"@param {parameter.name} is a {parameter.type}, and so an output"


def goes_out(function: Function) -> Iterator[str]:
    """The names of handles and texts that a function gives to its caller."""
    for parameter in function.parameters:
        tag = function.comment.about("param", parameter.name)
        if stars(parameter.type) == 2 and tag and tag.direction != "in":
            yield parameter.name
    if stars(function.result) > 0:
        yield "return"


def transfers(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        for name in goes_out(function):
            if not function.comment.about("transfer", name):
                yield function, f"@transfer for {name} is missing"


def results_documented(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        wants = function.result not in ("void", "tenon_status")
        if wants and not function.comment.first("return"):
            yield function, "@return is missing"
        if function.result == "void" and function.comment.first("return"):
            yield function, "@return, but it returns nothing"


def errors(header: Header) -> Iterator[Complaint]:
    known = {constant.name for enum in header.enums for constant in enum.constants if constant.value < 0}
    for function in header.functions:
        named = [tag.subject for tag in function.comment.all("error")]
        tells = re.search(r"\berror\b", function.comment.value("return"))
        if function.result == "tenon_status" and not named and not tells:
            yield function, "returns tenon_status, but names no @error"
        if function.result != "tenon_status" and named:
            yield function, "names an @error, but returns no tenon_status"
        for name in named:
            if name not in known:
                yield function, f"@error {name}: no such error"
        for name in sorted({name for name in named if named.count(name) > 1}):
            yield function, f"@error {name} is there twice"
        for tag in function.comment.all("error"):
            if not tag.rest:
                yield function, f"@error {tag.subject}: does not say when"


def tasks(header: Header) -> Iterator[Complaint]:
    rows = {pointee(function.parameters[-1].type) for function in header.functions
            if function.name.startswith("tenon_task_next_") and function.parameters}
    for function in header.functions:
        comment = function.comment
        if starts_task(function):
            last = function.parameters[-1].name
            if not comment.first("blocking"):
                yield function, "makes a task, but is not @blocking"
            if not comment.about("nullable", last):
                yield function, f"makes a task, but {last} is not @nullable"
            if comment.first("row") and comment.value("row") not in rows:
                yield function, f"@row{{{comment.value('row')}}}: no tenon_task_next_ function takes it"
            for name in sorted(RESULTS):
                if comment.first(name) and not comment.first(name).text:
                    yield function, f"@{name}: does not say what it is"
        elif any(comment.first(name) for name in RESULTS):
            yield function, "tells what its task yields, but makes none"
        takes_time = any(parameter.name == "timeout_ms" for parameter in function.parameters)
        if takes_time and not comment.first("blocking"):
            yield function, "takes a timeout, but is not @blocking"


# ---- shape of functions ----

def plain_functions(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        if function.is_variadic:
            yield function, "takes a variable number of arguments"
        if function.has_body:
            yield function, "is inline"
        if function.has_macro:
            yield function, "has a macro in its signature"
        if len(function.parameters) > MOST_PARAMETERS:
            yield function, f"has more than {MOST_PARAMETERS} parameters"
    for variable in header.variables:
        yield variable, "is an exported variable"


def function_types(header: Header) -> Iterator[Complaint]:
    handles = {handle.name for handle in header.handles}
    structs = {struct.name for struct in header.structs}
    plain = NUMBERS | {"size_t", "size_t *", "void *", "const char *", "const char **", "const char *const *"}
    for function in header.functions:
        values = [(parameter.name, parameter.type) for parameter in function.parameters] + [("return", function.result)]
        for name, type_name in values:
            base, depth = pointee(type_name), stars(type_name)
            fits = (type_name in plain or (name == "return" and type_name == "void") or
                    (base in handles and 1 <= depth <= 2) or (base in structs and depth == 1))
            if not fits:
                yield function, f"{name}: {type_name} is not a type that every language has"


def outputs_last(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        lengths = re.findall(r"length=(\w+)", " ".join(tag.value for tag in function.comment.all("array")))
        seen = None
        for parameter in function.parameters:
            tag = function.comment.about("param", parameter.name)
            direction = tag.direction if tag else "in"
            if direction == "in" and seen and parameter.name not in lengths:
                yield function, f"output {seen} stands before input {parameter.name}"
            if direction != "in":
                seen = parameter.name


def reference_functions(header: Header) -> Iterator[Complaint]:
    names = {function.name for function in header.functions}
    for handle in header.handles:
        for ending in ("_ref", "_free"):
            if handle.name + ending not in names:
                yield handle, f"has no {handle.name}{ending}"


def free_functions(header: Header) -> Iterator[Complaint]:
    for function in header.functions:
        if function.name.endswith(("_free", "_ref")) and function.parameters:
            name = function.parameters[0].name
            if not function.comment.about("nullable", name):
                yield function, f"does not accept NULL for {name}"
            if function.comment.value("thread") != "any":
                yield function, "is not for any thread"


def names(header: Header) -> Iterator[Complaint]:
    for declaration in all_declarations(header):
        if isinstance(declaration, (Struct, Function)) and not re.fullmatch(r"tenon_[a-z0-9]+(_[a-z0-9]+)*", declaration.name):
            yield declaration, "is not named tenon_lower_case"
    for enum in header.enums:
        for constant in enum.constants:
            if not constant.name.startswith("TENON_"):
                yield constant, "is not named TENON_..."


# ---- shape of structs ----

def struct_fields(header: Header) -> Iterator[Complaint]:
    handles = {handle.name for handle in header.handles}
    structs = {struct.name for struct in header.structs}
    plain = NUMBERS | {"void *", "const char *", "const char *const *"}
    for struct in header.structs:
        for field in struct.fields:
            base = pointee(field.type)
            fits = (field.type in plain or field.callback or (stars(field.type) == 1 and base in handles | structs))
            if not fits:
                yield field, f"{struct.name}: {field.type} is not a type of fixed width"
            if field.is_bit_field:
                yield field, f"{struct.name}: is a bit field"


def struct_begins_with_size(header: Header) -> Iterator[Complaint]:
    for struct in header.structs:
        first = struct.fields[0] if struct.fields else None
        if first is None or (first.name, first.type) != ("struct_size", "uint32_t"):
            yield struct, "does not begin with uint32_t struct_size"
        if not struct.comment.first("kind"):
            yield struct, "@kind is missing"


def struct_padding(header: Header) -> Iterator[Complaint]:
    for struct in header.structs:
        end = 0
        for field in struct.fields:
            if field.offset > end and not field.is_bit_field:
                yield field, f"{struct.name}: {field.offset - end} bytes of padding stand before it; write them down as reserved"
            end = field.offset + field.size
        if struct.fields and struct.size > end:
            yield struct, f"ends with {struct.size - end} bytes of padding; write them down as reserved"


def rows_call_nothing(header: Header) -> Iterator[Complaint]:
    for struct in header.structs:
        for field in struct.fields:
            if struct.comment.value("kind") == "row" and field.callback:
                yield field, f"{struct.name}: a row calls nothing"


# ---- constants ----

def explicit_values(header: Header) -> Iterator[Complaint]:
    for enum in header.enums:
        for constant in enum.constants:
            if not constant.is_explicit:
                yield constant, "has no explicit value"
        values = [constant.value for constant in enum.constants]
        for constant in enum.constants:
            if values.count(constant.value) > 1:
                yield constant, "shares its value with another one"


def enum_groups(header: Header) -> Iterator[Complaint]:
    prefixes = [enum.name for enum in header.enums]
    mentioned = {match[1]: match[0].lower() for text in prose(header) for match in VALUES.findall(text)}
    for enum in header.enums:
        is_status = any(enum.comment.doc.startswith(f"Values of {alias.name}") for alias in header.aliases)
        if prefixes.count(enum.name) > 1:
            yield enum, f"shares the prefix {enum.name} with another enumeration"
        elif not is_status and enum.name not in mentioned:
            yield enum, f"nothing takes \"one of {enum.name}...\" or \"sum of {enum.name}...\""
        elif not is_status and mentioned[enum.name] == "one" and 0 not in [constant.value for constant in enum.constants]:
            yield enum, "has no 0, which stands for values that a caller does not know"


def prose(header: Header) -> Iterator[str]:
    for struct in header.structs:
        yield from (field.comment.doc for field in struct.fields)
    for function in header.functions:
        yield from (tag.text for tag in function.comment.all("param"))


def value_references(header: Header) -> Iterator[Complaint]:
    prefixes = {enum.name for enum in header.enums}
    places: List[Tuple[Declaration, str]] = [(field, field.comment.doc) for struct in header.structs for field in struct.fields]
    places += [(function, tag.text) for function in header.functions for tag in function.comment.all("param")]
    for declaration, text in places:
        found = VALUES.search(text)
        if VALUES_BEGIN.search(text) and not found:
            yield declaration, "names constants in another way than \"one of TENON_X_...\""
        elif found and found[2] not in prefixes:
            yield declaration, f"{found[2]}... are constants that do not exist"


# ---- units ----

def needs_unit(name: str, doc: str) -> bool:
    return not UNIT.search(name) and bool(MEASURE.search(name) or MEASURE_IN_PROSE.search(doc))


def units(header: Header) -> Iterator[Complaint]:
    integers = {"int32_t", "uint32_t", "int64_t", "uint64_t", "size_t"}
    for struct in header.structs:
        for field in struct.fields:
            if field.type in integers and needs_unit(field.name, field.comment.doc):
                yield field, f"{struct.name}: is a time or a size, but its name has no unit"
    for function in header.functions:
        for parameter in function.parameters:
            tag = function.comment.about("param", parameter.name)
            if parameter.type in integers and needs_unit(parameter.name, tag.rest if tag else ""):
                yield function, f"{parameter.name}: is a time or a size, but its name has no unit"


RULES = [documented, since, known_tags, parameters_documented, tags_name_parameters, tag_values, nulls, threads, directions,
         transfers, results_documented, errors, tasks, plain_functions, function_types, outputs_last, reference_functions,
         free_functions, names, struct_fields, struct_begins_with_size, struct_padding, rows_call_nothing, explicit_values,
         enum_groups, value_references, units]


def check(header: Header) -> List[str]:
    """Every complaint about a header, as "file:line: name complaint", in the order of the lines."""
    found = [(declaration.line, declaration.name, text) for rule in RULES for declaration, text in rule(header)]
    return [f"{header.path}:{line}: {name} {text}" for line, name, text in sorted(set(found))]
