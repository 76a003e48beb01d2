"""The interface on record, three times: as libabigail reads it from a library (tenon-X.Y.abi), as lines of text from the header
(tenon-X.Y.txt), which also hold the constants and need no tool, and as the header itself (tenon-X.Y.h), which programs of the
tests are compiled against as those of users were. Run as a program it records the interface anew:

    /usr/bin/python3 tests/abi/record.py

Until 1.0 that is fine after every change that is meant; from then on what is on record may only grow."""

import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bindings"))

from generator import header, symbols  # noqa: E402
from generator.description import describe  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = os.path.join(ROOT, "include", "tenon.h")

# No private types, and nothing that tells where and from which files a library was built.
DUMP = ["abidw", "--drop-private-types", "--exported-interfaces-only", "--drop-undefined-syms", "--no-corpus-path",
        "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed", "--no-architecture", "--type-id-style", "hash"]


def path(version, ending):
    return os.path.join(HERE, f"tenon-{version[0]}.{version[1]}.{ending}")


def signature(name, result, parameters):
    words = ", ".join(f"{parameter.type} {parameter.name}" for parameter in parameters)
    return f"{result} {name}({words or 'void'})".replace("* ", "*")


def lines(read):
    """A line for everything that a compiled caller relies on. What is only added adds lines."""
    found = [f"typedef {alias.type} {alias.name}" for alias in read.aliases]
    found += [f"{constant.name} = {constant.value}" for enum in read.enums for constant in enum.constants]
    for struct in read.structs:
        for field in struct.fields:
            kind = signature("(*)", *field.callback) if field.callback else field.type
            found.append(f"{struct.name}.{field.name} at {field.offset}, {field.size} bytes: {kind}")
    return found + [signature(function.name, function.result, function.parameters) for function in read.functions]


def hollow_library(text, folder, soname="libtenon.so.0"):
    """A library with the interface of a header's text and nothing behind it; its path. The header lies beside it."""
    place = os.path.join(folder, "tenon.h")
    read = header.read(place, text=text)
    bodies = ["{ }" if function.result == "void" else "{ return 0; }" for function in read.functions]
    source = [f"{signature(f.name, f.result, f.parameters)} {body}\n" for f, body in zip(read.functions, bodies)]
    for name, content in (("tenon.h", text), ("tenon.c", '#include "tenon.h"\n' + "".join(source)),
                          ("tenon.map", symbols.write(describe(read)))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(content)
    library = os.path.join(folder, "libtenon.so")
    options = ["-std=c11", "-g", "-shared", "-fPIC", "-Wl,--version-script=tenon.map", f"-Wl,-soname,{soname}"]
    subprocess.run(["gcc", *options, "tenon.c", "-o", library], check=True, cwd=folder)
    return library


def dump(library, include=None):
    """The interface of a library as libabigail writes it; without a folder the public header lies beside the library."""
    command = [*DUMP, "--headers-dir", include or os.path.dirname(library), library]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_text(place):
    with open(place, encoding="utf-8") as file:
        return file.read()


def main():
    read = header.read(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        written = {"abi": dump(hollow_library(read_text(HEADER), folder)), "txt": "\n".join(lines(read)) + "\n",
                   "h": read_text(HEADER)}
    for ending, text in written.items():
        with open(path(read.version, ending), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
