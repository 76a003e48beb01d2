"""The layout of every struct of tenon.h on a 64-bit system. Run as a program it prints the table that layout.json keeps:

    /usr/bin/python3 tests/header/struct_layout.py > tests/header/layout.json

Record it anew when structs or fields were added; what was there before may never change."""

import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bindings"))

from generator import header  # noqa: E402

HEADER = os.path.join(ROOT, "include", "tenon.h")
TARGETS = ["x86_64-linux-gnu", "x86_64-linux-musl", "aarch64-linux-gnu", "riscv64-linux-gnu", "powerpc64le-linux-gnu",
           "s390x-linux-gnu", "x86_64-unknown-freebsd", "arm64-apple-macos", "x86_64-pc-windows-msvc"]


def layout(target=TARGETS[0]):
    """{struct: {"size", "fields": {name: [offset, size]}}} as a system sees it."""
    return {struct.name: {"size": struct.size, "fields": {field.name: [field.offset, field.size] for field in struct.fields}}
            for struct in header.read(HEADER, target).structs}


def lines(table):
    """JSON with a line for each field, so that a difference shows what moved."""
    structs = []
    for name, struct in table.items():
        fields = ",\n".join(f'   {json.dumps(field)}: {json.dumps(place)}' for field, place in struct["fields"].items())
        structs.append(f' {json.dumps(name)}: {{\n  "size": {struct["size"]},\n  "fields": {{\n{fields}\n  }}\n }}')
    return "{\n" + ",\n".join(structs) + "\n}\n"


if __name__ == "__main__":
    print(lines(layout()), end="")
