"""The interface of the built library and of the header against the one on record. That the comparison can fail is shown with
headers that are spoiled in one place, and with the libraries that they make."""

import ctypes
import glob
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
from record import HEADER, HERE, ROOT, dump, header, hollow_library, lines, path, read_text  # noqa: E402

BUILD = os.environ.get("TENON_BUILD", os.path.join(ROOT, "build", "plain"))
LIBRARY = os.path.join(BUILD, "lib", "libtenon.so")
ANEW = "When the change is meant: /usr/bin/python3 tests/abi/record.py"

# What abidiff answers, as a sum of bits.
CHANGED, INCOMPATIBLE = 4, 8

ADDED = """
/** A function of later days. @since 0.1 */
int32_t tenon_later(int32_t number);
"""
LAST = "#if defined(__GNUC__) && !defined(_WIN32)\n#pragma GCC visibility pop"

# What is replaced, by what; whether callers that are compiled already notice; whether libabigail sees it at all.
SPOILED = {
    "a function added": (LAST, ADDED + LAST, False, True),
    "a field appended": ("    int64_t retry_after_ms;\n", "    int64_t retry_after_ms;\n    /** 0 */\n    int64_t later;\n", False, True),
    "a constant added": ("    TENON_DONE = 2,", "    TENON_DONE = 2,\n    /** Later. */\n    TENON_LATER = 3,", False, False),
    "a function renamed": ("tenon_version(void)", "tenon_edition(void)", True, True),
    "a parameter of another type": ("tenon_context_descriptor(tenon_context", "tenon_context_descriptor(tenon_task", True, True),
    "a result of another type": ("int64_t tenon_context_timeout(", "int32_t tenon_context_timeout(", True, True),
    "a parameter more": ("void tenon_task_cancel(tenon_task *task);", "void tenon_task_cancel(tenon_task *task, int32_t how);", True, True),
    "a field inserted": ("    int32_t http_status;", "    int64_t before;\n    /** 0 */\n    int32_t http_status;", True, True),
    "fields exchanged": ("    const char *message;\n    /** What to do about it; \"\" when there is nothing to say */\n    const char *hint;",
                         "    const char *hint;\n    /** What to do about it */\n    const char *message;", True, True),
    "a field that is wider": ("    int32_t http_status;\n    /** errno of the failed system call; 0 when none failed */\n    int32_t",
                              "    int64_t http_status;\n    /** errno */\n    int64_t", True, True),
    "a constant of another value": ("TENON_ERROR_MEMORY = -3", "TENON_ERROR_MEMORY = -30", True, False),
    "a constant removed": ("    /** No more rows. */\n    TENON_DONE = 2,\n", "", True, False),
    "a callback of another type": ("void *(*allocate)(void *user, size_t size)", "void *(*allocate)(void *user, uint32_t size)", True, True),
}


def spoil(old, new):
    text = read_text(HEADER)
    assert old in text, old
    return text.replace(old, new, 1)


def compare(recorded, library, include=None):
    """What abidiff says of a library, and the bits of its status. It compares two texts: beside a library it would take every
    type for a private one whose place is not on record, and overlook what happens to it."""
    with tempfile.NamedTemporaryFile("w", suffix=".abi") as now:
        now.write(dump(library, include))
        now.flush()
        done = subprocess.run(["abidiff", recorded, now.name], capture_output=True, text=True)
    if done.returncode & ~(CHANGED | INCOMPATIBLE):
        raise RuntimeError(f"abidiff failed with {done.returncode}: {done.stdout}{done.stderr}")
    return done.returncode, done.stdout


def needs_abidiff(test):
    return unittest.skipUnless(shutil.which("abidiff") and shutil.which("abidw"), "abigail-tools is not installed")(test)


class Recorded(unittest.TestCase):
    """What is on record holds."""

    def setUp(self):
        self.read = header.read(HEADER)
        self.records = {tuple(map(int, re.findall(r"\d+", os.path.basename(name))[:2])): name
                        for name in glob.glob(os.path.join(HERE, "tenon-*.txt"))}

    def test_this_version_is_on_record(self):
        for ending in ("txt", "abi", "h"):
            self.assertTrue(os.path.exists(path(self.read.version, ending)), ANEW)

    def test_recorded_headers_are_of_their_records(self):
        for version, name in self.records.items():
            self.assertEqual(lines(header.read(path(version, "h"))), read_text(name).splitlines(), ANEW)

    def test_the_header_is_the_recorded_one(self):
        recorded = read_text(path(self.read.version, "txt")).splitlines()
        now = lines(self.read)
        self.assertEqual((sorted(set(recorded) - set(now)), sorted(set(now) - set(recorded))), ([], []), f"gone, and new. {ANEW}")
        self.assertEqual(recorded, now, f"in another order. {ANEW}")

    def test_earlier_versions_are_still_there(self):
        now = set(lines(self.read))
        for version, name in self.records.items():
            if version[0] == self.read.version[0]:
                self.assertEqual(sorted(set(read_text(name).splitlines()) - now), [], f"gone since {version}")

    @needs_abidiff
    def test_the_library_is_the_recorded_one(self):
        status, text = compare(path(self.read.version, "abi"), LIBRARY, os.path.dirname(HEADER))
        self.assertEqual((status, text), (0, ""), ANEW)


class Comparison(unittest.TestCase):
    """The comparison sees what it should."""

    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_lines(self):
        recorded = set(lines(header.read(HEADER)))
        for what, (old, new, noticed, _) in SPOILED.items():
            with self.subTest(what):
                now = set(lines(header.read("tenon.h", text=spoil(old, new))))
                self.assertNotEqual(now, recorded)
                self.assertEqual(bool(recorded - now), noticed)

    @needs_abidiff
    def test_what_is_on_record_is_what_the_header_makes(self):
        status, text = compare(path(header.read(HEADER).version, "abi"), hollow_library(read_text(HEADER), self.folder()))
        self.assertEqual((status, text), (0, ""), ANEW)

    @needs_abidiff
    def test_libraries(self):
        recorded = path(header.read(HEADER).version, "abi")
        for what, (old, new, _, seen) in SPOILED.items():
            with self.subTest(what):
                folder = self.folder()
                status, text = compare(recorded, hollow_library(spoil(old, new), folder))
                self.assertEqual(bool(status & CHANGED), seen, text)

    @needs_abidiff
    def test_what_breaks_callers_is_told_from_what_is_added(self):
        recorded = path(header.read(HEADER).version, "abi")
        for what, incompatible in (("a function added", False), ("a function renamed", True)):
            folder = self.folder()
            status, text = compare(recorded, hollow_library(spoil(*SPOILED[what][:2]), folder))
            self.assertEqual(bool(status & INCOMPATIBLE), incompatible, text)

    @needs_abidiff
    def test_another_soname(self):
        folder = self.folder()
        library = hollow_library(read_text(HEADER), folder, soname="libtenon.so.1")
        status, text = compare(path(header.read(HEADER).version, "abi"), library)
        self.assertTrue(status & INCOMPATIBLE, text)
        self.assertIn("SONAME", text)


class Version(unittest.TestCase):
    """One version, wherever it is written."""

    def setUp(self):
        self.version = ".".join(map(str, header.read(HEADER).version))

    def test_the_library_says_it(self):
        library = ctypes.CDLL(LIBRARY)
        library.tenon_version.restype = ctypes.c_char_p
        self.assertEqual(library.tenon_version().decode(), self.version)

    def test_the_build_says_it(self):
        project = json.loads(read_text(os.path.join(BUILD, "meson-info", "intro-projectinfo.json")))
        self.assertEqual(project["version"], self.version)
        pc = read_text(os.path.join(BUILD, "meson-private", "tenon.pc"))
        self.assertIn(f"\nVersion: {self.version}\n", pc)

    def test_soname(self):
        dynamic = subprocess.run(["readelf", "-dW", LIBRARY], check=True, capture_output=True, text=True).stdout
        major = self.version.split(".", maxsplit=1)[0]
        self.assertEqual(re.findall(r"\(SONAME\).*\[(.*)\]", dynamic), [f"libtenon.so.{major}"])
        self.assertEqual(os.path.basename(os.path.realpath(LIBRARY)), f"libtenon.so.{self.version}")

    def test_every_symbol_has_the_node_of_its_version(self):
        symbols = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY], check=True, capture_output=True,
                                 text=True).stdout
        found = dict(line.split()[-1].split("@@") for line in symbols.splitlines() if " A " not in line)
        self.assertEqual(found, {f.name: f"TENON_{f.comment.value('since')}" for f in header.read(HEADER).functions})


if __name__ == "__main__":
    suite.main()
