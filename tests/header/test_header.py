"""include/tenon.h keeps its rules, compiles everywhere, and lays its structs out as recorded. The rules themselves are tested on
a small header that is spoiled in one place at a time."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import suite  # noqa: E402
from clang import cindex  # noqa: E402
from struct_layout import HEADER, TARGETS, layout  # noqa: E402
from generator import description, header, rules  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]

OPEN = "tenon_status tenon_hub_open(const char *name, tenon_hub **hub);"
LIST = "tenon_status tenon_hub_list(tenon_hub *hub, const tenon_list_options *options, tenon_task **task);"
READ = "tenon_status tenon_task_read(tenon_task *task, int64_t timeout_ms, void *buffer, size_t size);"

# What is replaced, by what, and what the rules must say of it; None: nothing.
SPOILED = [
    # documentation
    ("/** A place. @since 0.1 */\n", "", "tenon_hub has no documentation"),
    ("/** A place. @since 0.1 */", "/* A place. @since 0.1 */", "tenon_hub has no documentation"),
    ("    /** A file. */\n", "", "TENON_FILE_REGULAR has no documentation"),
    ("    /** Its path */\n", "", "path has no documentation"),
    ("/** A file. @kind{row} @since 0.1 */", "/** @kind{row} @since 0.1 */", "tenon_file has no documentation"),
    ("/** The outcome of a call. @since 0.1 */\n", "", "tenon_status has no documentation"),
    ("/** A place. @since 0.1 */", "/** A place. */", "@since with a version is missing"),
    ("/** A place. @since 0.1 */", "/** A place. @since soon */", "@since with a version is missing"),
    ("/** A place. @since 0.1 */", "/** A place. @since 0.2 */", "@since 0.2 is newer than the header"),
    (" * Open a place.\n *\n", " *\n", "tenon_hub_open has no documentation"),
    (" * @thread{one}\n * @since 0.1\n */\n" + OPEN, " * @thread{one}\n */\n" + OPEN, "@since with a version is missing"),
    # tags
    (" * @thread{one}\n * @since 0.1\n */\n" + OPEN, " * @since 0.1\n */\n" + OPEN, "@thread is missing"),
    (" * @thread{one}\n * @since 0.1\n */\n" + OPEN, " * @thread{two}\n * @since 0.1\n */\n" + OPEN, "@thread{two}: not one of"),
    (" * Open a place.\n", " * Open a place.\n *\n * @see tenon_hub_free\n", "unknown tag @see"),
    ("/** A file. */", "/** A file. @nullable */", "unknown tag @nullable"),
    (" * @return the same place\n", " * @return the same place\n * @return again\n", "@return is there twice"),
    (" * @return the same place\n", "", "@return is missing"),
    (" * Drop a reference.\n", " * Drop a reference.\n *\n * @return nothing\n", "@return, but it returns nothing"),
    (" * @param[in]  name  its name\n", "", "parameter name has no @param"),
    (" * @param[in]  name  its name\n", " * @param[in]  nam  its name\n", "@param nam: no such parameter"),
    (" * @param[in]  name  its name\n", " * @param  name  its name\n", "@param name: the direction is missing"),
    (" * @param[in]  name  its name\n", " * @param[in]  name\n", "@param name: says nothing"),
    (" * @param[in]  name  its name\n * @param[out] hub   the place\n",
     " * @param[out] hub   the place\n * @param[in]  name  its name\n", "@param in another order than the parameters"),
    (" * @param[in]  name  its name\n", " * @param[out]  name  its name\n", "@param name cannot be written through const char *"),
    (" * @param[out] hub   the place\n", " * @param[in] hub   the place\n", "@param hub is a tenon_hub **, and so an output"),
    (" * @transfer{full} hub\n * @error", " * @error", "@transfer for hub is missing"),
    (" * @transfer{full} hub\n * @error", " * @transfer{half} hub\n * @error", "@transfer{half}: not one of"),
    (" * @transfer{full} return\n", "", "@transfer for return is missing"),
    (" * @nullable options\n", " * @nullable option\n", "@nullable option: no such parameter"),
    (" * @nullable options\n", "", "@param options says what NULL means, but there is no @nullable options"),
    (" * @nullable options\n", " * @scope{task} option\n", "@scope option: no such parameter"),
    (" * @nullable options\n", " * @scope{ever} options\n", "@scope{ever}: not one of"),
    (" * @array{buffer, length=size}", " * @array{buffer, length=count}", "@array does not name a parameter and its length"),
    (" * @array{buffer, length=size}", " * @array{buffer}", "@array does not name a parameter and its length"),
    (" * @error TENON_ERROR_ARGUMENT  the name is not valid\n", "", "returns tenon_status, but names no @error"),
    ("TENON_ERROR_ARGUMENT  the name", "TENON_ERROR_OTHER  the name", "@error TENON_ERROR_OTHER: no such error"),
    ("TENON_ERROR_ARGUMENT  the name", "TENON_OK  the name", "@error TENON_OK: no such error"),
    ("TENON_ERROR_ARGUMENT  the name is not valid", "TENON_ERROR_ARGUMENT", "@error TENON_ERROR_ARGUMENT: does not say when"),
    (" * @error TENON_ERROR_ARGUMENT  the name", " * @error TENON_ERROR_ARGUMENT  no\n * @error TENON_ERROR_ARGUMENT  the name",
     "@error TENON_ERROR_ARGUMENT is there twice"),
    (" * @return the same place\n", " * @return the same place\n * @error TENON_ERROR_ARGUMENT  no\n",
     "but returns no tenon_status"),
    # tasks
    (" * @blocking\n * @thread{one}\n * @since 0.1\n */\n" + LIST, " * @thread{one}\n * @since 0.1\n */\n" + LIST,
     "makes a task, but is not @blocking"),
    (" * @blocking\n * @thread{one}\n * @since 0.1\n */\n" + READ, " * @thread{one}\n * @since 0.1\n */\n" + READ,
     "takes a timeout, but is not @blocking"),
    (" * @nullable task\n * @transfer{full} task\n * @row", " * @transfer{full} task\n * @row", "but task is not @nullable"),
    (" * @row{tenon_file} one for each\n", " * @row{tenon_hub} one for each\n",
     "@row{tenon_hub}: no tenon_task_next_ function takes it"),
    (" * @row{tenon_file} one for each\n", " * @row{tenon_file}\n", "@row: does not say what it is"),
    (" * @row{tenon_file} one for each\n", " * @text\n", "@text: does not say what it is"),
    (" * Open a place.\n", " * Open a place.\n *\n * @text its name\n", "tells what its task yields, but makes none"),
    # shape of functions
    ("const char *name, tenon_hub **hub", "const char *name, tenon_hub **hub, ...", "takes a variable number of arguments"),
    (OPEN, "static inline " + OPEN[:-1] + " { return name == NULL && hub == NULL; }", "is inline"),
    (OPEN, "EXTERN " + OPEN, "has a macro in its signature"),
    (OPEN, "extern int32_t tenon_count;\n" + OPEN, "tenon_count is an exported variable"),
    ("int64_t timeout_ms, void *buffer, size_t size", "int64_t timeout_ms, void *buffer, size_t size, int32_t a, int32_t b",
     "has more than 5 parameters"),
    ("const char *name, tenon_hub **hub", "long name, tenon_hub **hub", "name: long is not a type that every language has"),
    ("const char *name, tenon_hub **hub", "int name, tenon_hub **hub", "name: int is not a type that every language has"),
    ("const char *name, tenon_hub **hub", "char *name, tenon_hub **hub", "name: char * is not a type that every language has"),
    ("const char *name, tenon_hub **hub", "tenon_file name, tenon_hub **hub",
     "name: tenon_file is not a type that every language has"),
    (OPEN, OPEN.replace("tenon_status tenon", "unsigned tenon"), "return: unsigned int is not a type that every language has"),
    (OPEN, OPEN.replace("tenon_hub_open", "open_hub"), "open_hub is not named tenon_lower_case"),
    ("const char *name, tenon_hub **hub", "tenon_hub **hub, const char *name", "output hub stands before input name"),
    ("tenon_hub *tenon_hub_ref(tenon_hub *hub)", "tenon_hub *tenon_hub_again(tenon_hub *hub)", "has no tenon_hub_ref"),
    ("void tenon_hub_free(tenon_hub *hub)", "void tenon_hub_close(tenon_hub *hub)", "has no tenon_hub_free"),
    (" * @nullable hub\n * @transfer{full} hub\n", " * @transfer{full} hub\n", "does not accept NULL for hub"),
    (" * @transfer{full} hub\n * @thread{any}", " * @transfer{full} hub\n * @thread{one}", "is not for any thread"),
    # shape of structs
    ("    uint32_t struct_size;\n    /** One of", "    int32_t struct_size;\n    /** One of",
     "does not begin with uint32_t struct_size"),
    ("    uint32_t struct_size;\n    /** One of", "    uint32_t size;\n    /** One of",
     "does not begin with uint32_t struct_size"),
    ("/** A file. @kind{row} @since 0.1 */", "/** A file. @since 0.1 */", "tenon_file @kind is missing"),
    ("@kind{row}", "@kind{line}", "@kind{line}: not one of"),
    ("int32_t kind;", "int32_t kind : 3;", "is a bit field"),
    ("int32_t kind;", "long kind;", "long is not a type of fixed width"),
    ("int64_t limit_ms;", "size_t limit_ms;", "size_t is not a type of fixed width"),
    ("int64_t limit_ms;", "_Bool limit_ms;", "_Bool is not a type of fixed width"),
    ("int64_t limit_ms;", "struct FILE *limit_ms;", "struct FILE * is not a type of fixed width"),
    ("int32_t kind;", "tenon_list_options kind;", "tenon_list_options is not a type of fixed width"),
    ("    /** 0 */\n    uint32_t reserved;\n    /** Folder", "    /** Folder", "4 bytes of padding stand before it"),
    ("int64_t limit_ms;", "int32_t limit_ms;", "ends with 4 bytes of padding"),
    ("const char *path;", "void (*path)(void *user);", "a row calls nothing"),
    # constants
    ("TENON_FILE_REGULAR = 1", "TENON_FILE_REGULAR", "has no explicit value"),
    ("TENON_FILE_REGULAR = 1", "TENON_FILE_REGULAR = 0", "shares its value with another one"),
    ("TENON_FILE_UNKNOWN = 0", "TENON_FILE_UNKNOWN = 2", "has no 0"),
    ("TENON_FILE_UNKNOWN = 0", "FILE_UNKNOWN = 0", "is not named TENON_..."),
    ("/** One of TENON_FILE_... */", "/** What it is */", "nothing takes \"one of TENON_FILE_...\""),
    ("/** One of TENON_FILE_... */", "/** One of TENON_FILE_... One of TENON_KIND_... */", None),
    ("/** One of TENON_FILE_... */", "/** One of TENON_KIND_... */", "TENON_KIND_... are constants that do not exist"),
    ("/** One of TENON_FILE_... */", "/** One of TENON_FILE_* */", "names constants in another way"),
    (OPEN, OPEN + "\n/** More kinds. @since 0.1 */\nenum {\n/** One. */\nTENON_FILE_A = 0,\n/** Two. */\nTENON_FILE_B = 1 };",
     "shares the prefix TENON_FILE_ with another enumeration"),
    # units
    ("int64_t limit_ms;", "int64_t expiry;", "is a time or a size, but its name has no unit"),
    ("int64_t limit_ms;", "int64_t memory;", "is a time or a size, but its name has no unit"),
    ("/** How long it may take */\n    int64_t limit_ms;", "/** Seconds it may take */\n    int64_t limit;",
     "is a time or a size, but its name has no unit"),
    ("int64_t timeout_ms, void *buffer", "int64_t timeout, void *buffer", "is a time or a size, but its name has no unit"),
]


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Rules(unittest.TestCase):
    """The lint, on the header itself and on spoiled ones."""

    def test_the_header_keeps_every_rule(self):
        self.assertEqual(rules.check(header.read(HEADER)), [])

    def test_the_good_example_keeps_every_rule(self):
        self.assertEqual(rules.check(header.read(os.path.join(HERE, "good.h"))), [])

    def test_every_spoiled_header_is_caught(self):
        good = read_text(os.path.join(HERE, "good.h"))
        for old, new, complaint in SPOILED:
            with self.subTest(old=old, new=new):
                self.assertIn(old, good)
                found = rules.check(header.read("spoiled.h", text=good.replace(old, new, 1)))
                if complaint is None:
                    self.assertEqual(found, [])
                else:
                    self.assertTrue(any(complaint in text for text in found), f"wanted: {complaint}\nfound: {found[:5]}")

    def test_every_rule_catches_something(self):
        good = read_text(os.path.join(HERE, "good.h"))
        silent = set(rules.RULES)
        for old, new, _ in SPOILED:
            spoiled = header.read("spoiled.h", text=good.replace(old, new, 1))
            silent -= {rule for rule in silent if list(rule(spoiled))}
        self.assertEqual([rule.__name__ for rule in silent], [])

    def test_the_header_lists_the_tags(self):
        text = read_text(HEADER)
        listed = text[text.index("Tags, read by"):text.index("#ifndef TENON_H")]
        self.assertEqual(set(re.findall(r"@(\w+)", listed)), rules.FUNCTION_TAGS | rules.OTHER_TAGS)
        for name, values in (("transfer", rules.TRANSFERS), ("scope", rules.SCOPES), ("thread", rules.THREADS), ("kind", rules.KINDS)):
            self.assertEqual(set(re.search(rf"@{name}\{{(.*?)\}}", listed)[1].split("|")), values)

    def test_what_does_not_compile_is_refused(self):
        with self.assertRaises(SyntaxError):
            header.read("spoiled.h", text="typedef tenon_unknown tenon_other;")

    def test_a_complaint_names_file_line_and_name(self):
        good = read_text(os.path.join(HERE, "good.h"))
        line = good[:good.index(OPEN)].count("\n")
        spoiled = good.replace(" * @thread{one}\n * @since 0.1\n */\n" + OPEN, " * @since 0.1\n */\n" + OPEN)
        found = rules.check(header.read("spoiled.h", text=spoiled))
        self.assertEqual(found, [f"spoiled.h:{line}: tenon_hub_open @thread is missing"])


def clang_says(language, *options, more=""):
    """The warnings and errors of libclang, which is here for the generator: the program clang need not be."""
    text = f'#include "{HEADER}"\n{more}'
    quiet = ["-Wno-documentation", "-Wno-documentation-unknown-command", "-Wno-c++98-compat", "-Wno-c++98-compat-pedantic"]
    arguments = ["-x", language, *WARNINGS, *options, *quiet, "-nostdinc", "-isystem", header.FOLDER]
    unit = cindex.Index.create().parse("program", arguments, header.FREESTANDING + [("program", text)])
    return [f"{fault} [{fault.option}]" for fault in unit.diagnostics if fault.severity >= cindex.Diagnostic.Warning]


class Compiles(unittest.TestCase):
    """The header alone, without a warning, for every compiler that is here."""

    def compile(self, compiler, language, *options):
        if not shutil.which(compiler):
            self.skipTest(f"{compiler} is not installed")
        result = subprocess.run([compiler, "-x", language, *WARNINGS, *options, "-fsyntax-only", "-include", HEADER, "/dev/null"],
                                capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_gcc_c11(self):
        self.compile("gcc", "c", "-std=c11")

    def test_gcc_c17(self):
        self.compile("gcc", "c", "-std=c17", "-Wstrict-prototypes", "-Wundef", "-Wconversion")

    def test_gcc_c11_without_a_system(self):
        self.compile("gcc", "c", "-std=c11", "-ffreestanding")

    def test_gxx_17(self):
        self.compile("g++", "c++", "-std=c++17")

    def test_gxx_20(self):
        self.compile("g++", "c++", "-std=c++20", "-Wconversion", "-Wold-style-cast")

    def test_clang_c11(self):
        self.assertEqual(clang_says("c", "-std=c11", "-Weverything"), [])

    def test_clang_cxx_17(self):
        self.assertEqual(clang_says("c++", "-std=c++17", "-Weverything"), [])

    def test_clang_for_every_system(self):
        for target in TARGETS:
            with self.subTest(target=target):
                self.assertEqual(clang_says("c", "-std=c11", "-target", target), [])

    def test_clang_would_complain(self):
        self.assertIn("-Wstrict-prototypes", clang_says("c", "-std=c11", "-Weverything", "-DTENON_H", more="int f();\n")[0])


class Layout(unittest.TestCase):
    """Structs never move."""

    def test_every_64_bit_system_has_the_recorded_layout(self):
        recorded = json.loads(read_text(os.path.join(HERE, "layout.json")))
        for target in TARGETS:
            with self.subTest(target=target):
                self.assertEqual(layout(target), recorded, "see struct_layout.py for when to record it anew")

    def test_the_compiler_of_this_machine_agrees(self):
        if sys.maxsize < 2 ** 32:
            self.skipTest("this is no 64-bit system")
        wanted = {}
        prints = []
        for name, struct in layout().items():
            wanted[name] = struct["size"]
            prints.append(f'printf("{name} %zu\\n", sizeof({name}));')
            for field, (offset, size) in struct["fields"].items():
                wanted[f"{name}.{field}"] = offset, size
                prints.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));')
        found = {}
        for line in run_c("\n".join(prints)).splitlines():
            name, *numbers = line.split()
            found[name] = tuple(map(int, numbers)) if len(numbers) > 1 else int(numbers[0])
        self.assertEqual(found, wanted)

    def test_version(self):
        major, minor, patch = re.findall(r"#define TENON_VERSION_\w+ (\d+)", read_text(HEADER))
        self.assertEqual(description.describe(header.read(HEADER))["version"], f"{major}.{minor}.{patch}")


def run_c(body):
    """What a C program with this body prints."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "program.c"), os.path.join(folder, "program")
        with open(source, "w", encoding="utf-8") as file:
            file.write(f'#include <stdio.h>\n#include "tenon.h"\nint main(void)\n{{\n{body}\nreturn 0;\n}}\n')
        subprocess.run(["gcc", "-std=c11", "-I", os.path.dirname(HEADER), source, "-o", program], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    suite.main()
