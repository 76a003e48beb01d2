"""ThreadSanitizer on the library, built into build/threads: ten contexts on ten threads at real work, whose handles are freed by
other threads; and the unit tests about threads. That a race would be told is shown on a program that has one."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PLAIN = os.environ.get("TENON_BUILD", os.path.join(ROOT, "build", "plain"))
BUILD = os.path.join(ROOT, "build", "threads")
SUPERVISOR = os.path.join(PLAIN, "lib", "tenon-supervisor")

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import repositories  # noqa: E402
import suite  # noqa: E402
from simulator import Simulator  # noqa: E402

MIB = 1 << 20
RACES = 66  # the exit status of a program that had one
UNIT = ["test_context", "test_task_threads", "test_work"]

# Where a connection is given up before it stands, libcurl may tell that its socket is no longer to be watched when it has
# closed it; by then another thread may have a file of that number. It is taken off an epoll set of our own, which has
# forgotten it already.
SUPPRESSED = "race:forget_socket\n"

# A counter that nobody guards.
RACE = """
#include <pthread.h>
#include <stdio.h>
static int count;
static void *run(void *user) { for (int i = 0; i < 1000; i++) count++; return user; }
int main(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, run, NULL);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    printf("%d\\n", count > 0);
    return 0;
}
"""


def run(*command):
    options = f"exitcode={RACES} second_deadlock_stack=1 history_size=4 suppressions={scratch}/suppressed"
    environment = dict(os.environ, TSAN_OPTIONS=options,
                       LD_LIBRARY_PATH=os.path.join(BUILD, "lib"))
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=900, env=environment)


def compile_checked(source, program, *flags):
    done = run("gcc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-pthread",
               "-fsanitize=thread", f"-I{ROOT}/include", f"-I{ROOT}/tests/support", source, "-o", program, *flags)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return program


def setUpModule():
    """Builds the library, and starts the servers."""
    global scratch, hub, server
    folder = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
    unittest.addModuleCleanup(folder.cleanup)
    scratch = folder.name
    with open(os.path.join(scratch, "suppressed"), "w", encoding="utf-8") as file:
        file.write(SUPPRESSED)
    steps = [] if os.path.exists(os.path.join(BUILD, "build.ninja")) else \
        [["meson", "setup", BUILD, ROOT, "-Db_sanitize=thread", "-Db_lundef=false", "-Dbuildtype=debugoptimized"]]
    steps.append(["meson", "compile", "-C", BUILD, "tenon:shared_library", *UNIT])
    for step in steps:
        done = run(*step)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(step)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    hub, server = Simulator("hub"), Simulator("inference")
    unittest.addModuleCleanup(hub.stop)
    unittest.addModuleCleanup(server.stop)
    hub.put_repository(repositories.small_model("acme/small"))
    hub.put_repository(repositories.large_file(4 * MIB))


class Threads(unittest.TestCase):
    """What ThreadSanitizer says."""

    def check(self, done):
        if done.returncode != 0 or "WARNING: ThreadSanitizer" in done.stderr:
            self.fail(f"status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[:12000]}")
        return done.stdout

    def test_it_tells_of_a_race(self):
        source = os.path.join(scratch, "race.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(RACE)
        done = run(compile_checked(source, os.path.join(scratch, "race")))
        self.assertEqual(done.returncode, RACES, done.stderr)
        self.assertIn("WARNING: ThreadSanitizer: data race", done.stderr)

    def test_ten_contexts_and_those_who_free(self):
        program = compile_checked(os.path.join(HERE, "threads.c"), os.path.join(scratch, "threads"), f"-L{BUILD}/lib", "-ltenon")
        output = self.check(run(program, hub.url, f"{server.url}/v1", os.path.join(scratch, "home"), SUPERVISOR))
        print(f"[{output.strip()}]", end=" ", flush=True)
        self.assertGreater(int(output.split()[0]), 700)
        self.assertEqual(hub.violations(), [])

    def test_unit_tests_about_threads(self):
        for name in UNIT:
            with self.subTest(name=name):
                self.check(run(os.path.join(BUILD, "tests", "unit", name), ROOT))


if __name__ == "__main__":
    suite.main()
