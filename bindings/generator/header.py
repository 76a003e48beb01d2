"""Reads a header through libclang into plain objects. Nothing is judged here: rules.py does that."""

import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from clang import cindex
from clang.cindex import CursorKind, TypeKind

TAG = re.compile(r"(?:^|(?<=\s))@(\w+)(?:\[([^\]]*)\])?(?:\{([^}]*)\})?")


@dataclass
class Tag:
    """One @name[direction]{value} text of a comment. [in,out] is the same as [inout]."""
    name: str
    direction: str
    value: str
    text: str

    @property
    def subject(self) -> str:
        """The first word of the text, which most tags are about."""
        return self.text.split(None, 1)[0] if self.text else ""

    @property
    def rest(self) -> str:
        """The text behind its first word."""
        return self.text.split(None, 1)[1] if len(self.text.split(None, 1)) > 1 else ""


@dataclass
class Comment:
    """A documentation comment: paragraphs of prose, then tags. Without one both are empty."""
    paragraphs: List[str] = field(default_factory=list)
    tags: List[Tag] = field(default_factory=list)

    def all(self, name: str) -> List[Tag]:
        return [tag for tag in self.tags if tag.name == name]

    def first(self, name: str) -> Optional[Tag]:
        return next(iter(self.all(name)), None)

    def value(self, name: str) -> str:
        """What the tag says, in braces or behind it; "" without the tag."""
        tag = self.first(name)
        return (tag.value or tag.text) if tag else ""

    def about(self, name: str, subject: str) -> Optional[Tag]:
        return next((tag for tag in self.all(name) if tag.subject == subject), None)

    @property
    def doc(self) -> str:
        return self.paragraphs[0] if self.paragraphs else ""

    @property
    def body(self) -> str:
        return "\n\n".join(self.paragraphs[1:])


@dataclass
class Parameter:
    name: str
    type: str


@dataclass
class Declaration:
    name: str
    line: int
    comment: Comment


@dataclass
class Field(Declaration):
    type: str
    offset: int
    size: int
    is_bit_field: bool
    """What a function pointer takes and returns; None for other fields."""
    callback: Optional[Tuple[str, List[Parameter]]]


@dataclass
class Struct(Declaration):
    size: int
    alignment: int
    fields: List[Field]


@dataclass
class Constant(Declaration):
    value: int
    is_explicit: bool


@dataclass
class Enum(Declaration):
    constants: List[Constant]


@dataclass
class Function(Declaration):
    result: str
    parameters: List[Parameter]
    is_variadic: bool
    has_body: bool
    has_macro: bool


@dataclass
class Alias(Declaration):
    """A typedef of a plain type."""
    type: str


@dataclass
class Header:
    path: str
    version: Tuple[int, ...]
    handles: List[Declaration] = field(default_factory=list)
    aliases: List[Alias] = field(default_factory=list)
    enums: List[Enum] = field(default_factory=list)
    structs: List[Struct] = field(default_factory=list)
    functions: List[Function] = field(default_factory=list)
    variables: List[Declaration] = field(default_factory=list)


def parse_comment(raw: Optional[str]) -> Comment:
    """Splits a raw comment into prose and tags; only what begins with two stars documents."""
    if not raw or not raw.startswith("/**"):
        return Comment()
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in raw[3:-2].split("\n")]
    text = "\n".join(lines)
    marks = list(TAG.finditer(text))
    prose = text[:marks[0].start()] if marks else text
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    tags = [Tag(mark[1], (mark[2] or "").replace(",", ""), mark[3] or "", " ".join(text[mark.end():end].split()))
            for mark, end in zip(marks, ends)]
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", prose)]
    return Comment([part for part in paragraphs if part], tags)


class _Reader:
    def __init__(self, path: str, text: bytes, unit: cindex.TranslationUnit):
        self.header = Header(path, ())
        self.text = text
        self.end = 0
        mine = [cursor for cursor in unit.cursor.get_children() if cursor.location.file and cursor.location.file.name == path]
        self.macros = [cursor.location.offset for cursor in mine
                       if cursor.kind == CursorKind.MACRO_INSTANTIATION and not self.is_directive(cursor.location.offset)]
        self.header.version = tuple(int(list(cursor.get_tokens())[1].spelling) for cursor in mine if is_version(cursor))
        for cursor in sorted(mine, key=lambda cursor: cursor.extent.start.offset):
            self.read(cursor)

    def is_directive(self, offset: int) -> bool:
        return self.text[:offset].rsplit(b"\n", 1)[-1].lstrip().startswith(b"#")

    def read(self, cursor: cindex.Cursor) -> None:
        if cursor.kind == CursorKind.FUNCTION_DECL:
            self.header.functions.append(self.function(cursor))
        elif cursor.kind == CursorKind.STRUCT_DECL and cursor.is_definition():
            self.header.structs.append(self.struct(cursor))
        elif cursor.kind == CursorKind.ENUM_DECL:
            self.header.enums.append(self.enum(cursor))
        elif cursor.kind == CursorKind.TYPEDEF_DECL:
            self.typedef(cursor)
        elif cursor.kind == CursorKind.VAR_DECL:
            self.header.variables.append(self.declaration(cursor))
        if cursor.kind.is_declaration():
            self.end = cursor.extent.end.offset

    def head(self, cursor: cindex.Cursor) -> Dict[str, object]:
        """Its name, its place and its comment. libclang also gives the comment of what stands before; that one does not count."""
        before = self.text[:cursor.extent.start.offset].rstrip().removesuffix(b"typedef").rstrip()
        raw = cursor.raw_comment or ""
        comment = parse_comment(raw) if before.endswith(raw.encode()) else Comment()
        return {"name": cursor.spelling, "line": cursor.location.line, "comment": comment}

    def declaration(self, cursor: cindex.Cursor) -> Declaration:
        return Declaration(**self.head(cursor))

    def has_macro(self, cursor: cindex.Cursor) -> bool:
        return any(self.end <= offset < cursor.extent.end.offset for offset in self.macros)

    def parameters(self, cursor: cindex.Cursor) -> List[Parameter]:
        return [Parameter(child.spelling, child.type.spelling) for child in cursor.get_children()
                if child.kind == CursorKind.PARM_DECL]

    def function(self, cursor: cindex.Cursor) -> Function:
        variadic = cursor.type.kind == TypeKind.FUNCTIONPROTO and cursor.type.is_function_variadic()
        return Function(**self.head(cursor), result=cursor.result_type.spelling, parameters=self.parameters(cursor),
                        is_variadic=variadic, has_body=cursor.is_definition(), has_macro=self.has_macro(cursor))

    def field(self, cursor: cindex.Cursor) -> Field:
        pointee = cursor.type.get_pointee()
        callback = None
        if pointee.kind == TypeKind.FUNCTIONPROTO:
            callback = (pointee.get_result().spelling, self.parameters(cursor))
        return Field(**self.head(cursor), type=cursor.type.spelling, offset=cursor.get_field_offsetof() // 8,
                     size=cursor.type.get_size(), is_bit_field=cursor.is_bitfield(), callback=callback)

    def struct(self, cursor: cindex.Cursor) -> Struct:
        fields = [self.field(child) for child in cursor.get_children() if child.kind == CursorKind.FIELD_DECL]
        return Struct(**self.head(cursor), size=cursor.type.get_size(), alignment=cursor.type.get_align(), fields=fields)

    def enum(self, cursor: cindex.Cursor) -> Enum:
        constants = [Constant(**self.head(child), value=child.enum_value, is_explicit=any(True for _ in child.get_children()))
                     for child in cursor.get_children() if child.kind == CursorKind.ENUM_CONSTANT_DECL]
        head = self.head(cursor)
        head["name"] = common_prefix([constant.name for constant in constants])
        return Enum(**head, constants=constants)

    def typedef(self, cursor: cindex.Cursor) -> None:
        target = cursor.underlying_typedef_type
        declaration = target.get_declaration()
        if declaration.kind == CursorKind.STRUCT_DECL:
            if not declaration.is_definition():
                self.header.handles.append(self.declaration(cursor))
        else:
            self.header.aliases.append(Alias(**self.head(cursor), type=target.spelling))


def is_version(cursor: cindex.Cursor) -> bool:
    return cursor.kind == CursorKind.MACRO_DEFINITION and cursor.spelling.startswith("TENON_VERSION_")


def common_prefix(names: List[str]) -> str:
    """What the names of an enumeration begin with, up to a whole word: TENON_FILE_; of a single name the first two words."""
    words = [name.split("_") for name in names]
    shared = 0
    while all(len(parts) > shared + 1 and parts[shared] == words[0][shared] for parts in words):
        shared += 1
    return "_".join(words[0][:shared if len(names) > 1 else 2]) + "_"


# The two headers that tenon.h includes, so that no system's own are needed and every target can be asked.
FOLDER = "/freestanding/"
_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "intptr", "uintptr")
FREESTANDING = [
    (FOLDER + "stddef.h", "typedef __SIZE_TYPE__ size_t;\n#define NULL ((void *)0)\n"),
    (FOLDER + "stdint.h", "".join(f"typedef __{name.upper()}_TYPE__ {name}_t;\n" for name in _TYPES)),
]


def read(path: str, target: str = "x86_64-linux-gnu", text: Optional[str] = None) -> Header:
    """Reads the header at a path, or the text that stands in for it, as a system sees it that clang calls by that target."""
    arguments = ["-x", "c", "-std=c11", "-fparse-all-comments", "-nostdinc", "-isystem", FOLDER, "-target", target]
    if text is None:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    with_macros = cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD
    unit = cindex.Index.create().parse(path, arguments, FREESTANDING + [(path, text)], with_macros)
    faults = [str(fault) for fault in unit.diagnostics if fault.severity >= cindex.Diagnostic.Error]
    if faults:
        raise SyntaxError("\n".join(faults))
    return _Reader(path, text.encode(), unit).header
