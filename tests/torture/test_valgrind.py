"""One pass of the unit tests under valgrind's memcheck, which sees what the sanitizers do not: values that were never set. The
programs are those of the plain build. What a forked child has not given back when it ends is nobody's loss; anything else is an
error, in children too. That an error would be told is shown on programs that have one."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PLAIN = os.environ.get("TENON_BUILD", os.path.join(ROOT, "build", "plain"))

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import suite  # noqa: E402

ERRORS = 99  # the exit status of a program that valgrind complains of
PROGRAMS = sorted(path for path in glob.glob(os.path.join(PLAIN, "tests", "unit", "test_*"))
                  if os.access(path, os.X_OK) and os.path.isfile(path))
OPTIONS = ["--quiet", f"--error-exitcode={ERRORS}", "--num-callers=30", "--leak-check=full", "--errors-for-leak-kinds=none",
           "--show-leak-kinds=definite,indirect,possible"]

# What fails under valgrind only: it runs vfork as fork, so that posix_spawn does not hear why a program cannot be started.
ONLY_HERE = {"test_process": {"programs_that_cannot_start"}}

FAULTS = {
    "a value that was never set": "int *a = malloc(8); int n = a[0] > 5 ? 1 : 0; free(a); return n > 3;",
    "a read past the end": "char *a = calloc(1, 4); volatile char n = a[4]; (void)n; free(a); return 0;",
    "a leak": "volatile char *a = malloc(77); a[0] = 1; a = NULL; return 0;",
}


@unittest.skipUnless(shutil.which("valgrind"), "valgrind is not installed")
class Valgrind(unittest.TestCase):
    """Each program of the unit tests."""

    def run_checked(self, *command):
        """(status, output, what valgrind says that counts)."""
        with tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP")) as folder:
            program = subprocess.Popen(["valgrind", *OPTIONS, f"--log-file={folder}/%p", *command], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
            output, _ = program.communicate(timeout=1200)
            told = []
            for path in sorted(glob.glob(f"{folder}/*")):
                with open(path, encoding="utf-8", errors="replace") as file:
                    records = re.split(r"^==\d+== \n", file.read(), flags=re.M)
                is_child = path != f"{folder}/{program.pid}"
                told += [record for record in records if record.startswith("==") and not (is_child and "in loss record" in record)]
        return program.returncode, output, "\n".join(told)

    def check_program(self, path):
        status, output, told = self.run_checked(path, ROOT)
        failed = set(re.findall(r"^\[  FAILED  \] (\w+)$", output, re.M))
        expected = ONLY_HERE.get(os.path.basename(path), set())
        if status != len(expected) or failed != expected or told:
            self.fail(f"status {status}\n{told[:8000]}\n{output[-3000:]}")

    def test_it_tells_of_errors(self):
        for what, body in FAULTS.items():
            with self.subTest(what), tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP")) as folder:
                program = os.path.join(folder, "fault")
                source = f"#include <stdlib.h>\nint main(void) {{ {body} }}\n"
                subprocess.run(["gcc", "-x", "c", "-", "-O0", "-w", "-o", program], input=source, text=True, check=True)
                status, _, told = self.run_checked(program)
                self.assertEqual(status, 0 if what == "a leak" else ERRORS)
                self.assertNotEqual(told, "")

    def test_programs_are_there(self):
        sources = glob.glob(os.path.join(ROOT, "tests", "unit", "test_*.c"))
        self.assertEqual([os.path.basename(path) for path in PROGRAMS], sorted(os.path.basename(path)[:-2] for path in sources))


def add_test(path):
    setattr(Valgrind, os.path.basename(path), lambda self: self.check_program(path))


for one in PROGRAMS:
    add_test(one)

if __name__ == "__main__":
    suite.main()
