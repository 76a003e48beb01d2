"""What the README says is true: every program in it is compiled and run, every command typed, the tables are those of the library,
and the first of the two commands tells its whole story.

    /usr/bin/python3 tests/readme/test_readme.py --write      writes what is generated into the README: programs, recipe, settings
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TENON_BUILD", os.path.join(ROOT, "build", "plain"))
README = os.path.join(ROOT, "README.md")
sys.path[:0] = [os.path.join(ROOT, "tests", "support"), os.path.join(ROOT, "tests", "bench"), os.path.join(ROOT, "bindings", "python")]
os.environ.setdefault("TENON_LIBRARY", os.path.join(BUILD, "lib", "libtenon.so"))

import run as bench  # noqa: E402
import suite  # noqa: E402

# Parts of the README that are copies: the fence or heading that begins them, and what they are copies of.
COPIES = {"examples/quickstart.c": r"(?s)(\(`examples/quickstart\.c`\):\n\n```c\n)(.*?)(```\n)",
          "examples/workload/train.json": r"(?s)(as JSON; `examples/workload/train\.json` is one:\n\n```json\n)(.*?)(```\n)",
          "measures": r"(?s)(its results are kept in `tests/bench/results\.json`:\n\n)(.*?)(\n## )",
          "settings": r"(?s)(with `--setting KEY=VALUE` and `tenon settings`\.\n\n)(.*?)(\n## )"}


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def settings_table():
    """The table of settings, as the library lists it."""
    import tenon  # pylint: disable=import-outside-toplevel

    lines = ["| setting | default | unit | from the environment | what it does |", "|---|---|---|---|---|"]
    for row in tenon.settings():
        default = "where it was installed" if row.key == "job.supervisor" else f"`{row.default_value}`" if row.default_value else ""
        names = ", ".join(f"`{name}`" for name in row.environment.split())
        secret = " Secret: never shown, never logged." if row.secret else ""
        lines.append(f"| `{row.key}` | {default} | {row.unit} | {names} | {row.description}{secret} |".replace("  ", " "))
    return "\n".join(lines) + "\n"


def measures_table():
    """What was measured last, and kept."""
    results = json.loads(read("tests", "bench", "results.json"))
    lines = [f"Measured on {results['date']}: {results['machine']}, a load of {results['load']:.0f} by others at the beginning, "
             f"{results['rounds']} rounds.", "", "| work | measured | is | goal |", "|---|---|---|---|"]
    for row in results["rows"].values():
        for number, goal in enumerate(row["goals"]):
            value, bound = bench.shown(goal)
            lines.append(f"| {row['work'] if number == 0 else ''} | {goal['goal']} | {value} | {bound} |")
    return "\n".join(lines) + "\n"


def generated(text):
    """The README with its copies made anew."""
    tables = {"settings": settings_table, "measures": measures_table}
    for source, pattern in COPIES.items():
        content = tables[source]() if source in tables else read(*source.split("/"))
        text, count = re.subn(pattern, lambda found, new=content: found[1] + new + found[3], text)
        assert count == 1, f"the README has {count} places for {source}"
    return text


def blocks(language, text=None):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", read("README.md") if text is None else text)


class Readme(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = scratch.name

    def run_here(self, command, folder=ROOT, **environment):
        """Run it as a reader would, with a home of its own; its output."""
        variables = {**os.environ, "HOME": self.scratch, "HF_ENDPOINT": f"file://{ROOT}/examples/hub", "LANG": "C.UTF-8",
                     "PYTHONPATH": os.path.join(ROOT, "bindings", "python"), "LD_LIBRARY_PATH": os.path.join(BUILD, "lib"), **environment}
        done = subprocess.run(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")
        return done.stdout

    def compile(self, source):
        program = os.path.join(self.scratch, "program")
        with open(program + ".c", "w", encoding="utf-8") as file:
            file.write(source)
        self.run_here(["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", os.path.join(ROOT, "include"), program + ".c",
                       "-o", program, "-L", os.path.join(BUILD, "lib"), "-ltenon"])
        return program

    def checkout(self):
        """A copy of what a reader has, so that nothing is written into this one."""
        folder = os.path.join(self.scratch, "checkout")
        if not os.path.exists(folder):
            shutil.copytree(ROOT, folder, symlinks=True, ignore=lambda place, names: [name for name in names if place == ROOT and
                                                                                      (name.startswith("build") or name == ".git")])
        return folder

    def story(self, *words, **environment):
        return self.run_here(["sh", "examples/story.sh", *words], self.checkout(), **environment)


class Form(Readme):
    def test_two_commands(self):
        section = re.search(r"(?ms)^## Two commands\n(.*?)^## ", read("README.md"))[1]
        self.assertEqual(blocks("sh", section), ["sh examples/story.sh\n", "sh tests/run.sh\n"])
        self.assertEqual(len(re.findall(r"(?m)^```", section)), 4)

    def test_copies_are_up_to_date(self):
        text = read("README.md")
        self.assertEqual(text, generated(text), "write it anew: /usr/bin/python3 tests/readme/test_readme.py --write")

    def test_what_it_names_is_there(self):
        for name in re.findall(r"`((?:include|lib|examples|tests|bindings)/[\w./]*)`", read("README.md")):
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), name)

    def test_every_folder_says_what_it_is(self):
        for folder in ("base", "transport", "auth", "hub", "accelerator", "job", "job/places", "job/supervisor", "inference"):
            self.assertGreater(len(read("lib", folder, "README.md")), 200, folder)

    def test_contract_is_that_of_the_header(self):
        header = read("include", "tenon.h")
        for name in re.findall(r"`(TENON_[A-Z_]+)", read("README.md")):
            self.assertTrue(name in header or name in ("TENON_LIBRARY",) or name in settings_table(), name)

    def test_top_level(self):
        there = {name for name in os.listdir(ROOT) if not name.startswith(".") and name != "__pycache__" and not name.startswith("build")}
        self.assertEqual(there, {"lib", "include", "examples", "tests", "bindings", "meson.build", "README.md", "LICENSE"})


class Programs(Readme):
    def test_c(self):
        whole, part = blocks("c")
        self.assertIn("/snapshots/", self.run_here([self.compile(whole), "tenon/tiny"]))
        program = f'#include <stdio.h>\n#include "tenon.h"\nint main(void)\n{{\n{part}    return 0;\n}}\n'
        self.assertRegex(self.run_here([self.compile(program)]), r"(?m)^\d+ bytes")

    def test_python(self):
        first, second = blocks("python")
        output = self.run_here(["/usr/bin/python3", "-c", first], TENON_JOBS=os.path.join(self.scratch, "jobs"))
        self.assertIn("local:cpu", output)
        self.assertIn("It fits into a mortise.", output)
        self.assertIn("model.safetensors", self.run_here(["/usr/bin/python3", "-c", second]))

    def test_installing(self):
        command = blocks("sh")[2].replace("sudo ", "")
        self.assertIn("meson install", command)
        target = os.path.join(self.scratch, "installed")
        self.run_here(["sh", "-ec", command], self.checkout(), DESTDIR=target)
        found = {name for _, _, names in os.walk(target) for name in names}
        for name in ("libtenon.so.0", "libtenon.a", "tenon.h", "tenon.pc", "tenon-supervisor", "tenon"):
            self.assertIn(name, found)


class Story(Readme):
    def test_story(self):
        """Twice: the second time everything is there already."""
        for _ in range(2):
            output = self.story()
            losses = [float(loss) for loss in re.findall(r"(?m)^step .*?loss ([\d.]+)", output)]
            self.assertGreater(losses[0], 5)
            self.assertLess(losses[-1], 2)
            self.assertIn("A tenon is a tongue on the end of a piece of wood. It fits into a mortise.", output)
            self.assertRegex(output, r"(?m)^[0-9a-f]{40}$")
            self.assertIn("joiner: stopped", output)
            self.assertIn("== That was it", output)
        self.terminal_commands()

    def test_story_with_a_model(self):
        """A model of the reader's own choice, served by an engine that is installed."""
        programs = os.path.join(self.scratch, "programs")
        os.makedirs(programs)
        with open(os.path.join(programs, "vllm"), "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write(f"#!/bin/sh\nexec /usr/bin/python3 '{ROOT}/examples/workload/serve.py'\n")
        output = self.story("tenon/joiner", PATH=f"{programs}:{os.environ['PATH']}")
        before, after = output.split("== The story goes on with a tiny model")
        self.assertIn("tenon/joiner, from file:", before)
        self.assertIn("adapters", before)
        self.assertIn("It fits into a mortise.", before)
        self.assertIn("model: stopped", before)
        self.assertIn("== That was it", after)

    def terminal_commands(self):
        """The commands of the section on the terminal, with the tool that the first command has built."""
        export, alias, *lines = blocks("sh")[3].splitlines()
        tool = os.path.join(self.checkout(), alias.partition("=")[2])
        self.assertTrue(export.startswith("export HF_ENDPOINT="))
        for line in lines:
            words = shlex.split(line)
            self.assertEqual(words[0], "tenon")
            output = self.run_here([tool, *words[1:]], self.checkout(), TENON_JOBS=os.path.join(self.scratch, "jobs"))
            self.assertTrue(output.strip(), line)

    def test_commands_that_the_table_names(self):
        for words in re.findall(r"`tenon ([a-z ]+?)(?: REPO)?`", read("README.md")):
            self.run_here([os.path.join(BUILD, "examples", "tenon"), *words.split()[:1], "--help"])


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        WHOLE = generated(read("README.md"))
        with open(README, "w", encoding="utf-8") as output_file:
            output_file.write(WHOLE)
    else:
        suite.main()
