"""What bindings/generate wrote is up to date, true to C, and complete."""

import ctypes
import inspect
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from package import LIBRARY, PYTHON, ROOT, read_text, write_text

import suite
import tenon
from generator.python import api
from tenon import _abi, _api

GENERATE = os.path.join(ROOT, "bindings", "generate")
GENERATED = ["bindings/tenon.json", "bindings/python/tenon/_abi.py", "bindings/python/tenon/_api.py", "lib/tenon.map"]


DESCRIPTION = json.loads(read_text(ROOT, "bindings", "tenon.json"))
STRUCTS = {struct["name"]: struct for struct in DESCRIPTION["structs"]}
FUNCTIONS = {function["name"]: function for function in DESCRIPTION["functions"]}


def generate(root, *options):
    return subprocess.run(["/usr/bin/python3", GENERATE, "--root", root, *options], capture_output=True, text=True)


class Generator(unittest.TestCase):
    """bindings/generate itself."""

    def project(self, change=lambda text: text):
        """A folder with a copy of the header, and of what was generated."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path in ["include/tenon.h", *GENERATED]:
            os.makedirs(os.path.dirname(os.path.join(folder.name, path)), exist_ok=True)
            shutil.copy(os.path.join(ROOT, path), os.path.join(folder.name, path))
        write_text(change(read_text(ROOT, "include/tenon.h")), folder.name, "include/tenon.h")
        return folder.name

    def test_what_is_committed_is_what_is_generated(self):
        result = generate(ROOT, "--check")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_generating_is_repeatable(self):
        root = self.project()
        for path in GENERATED:
            os.remove(os.path.join(root, path))
        self.assertEqual(generate(root).stdout.split(), GENERATED)
        self.assertEqual(generate(root).stdout, "")
        for path in GENERATED:
            self.assertEqual(read_text(root, path), read_text(ROOT, path))

    def test_check_shows_the_difference_and_writes_nothing(self):
        root = self.project(lambda text: text.replace("/** Done. */", "/** All is well. */"))
        result = generate(root, "--check")
        self.assertEqual(result.returncode, 1)
        self.assertIn('"doc": "All is well."', result.stdout)
        self.assertIn("+    # All is well.", result.stdout)
        for path in GENERATED:
            self.assertEqual(read_text(root, path), read_text(ROOT, path))

    def test_a_header_that_breaks_a_rule_is_refused(self):
        root = self.project(lambda text: text.replace(" * @thread{any}\n", "", 1))
        result = generate(root)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("tenon_status_name @thread is missing", result.stderr)

    def test_a_new_version_gets_a_node_of_its_own(self):
        def change(text):
            text = text.replace("TENON_VERSION_MINOR 1", "TENON_VERSION_MINOR 2")
            start = text.index(" * List the models that a server has.")
            return text[:start] + text[start:].replace("@since 0.1", "@since 0.2", 1)
        root = self.project(change)
        self.assertEqual(generate(root).returncode, 0)
        script = read_text(root, "lib/tenon.map")
        self.assertIn("TENON_0.2 {\n  global:\n    tenon_inference_models;\n} TENON_0.1;", script)
        self.assertEqual(script.count("local:"), 1)

    def test_every_text_is_readable(self):
        for path in GENERATED[1:]:
            longest = max(read_text(ROOT, path).splitlines(), key=len)
            self.assertLessEqual(len(longest), 130, longest)


class TrueToC(unittest.TestCase):
    """The description and ctypes against what a C compiler says."""

    @classmethod
    def setUpClass(cls):
        lines = []
        for struct in DESCRIPTION["structs"]:
            lines.append(f'printf("{struct["name"]} %zu\\n", sizeof({struct["name"]}));')
            for field in struct["fields"]:
                place = f'offsetof({struct["name"]}, {field["name"]}), sizeof((({struct["name"]} *)0)->{field["name"]})'
                lines.append(f'printf("{struct["name"]}.{field["name"]} %zu %zu\\n", {place});')
                lines.append(same_type(f'(({struct["name"]} *)0)->{field["name"]}', field_type(field)))
        for group in DESCRIPTION["constants"]:
            lines += [f'printf("{constant["name"]} %d\\n", {constant["name"]});' for constant in group["values"]]
        for function in DESCRIPTION["functions"]:
            lines.append(same_type("&" + function["name"], function_type(function)))
        cls.facts = {}
        for line in run_c(lines).splitlines():
            name, *numbers = line.split()
            cls.facts[name] = tuple(map(int, numbers)) if len(numbers) > 1 else int(numbers[0])

    def test_structs(self):
        for struct in DESCRIPTION["structs"]:
            name = struct["name"]
            kind = getattr(_abi, name)
            self.assertEqual((struct["size"], ctypes.sizeof(kind)), (self.facts[name],) * 2, name)
            self.assertEqual(struct["alignment"], ctypes.alignment(kind), name)
            self.assertEqual([field["name"] for field in struct["fields"]], [field[0] for field in kind._fields_], name)
            for field in struct["fields"]:
                place = getattr(kind, field["name"])
                facts = self.facts[f'{name}.{field["name"]}']
                self.assertEqual((field["offset"], field["size"]), facts, (name, field["name"]))
                self.assertEqual((place.offset, place.size), facts, (name, field["name"]))

    def test_constants(self):
        names = {}
        for value in vars(_abi).values():
            if isinstance(value, type) and hasattr(value, "__members__") and value is not _abi.Numbered:
                names[value.__name__] = {member.value for member in value}
        for group in DESCRIPTION["constants"]:
            values = [constant["value"] for constant in group["values"]]
            self.assertEqual(values, [self.facts[constant["name"]] for constant in group["values"]])
            self.assertIn(set(values), names.values(), group["group"])
        self.assertEqual(len(names), len(DESCRIPTION["constants"]))

    def test_status_names(self):
        for constant in next(group for group in DESCRIPTION["constants"] if group["group"] == "status")["values"]:
            self.assertEqual(tenon.status_name(constant["value"]), constant["name"])

    def test_prototypes_have_a_type_for_each_parameter(self):
        self.assertEqual(list(_abi.PROTOTYPES), list(FUNCTIONS))
        for name, (result, arguments) in _abi.PROTOTYPES.items():
            parameters = FUNCTIONS[name].get("parameters", [])
            self.assertEqual(len(arguments), len(parameters), name)
            self.assertEqual(result is None, FUNCTIONS[name]["return"]["type"] == "void", name)


class Complete(unittest.TestCase):
    """Nothing of the header is missing."""

    def test_every_function_of_the_header_is_described(self):
        text = re.sub(r"/\*.*?\*/", "", read_text(ROOT, "include", "tenon.h"), flags=re.S)
        self.assertEqual(sorted(set(re.findall(r"\b(tenon_\w+)\(", text))), sorted(FUNCTIONS))

    def test_every_symbol_of_the_library_has_a_prototype(self):
        symbols = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True).stdout
        exported = set(re.findall(r" T (\w+)@@TENON_", symbols))
        self.assertGreater(len(exported), 30)
        self.assertEqual(exported - set(_abi.PROTOTYPES), set())

    def test_the_version_script_lists_the_header(self):
        script = read_text(ROOT, "lib", "tenon.map")
        self.assertEqual(sorted(re.findall(r"^    (\w+);$", script, re.M)), sorted(FUNCTIONS))

    def test_every_function_is_used_by_the_package(self):
        code = "".join(read_text(PYTHON, "tenon", name) for name in ("_api.py", "_core.py", "_task.py", "_library.py"))
        used = set(re.findall(r"\btenon_\w+", code))
        unused = {name for name in FUNCTIONS if name not in used}
        references = {handle["ref"] for handle in DESCRIPTION["handles"]}
        self.assertEqual(unused, references | api.INTERNAL)

    def test_every_task_has_both_methods_with_the_same_arguments(self):
        for function in DESCRIPTION["functions"]:
            if function.get("starts_task"):
                owner = getattr(_api, function["noun"].capitalize())
                blocking = inspect.signature(getattr(owner, function["verb"])).parameters
                starting = inspect.signature(getattr(owner, "start_" + function["verb"])).parameters
                self.assertEqual(blocking, starting, function["name"])

    def test_every_option_is_an_argument(self):
        for function in DESCRIPTION["functions"]:
            given = [STRUCTS[parameter["of"]] for parameter in function.get("parameters", ())
                     if parameter["kind"] == "struct" and parameter["direction"] == "in"]
            if not given or function["name"] == "tenon_context_open":
                continue
            owner = getattr(_api, function["noun"].capitalize())
            method = owner.__init__ if function["verb"] == "open" else getattr(owner, function["verb"])
            arguments = set(inspect.signature(method).parameters)
            for field in given[0]["fields"]:
                if field["name"] not in ("struct_size", "flags") and not field.get("reserved"):
                    self.assertIn(field["name"], arguments, function["name"])

    def test_every_public_thing_is_documented(self):
        for name in tenon.__all__:
            thing = getattr(tenon, name)
            self.assertTrue(inspect.getdoc(thing), name)
            if isinstance(thing, type) and issubclass(thing, (_api.Handle, _api.Inference)):
                for method, value in inspect.getmembers(thing):
                    if not method.startswith("_") and method != "context":
                        self.assertTrue(inspect.getdoc(value), f"{name}.{method}")

    def test_no_word_of_c_is_left_in_the_documentation(self):
        for name, thing in [*vars(_abi).items(), *vars(_api).items()]:
            if inspect.isclass(thing) and thing.__module__ in ("tenon._abi", "tenon._api"):
                docs = [thing.__doc__] + [value.__doc__ for value in vars(thing).values()]
                for doc in filter(None, docs):
                    self.assertNotRegex(doc, r"\bNULL\b|\btenon_[a-z]+_(?!\.\.\.)|\bTENON_", name)


def same_type(expression, type_name):
    """A line that does not compile when an expression has another type."""
    return f'_Static_assert(__builtin_types_compatible_p(__typeof__({expression}), {type_name}), "{expression}");'


def field_type(field):
    if "callback" in field:
        return field["type"]
    return f'__typeof__({field["type"]})'


def function_type(function):
    parameters = ", ".join(parameter["type"] for parameter in function.get("parameters", ())) or "void"
    return f'__typeof__({function["return"]["type"]} (*)({parameters}))'


def run_c(lines):
    """What a C program with these lines prints."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "program")
        head = '#include <stdio.h>\n#include "tenon.h"\nint main(void)\n{\n'
        write_text(head + "\n".join(lines) + "\nreturn 0;\n}\n", program + ".c")
        command = ["gcc", "-std=gnu11", "-I", os.path.join(ROOT, "include"), program + ".c", "-o", program]
        subprocess.run([*command, "-L", os.path.dirname(LIBRARY)], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    suite.main()
