"""The library as an outsider meets it: installed into a folder, found by pkg-config, used by small programs."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TENON_BUILD", os.path.join(ROOT, "build", "plain"))
LIBRARY = os.path.join(BUILD, "lib", "libtenon.so")
SUPERVISOR = os.path.join(BUILD, "lib", "tenon-supervisor")
HUB = "file://" + os.path.join(ROOT, "examples", "hub")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
STANDARDS = {"gcc": "-std=c11", "g++": "-std=c++17"}

sys.path[:0] = [os.path.join(ROOT, "tests", "support"), os.path.join(ROOT, "bindings")]

from generator import header  # noqa: E402


def read_text(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def write_text(text, *path):
    with open(os.path.join(*path), "w", encoding="utf-8") as file:
        file.write(text)
    return os.path.join(*path)


def output_of(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\nstatus {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed:
    """What `meson install` puts into an empty folder."""

    def __init__(self, folder):
        self.folder = folder
        output_of("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder)
        [self.pc] = glob.glob(os.path.join(folder, "**", "tenon.pc"), recursive=True)
        self.libraries = os.path.dirname(os.path.dirname(self.pc))

    def flags(self, *wanted):
        """What pkg-config answers for a library that lies below the folder."""
        environment = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(self.pc), PKG_CONFIG_SYSROOT_DIR=self.folder)
        return output_of("pkg-config", *wanted, "tenon", env=environment).split()

    def compile(self, source, program, *options, compiler="gcc", flags=None, include=()):
        """A program with warnings that are errors; its path."""
        flags = self.flags("--cflags", "--libs") if flags is None else flags
        folders = [f"-I{folder}" for folder in (*include, os.path.join(ROOT, "tests", "support"))]
        output_of(compiler, STANDARDS[compiler], "-D_POSIX_C_SOURCE=200809L", *WARNINGS, "-g", *options, *folders, source, "-o",
                  program, *flags)
        return program

    def run(self, *command, quiet=True, **environment):
        """What a program prints that links the installed library. That it fails is an error, and so is a word on stderr."""
        variables = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LD_LIBRARY_PATH": self.libraries, **environment}
        done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120)
        if done.returncode != 0 or (quiet and done.stderr):
            raise AssertionError(f"{' '.join(command)}\nstatus {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def without_shared(self, folder):
        """A copy that has only the archive."""
        shutil.copytree(self.folder, folder, symlinks=True)
        for path in glob.glob(os.path.join(folder, "**", "libtenon.so*"), recursive=True):
            os.remove(path)
        copy = Installed.__new__(Installed)
        copy.folder = folder
        copy.pc = os.path.join(folder, os.path.relpath(self.pc, self.folder))
        copy.libraries = os.path.dirname(os.path.dirname(copy.pc))
        return copy


# ---- headers of other days ----

STRUCT = re.compile(r"typedef struct (tenon_\w+) \{\n(.*?)\} \1;\n", re.S)


def newer_header():
    """tenon.h as a later version may have it: every struct has one field more."""
    return STRUCT.sub(lambda match: match[0].replace(f"}} {match[1]};", f"    /** Later */\n    int64_t later;\n}} {match[1]};"),
                      read_text(ROOT, "include", "tenon.h"))


def older_header():
    """tenon.h as an earlier version may have had it: every struct lacks its last eight bytes, if it has more than that beside
    its size."""
    structs = {struct.name: struct for struct in header.read(os.path.join(ROOT, "include", "tenon.h")).structs}

    def shorten(match):
        struct = structs[match[1]]
        gone = [field.name for field in struct.fields if field.offset >= struct.size - 8 and struct.size > 16]
        text = match[0]
        for name in gone:
            text = re.sub(rf"    /\*\*[^/]*\*/\n    [^;\n]*\b{name}\)?(?:\([^;]*\))?;\n", "", text)
        return text

    return STRUCT.sub(shorten, read_text(ROOT, "include", "tenon.h"))


# ---- calls of every function ----

DESCRIPTION = json.loads(read_text(ROOT, "bindings", "tenon.json"))
TEXTS = {"key": '"home"', "model": '"tenon/tiny"', "repository": '"tenon/tiny"', "path": '"config.json"', "name": '"local:cpu"',
         "target": '"http://127.0.0.1:1/v1"', "id": '"local:none"', "location": '"http://127.0.0.1:1"', "value": "NULL", "place": '"local"'}


def argument(parameter, options):
    """(declarations, expression) of an argument that is in order."""
    kind, name = parameter["kind"], parameter["name"]
    if kind == "handle" and parameter["direction"] == "in":
        return "", f"handles->{name}"
    if kind == "handle":
        return f"{parameter['of']} *{name} = NULL;", f"&{name}"
    if kind == "struct" and parameter["direction"] == "in":
        return (f"{parameter['of']} {name} = {{ .struct_size = sizeof {name}, {options} }};", f"&{name}") if options else ("", "NULL")
    if kind == "struct":
        return f"{parameter['of']} {name} = {{ .struct_size = sizeof {name} }};", f"&{name}"
    if kind == "text" and parameter["direction"] == "out":
        return f"const char *{name} = NULL;", f"&{name}"
    if kind == "text":
        return "", TEXTS[name]
    if name == "buffer":
        return "char buffer[8];", "buffer"
    if name == "got":
        return "size_t got = 0;", "&got"
    return "", "8" if name == "size" else "0"


def calls(functions, wanted, options=""):
    """C that calls each function with arguments that are in order, and checks the status."""
    return call_everything([block(function, f"CHECK({{}} == {wanted});", options) for function in functions])


def calls_with_null(functions):
    """C that calls each function with NULL for each of its pointers in turn, and prints "function parameter status"."""
    blocks = []
    for function in functions:
        for parameter in function["parameters"]:
            if "*" in parameter["type"]:
                show = f'printf("{function["name"]} {parameter["name"]} %s\\n", tenon_status_name({{}}));'
                blocks.append(block(function, show, null=parameter["name"]))
    return call_everything(blocks)


def block(function, statement, options="", null=""):
    parts = [("", "NULL") if parameter["name"] == null else argument(parameter, options) for parameter in function["parameters"]]
    declarations = "".join(f" {declaration}" for declaration, _ in parts if declaration)
    call = f"{function['name']}({', '.join(part for _, part in parts)})"
    return f"    {{{declarations} {statement.format(call)} }}"


def call_everything(blocks):
    return "static void call_everything(struct handles *handles)\n{\n" + "\n".join(blocks) + "\n}\n"


def with_status(function):
    """Whether it answers a status and works on something that is open."""
    first = (function.get("parameters") or [{}])[0]
    return function["return"].get("kind") == "status" and first.get("kind") == "handle" and first["direction"] == "in"


def with_options(function):
    return with_status(function) and any(parameter["kind"] == "struct" and parameter["direction"] == "in"
                                         for parameter in function["parameters"])
