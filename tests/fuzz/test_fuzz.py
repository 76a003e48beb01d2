"""libFuzzer on every fuzz target, under the address and undefined-behavior sanitizers, built by clang into build/fuzz. Each runs
for TENON_FUZZ_SECONDS seconds (15), from its seeds and from what earlier runs have found; that is kept in the cache folder. With
TENON_SEED=N a search goes the same way each time, from the seeds alone. A finding is an input that is printed; it belongs into
seeds.py once it is understood."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import seeds

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "fuzz")

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import environments  # noqa: E402
import suite  # noqa: E402

SECONDS = int(os.environ.get("TENON_FUZZ_SECONDS", "15"))
OPTIONS = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dbuildtype=debugoptimized", "-Dc_args=-fsanitize=fuzzer-no-link"]
CORPORA = os.path.join(environments.CACHE, "fuzz")
SEED = int(os.environ.get("TENON_SEED") or 0)  # 0: libFuzzer chooses one
LONGEST = 65536  # bytes of an input


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, **options)


def can_link():
    """Whether clang is here, with its fuzzer."""
    if not shutil.which("clang"):
        return "clang is not installed"
    done = run("clang", "-fsanitize=fuzzer,address", "-x", "c", "-", "-o", "/dev/null",
               input="int LLVMFuzzerTestOneInput(const char *b, unsigned long n) { return b && n ? 0 : 0; }")
    return "" if done.returncode == 0 else "clang has no libFuzzer: libclang-rt-14-dev is missing"


def setUpModule():
    """Builds all targets, once."""
    reason = can_link()
    if reason:
        raise unittest.SkipTest(reason)
    steps = [] if os.path.exists(os.path.join(BUILD, "build.ninja")) else [["meson", "setup", BUILD, ROOT, *OPTIONS]]
    for step in [*steps, ["ninja", "-C", BUILD, "fuzz"]]:
        done = run(*step, env=dict(os.environ, CC="clang"))
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(step)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


class Fuzz(unittest.TestCase):
    """Each target for a while."""

    def fuzz(self, target, seconds=SECONDS):
        program = os.path.join(BUILD, "tests", "fuzz", f"fuzz-{target}")
        with tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP")) as folder:
            corpus = os.path.join(folder if SEED else CORPORA, target)
            os.makedirs(corpus, exist_ok=True)
            seeds.write(target, os.path.join(folder, "seeds"))
            done = run(program, f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=60", "-report_slow_units=60",
                       "-rss_limit_mb=2048", "-print_final_stats=1", f"-seed={SEED}", f"-artifact_prefix={folder}/found-", corpus,
                       os.path.join(folder, "seeds"), timeout=20 * seconds + 600, cwd=folder,
                       env=dict(os.environ, UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1", ASAN_OPTIONS="detect_leaks=1"))
            for path in glob.glob(f"{folder}/found-*"):
                with open(path, "rb") as file:
                    self.fail(f"{os.path.basename(path)}: {file.read(8000)!r}\n{done.stderr[-8000:]}")
        self.assertEqual(done.returncode, 0, done.stderr[-8000:])
        executed = int(re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)[1])
        covered = re.findall(r"cov: (\d+)", done.stderr)
        print(f"[{executed} inputs, {covered[-1] if covered else '?'} edges]", end=" ", flush=True)
        self.assertGreaterEqual(executed, len(seeds.all_of(target)))


def add_test(target):
    setattr(Fuzz, f"test_{target}", lambda self: self.fuzz(target))


for one in seeds.SEEDS:
    add_test(one)

if __name__ == "__main__":
    suite.main()
