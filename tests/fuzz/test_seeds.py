"""Every fuzz target on its seeds, and on inputs that are made of them the same way every time, under the address and
undefined-behavior sanitizers. Whatever foreign bytes say: no crash, no leak, and what the target promises of them holds. Some
thousands of inputs for each target in the quick tier, five times as many in the second."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

import seeds

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHECKED = os.environ.get("TENON_BUILD_CHECKED", os.path.join(ROOT, "build", "checked"))

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import suite  # noqa: E402

ROUNDS = 10000
# What opens a context and writes files for each input takes its time.
SLOW = {"cache": 600, "hub": 3000, "inference": 3000, "state": 2000, "machine": 2000, "tree": 3000, "log": 3000}
SHARED = {"answers", "fuzz", "replay", "sizes"}
TIMES = 5 if os.environ.get("TENON_THOROUGH") else 1


def program_of(target):
    return os.path.join(CHECKED, "tests", "fuzz", f"fuzz-{target}")


class Seeds(unittest.TestCase):
    """The seeds and what is made of them, target by target."""

    @staticmethod
    def run_target(target, folder, paths, rounds, **variables):
        """The target on files and on what is made of them; its last input stays in the folder."""
        command = [program_of(target), os.path.join(folder, "current"), str(rounds), *paths]
        return subprocess.run(command, capture_output=True, check=False, timeout=1200,
                              env=dict(os.environ, UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1", **variables))

    def replay(self, target, rounds):
        with tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP")) as folder:
            paths = seeds.write(target, os.path.join(folder, "seeds"))
            done = self.run_target(target, folder, paths, rounds)
            if done.returncode != 0:
                with open(os.path.join(folder, "current"), "rb") as file:
                    told = done.stderr.decode(errors="replace")[:6000]
                    self.fail(f"status {done.returncode}\n{told}\ninput: {file.read(4000)!r}")
            return int(re.fullmatch(rb"(\d+) inputs\n", done.stdout)[1]), len(paths)

    def told(self, target):
        """How the operations of a target's own seeds end, in order."""
        with tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP")) as folder:
            paths = seeds.write(target, os.path.join(folder, "seeds"))[:len(seeds.SEEDS[target])]
            done = self.run_target(target, folder, paths, 0, FUZZ_TELL="1")
        self.assertEqual(done.returncode, 0, done.stderr)
        return re.findall(r"^(TENON_\w+) ", done.stderr.decode(errors="replace"), re.M)

    def check(self, target):
        rounds = TIMES * SLOW.get(target, ROUNDS)
        ran, there = self.replay(target, rounds)
        self.assertEqual(ran, rounds + there)
        self.assertGreater(there, 2)

    def test_every_target_has_seeds(self):
        sources = {os.path.basename(path)[:-2] for path in glob.glob(os.path.join(HERE, "*.c"))} - SHARED
        self.assertEqual(sources, set(seeds.SEEDS))
        self.assertLessEqual({os.path.basename(path) for path in glob.glob(os.path.join(HERE, "seeds", "*"))}, sources)

    def test_seeds_of_whole_flows_go_through(self):
        # Or all that is made of them would only ever see refusals.
        self.assertEqual(self.told("hub").count("TENON_OK"), len(seeds.SEEDS["hub"]) - seeds.HUB_REFUSED)
        self.assertGreaterEqual(self.told("inference").count("TENON_OK"), 6)
        self.assertEqual(set(self.told("machine")), {"TENON_OK"})

    def test_seeds_differ(self):
        for target in seeds.SEEDS:
            contents = list(seeds.all_of(target).values())
            self.assertEqual(len(contents), len(set(contents)), target)


def add_test(target):
    setattr(Seeds, f"test_{target}", lambda self: self.check(target))


for one in seeds.SEEDS:
    add_test(one)

if __name__ == "__main__":
    suite.main()
