"""Where the package and the library under test are. Importing this makes `import tenon` find both."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = os.path.join(ROOT, "bindings", "python")
BUILD = os.environ.get("TENON_BUILD", os.path.join(ROOT, "build", "plain"))
LIBRARY = os.path.join(BUILD, "lib", "libtenon.so")

os.environ.setdefault("TENON_LIBRARY", LIBRARY)
sys.path[:0] = [os.path.join(ROOT, "tests", "support"), os.path.join(ROOT, "bindings"), PYTHON]


def run_python(code, *arguments, **environment):
    """Runs a program in a fresh interpreter; None removes a variable."""
    whole = {**os.environ, "PYTHONPATH": PYTHON, **environment}
    whole = {key: value for key, value in whole.items() if value is not None}
    return subprocess.run(["/usr/bin/python3", "-c", code, *arguments], env=whole, capture_output=True, text=True)


def write_text(text, *path):
    with open(os.path.join(*path), "w", encoding="utf-8") as file:
        file.write(text)


def read_text(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()
