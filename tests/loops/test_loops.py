"""tenon inside foreign event loops: poll, epoll, libuv, GLib, a frame loop and asyncio, each with something of the host's own going
on while the hub trickles and stalls; and the programs that tenon was designed for, run whole."""

import asyncio
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TENON_BUILD", os.path.join(ROOT, "build", "plain"))
CHECKED = os.environ.get("TENON_BUILD_CHECKED", BUILD)
os.environ.setdefault("TENON_LIBRARY", os.path.join(BUILD, "lib", "libtenon.so"))
sys.path[:0] = [os.path.join(ROOT, "tests", "support"), os.path.join(ROOT, "bindings", "python")]

import repositories  # noqa: E402
import suite  # noqa: E402
import tenon  # noqa: E402
from simulator import Simulator  # noqa: E402

MIB = 1 << 20
SIZE = MIB // 2
NAMES = ["acme/one", "acme/two", "acme/three", "acme/four", "acme/five", "acme/stalled"]
SUPERVISOR = os.path.join(BUILD, "lib", "tenon-supervisor")
HUB = "file://" + os.path.join(ROOT, "examples", "hub")

# Nothing here is measured against a clock but this: how long a loop that is not held up may take at most, by far.
GENEROUS_S = 1.0


def shares_content(folder):
    """Whether the file system can make a copy that shares its content with the original."""
    with tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as other:
        one.write(b"x" * 65536)
        one.flush()
        try:
            fcntl.ioctl(other, 0x40049409, one.fileno())  # FICLONE
            return True
        except OSError:
            return False


def setUpModule():
    global hub, stalled
    hub = Simulator("hub")
    unittest.addModuleCleanup(hub.stop)
    for name in NAMES:
        stalled = hub.put_repository(repositories.large_file(SIZE, name, seed=name))["files"]["model.bin"]["etag"]


class Case(unittest.TestCase):
    def setUp(self):
        hub.clear()
        # A download takes a second; the stalled one gets some bytes and then nothing more.
        hub.faults({"origin": "cdn", "slow": SIZE}, {"origin": "cdn", "path": stalled, "stall": {"after": 4096}})
        self.home = self.folder()
        self.environment = {"PATH": os.environ["PATH"], "HOME": self.home, "LANG": "C.UTF-8", "HF_ENDPOINT": hub.url,
                            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "TENON_JOBS": os.path.join(self.home, "jobs"),
                            "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}

    def tearDown(self):
        hub.clear_faults()
        self.assertEqual(hub.violations(), [])

    def folder(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        self.addCleanup(folder.cleanup)
        return os.path.realpath(folder.name)

    def run_program(self, *command, status=0, cwd=ROOT, **more):
        """What a program prints; its errors when it is to fail."""
        done = subprocess.run(command, env={**self.environment, **more}, cwd=cwd, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, status, f"{command}\n{done.stdout}{done.stderr}")
        return done.stderr if status else done.stdout

    def example(self, name):
        """A program of examples/ under the sanitizers."""
        path = os.path.join(CHECKED, "examples", name)
        if not os.path.exists(path):
            self.skipTest(f"examples/{name} was not built")
        return path

    def check_file(self, path):
        """It is in the cache, whole."""
        self.assertTrue(path.startswith(self.home), path)
        with open(path, "rb") as file:
            data = file.read()
        self.assertEqual((len(data), hashlib.sha256(data).hexdigest()), (SIZE, os.path.basename(os.path.realpath(path))))

    @staticmethod
    def tell(**figures):
        print(" ".join(f"{name}={value}" for name, value in figures.items()), end=" ", flush=True)


class Examples(Case):
    """The programs of examples/ that show it: their own timer ticks while they download."""

    def check_ticks(self, output):
        path, ticks = re.fullmatch(r"(.*)\n(\d+) ticks of the timer meanwhile\n", output).groups()
        self.check_file(path)
        self.tell(ticks=ticks)
        # Ten in each second, of which there is one; a loop that is held up sees one or two.
        self.assertGreaterEqual(int(ticks), 5)

    def test_epoll(self):
        self.check_ticks(self.run_program(self.example("epoll"), "acme/one", "model.bin"))

    def test_libuv(self):
        self.check_ticks(self.run_program(self.example("libuv"), "acme/one", "model.bin"))

    def test_glib(self):
        self.check_ticks(self.run_program(self.example("glib"), "acme/one", "model.bin"))

    def test_frame_loop(self):
        output = self.run_program(self.example("frame_loop"), "acme/one")
        *bars, folder, frames = output.replace("\r", "\n").strip().splitlines()
        self.check_file(os.path.join(folder, "model.bin"))
        # Sixty in each second. The bar grew on the way, and is full at the end.
        self.tell(frames=frames)
        self.assertGreaterEqual(int(frames.split()[0]), 20)
        full = [line.count("#") for line in bars if line.startswith("[")]
        self.assertEqual((full[0], full[-1], full == sorted(full)), (0, 40, True))
        self.assertGreater(len(set(full)), 5)
        self.assertEqual({line.strip() for line in bars if line.strip() and not line.startswith("[")}, {"config.json", "model.bin"})

    def test_quickstart(self):
        folder = self.run_program(self.example("quickstart"), "acme/one").strip()
        self.check_file(os.path.join(folder, "model.bin"))

    def test_they_say_what_went_wrong(self):
        for name, words in (("epoll", ["acme/none", "x"]), ("libuv", ["acme/none", "x"]), ("glib", ["acme/none", "x"]),
                            ("frame_loop", ["acme/none"]), ("quickstart", ["acme/none"])):
            with self.subTest(name):
                self.assertIn("acme/none", self.run_program(self.example(name), *words, status=1))
                wrong = self.run_program(self.example(name), *words, status=1, HF_ENDPOINT="gopher://nowhere")
                self.assertIn("gopher", wrong)


class Built(Case):
    """With a program of the tests' own."""

    def build(self, folder, name="several"):
        program = os.path.join(folder, name)
        library = os.path.join(BUILD, "lib")
        folders = [f"-I{os.path.join(ROOT, name)}" for name in ("include", "tests/support")]
        options = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread", "-g", *folders]
        subprocess.run(["gcc", *options, os.path.join(HERE, name + ".c"), "-o", program, f"-L{library}", "-ltenon",
                        f"-Wl,-rpath,{library}"], check=True)
        return program


class Several(Built):
    """Many tasks behind one descriptor and one timeout."""

    def test_poll(self):
        figures = json.loads(self.run_program(self.build(self.folder()), hub.url, self.home))
        self.tell(**figures)
        self.assertGreaterEqual(figures["ticks"], 20)
        # It sleeps where nothing happens: it comes round for ticks and for what arrives, and not without end.
        self.assertLess(figures["turns"], 10 * figures["ticks"] + 2000)
        for name in ("longest_step_us", "latest_tick_us", "cancel_us"):
            self.assertLess(figures[name], GENEROUS_S * 1e6, name)
        for name in NAMES[:-1]:
            folder = os.path.join(self.home, ".cache", "huggingface", "hub", "models--" + name.replace("/", "--"), "snapshots")
            self.check_file(os.path.join(folder, os.listdir(folder)[0], "model.bin"))

    def test_what_is_cancelled_is_no_longer_read(self):
        self.run_program(self.build(self.folder()), hub.url, self.home)
        hub.clear_faults()
        requests = [one for one in hub.requests(origin="cdn") if stalled in one["path"]]
        self.assertTrue(requests)
        self.assertLess(max(one["sent"] for one in requests), SIZE)


class Steps(Built):
    """Large content is worked on in slices: a step that may only do what can be done now does a little of it."""

    LARGE = 64 * MIB

    def test_steps(self):
        hub.clear_faults()
        for name in ("acme/large", "acme/other"):
            hub.put_repository(repositories.large_file(self.LARGE, name, seed=name))
        os.mkdir(os.path.join(self.home, "hub"))
        lines = self.run_program(self.build(self.folder(), "steps"), hub.url, self.home, SUPERVISOR).splitlines()
        found = {one["what"]: one for one in map(json.loads, lines)}
        print()
        for what, one in found.items():
            print(f"    {what:16} {one['steps']:4} steps in {one['took_ms']:5} ms, the longest {one['longest_step_ms']:6} ms, "
                  f"the longest call {one['longest_call_ms']:4} ms", flush=True)
        for what in ("download", "verify", "go on", "into a folder", "publish", "from a file: hub"):
            self.assertGreaterEqual(found[what]["steps"], self.LARGE / MIB / 16, what)


class Watched(asyncio.SelectorEventLoop):
    """An event loop of Python's that notes what it is asked to watch, and that nobody uses its threads."""

    def __init__(self):
        self.descriptors, self.others = set(), []
        super().__init__()

    def _add_reader(self, fd, callback, *arguments):
        self.descriptors.add(fd)
        return super()._add_reader(fd, callback, *arguments)

    def _add_writer(self, fd, callback, *arguments):
        self.others.append("writer")
        return super()._add_writer(fd, callback, *arguments)

    def run_in_executor(self, executor, function, *arguments):
        self.others.append("executor")
        return super().run_in_executor(executor, function, *arguments)


class Asyncio(Case):
    """The Python binding in asyncio's own loop."""

    def setUp(self):
        super().setUp()
        self.context = tenon.Context({"home": self.home, "hub.no_token": "1"}, environment=False)
        self.addCleanup(self.context.close)
        self.hub = tenon.Hub(hub.url, context=self.context)
        self.loop = Watched()
        self.addCleanup(self.loop.close)
        self.own = set(self.loop.descriptors)
        self.ticks, self.latest = 0, 0.0

    async def tick(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.ticks += 1
            self.latest = max(self.latest, time.monotonic() - before - 0.01)

    def run_async(self, body):
        async def whole():
            ticker = asyncio.ensure_future(self.tick())
            try:
                return await body()
            finally:
                ticker.cancel()
        return self.loop.run_until_complete(whole())

    def check_loop(self):
        self.tell(ticks=self.ticks, latest_tick_ms=round(self.latest * 1000, 1))
        self.assertGreaterEqual(self.ticks, 20)
        self.assertLess(self.latest, GENEROUS_S)
        self.assertEqual((self.loop.descriptors - self.own, self.loop.others), ({self.context.descriptor()}, []))

    def test_several_downloads(self):
        async def body():
            return await asyncio.gather(*[self.hub.start_download(name, "model.bin") for name in NAMES[:-1]])
        for path in self.run_async(body):
            self.check_file(path)
        self.check_loop()

    def test_cancelling(self):
        async def body():
            stalled = self.hub.start_download("acme/stalled", "model.bin")
            waiter = asyncio.ensure_future(stalled)
            path = await self.hub.start_download("acme/one", "model.bin")
            self.assertFalse(waiter.done())
            self.assertGreater(stalled.progress().bytes, 0)
            begin = time.monotonic()
            waiter.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await waiter
            return path, time.monotonic() - begin, stalled.state()
        path, took, state = self.run_async(body)
        self.check_file(path)
        self.tell(cancel_ms=round(took * 1000, 2))
        self.assertEqual(state, tenon.Status.ERROR_CANCELLED)
        self.assertLess(took, GENEROUS_S)
        self.check_loop()

    # What is published: large enough that a loop which is held up by all of it, or by one of its files, would tick a few times.
    FILES = {"a.bin": 150 * MIB, "b.bin": 50 * MIB}

    def make_files(self):
        """The folder to be published, and an opened file: hub to publish it to."""
        folder = os.path.join(self.home, "work")
        os.makedirs(folder)
        os.makedirs(os.path.join(self.home, "repositories"))
        for name, size in self.FILES.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(os.urandom(MIB) * (size // MIB))
        return folder, tenon.Hub("file://" + os.path.join(self.home, "repositories"), context=self.context)

    def in_place(self, *parts):
        return os.path.join(self.home, "repositories", "acme", "large", *parts)

    async def turns(self, task, until=lambda: False):
        """How many turns the loop makes until the task has ended, or until something is so."""
        count = 0
        while task.state() == tenon.Status.AGAIN and not until():
            await asyncio.sleep(0)
            count += 1
        return count

    def test_publishing(self):
        """The loop ticks while 200 MB are stored and laid out, and while they are downloaded from there."""
        folder, target = self.make_files()
        slices = sum(self.FILES.values()) // MIB

        async def follow(start, *arguments, **options):
            task = start("acme/large", *arguments, **options)
            waiter = asyncio.ensure_future(task)
            turns, progress = await self.turns(task), task.progress()
            return await waiter, turns, progress

        def check(turns, progress, least):
            self.tell(turns=turns)
            self.assertGreaterEqual(turns, least)
            self.assertEqual((progress.bytes, progress.bytes_total), (slices * MIB, slices * MIB))
            self.assertEqual((progress.items, progress.items_total), (len(self.FILES), len(self.FILES)))

        _, turns, progress = self.run_async(lambda: follow(target.start_publish, folder=folder))
        # Once into the history and, unless the file system shares the content, once more beside it.
        check(turns, progress, slices * (1 if shares_content(self.home) else 2))
        for name, size in self.FILES.items():
            self.assertEqual(os.path.getsize(self.in_place(name)), size)
        place, turns, progress = self.run_async(lambda: follow(target.start_snapshot))
        # Both files at once.
        check(turns, progress, max(self.FILES.values()) // MIB)
        self.assertEqual(sorted(os.listdir(place)), sorted(self.FILES))

    def test_publishing_cancelled(self):
        """Cancelled while the content is stored there is no commit, later there is one; what was begun is gone, and may be done again."""
        folder, target = self.make_files()
        blobs = self.in_place(".tenon", "blobs")
        cases = ((0, lambda: task.progress().bytes > 100 * MIB), (1, lambda: os.path.exists(self.in_place(".tenon", "refs", "heads", "main"))))
        for commits, until in cases:
            async def body():
                nonlocal task
                task = target.start_publish("acme/large", folder=folder)
                waiter = asyncio.ensure_future(task)
                await self.turns(task, until)
                waiter.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await waiter
            task = None
            self.run_async(body)
            self.assertEqual(len(os.listdir(self.in_place(".tenon", "commits"))), commits)
            self.assertEqual([name for name in os.listdir(blobs) if "incomplete" in name], [])
            self.assertLess(len(os.listdir(self.in_place())), 1 + len(self.FILES))
        commit = target.publish("acme/large", folder=folder)
        self.assertEqual(os.listdir(self.in_place(".tenon", "commits")), [commit + ".json"])
        for name in self.FILES:
            self.assertEqual(os.path.getsize(self.in_place(name)), self.FILES[name])


class Dreams(Case):
    """The programs that tenon was designed for, whole, on this machine: the hub is a folder, the model a real one."""

    def setUp(self):
        super().setUp()
        self.environment.update(HF_ENDPOINT=HUB, TENON_SUPERVISOR=SUPERVISOR)
        if subprocess.run(["/usr/bin/python3", "-c", "import numpy"], capture_output=True).returncode != 0:
            self.skipTest("python3-numpy is not installed")

    def test_c_serves_and_asks(self):
        answer = self.run_program(os.path.join(BUILD, "examples", "serve"))
        self.assertGreater(len(answer.strip()), 10)

    def test_c_draws_frames(self):
        *_, folder, frames = self.run_program(self.example("frame_loop"), "tenon/tiny").replace("\r", "\n").strip().splitlines()
        self.assertEqual(sorted(os.listdir(folder)), sorted(os.listdir(os.path.join(ROOT, "examples", "hub", "tenon", "tiny"))))
        self.assertRegex(frames, r"^\d+ frames$")

    def test_python_fetches_plans_serves_and_asks(self):
        program = """
import tenon
hub = tenon.Hub()
folder = hub.snapshot("tenon/tiny", allow=["*.json", "*.safetensors"])
for offer in tenon.plan("tenon/tiny", train="lora"):
    print(offer)
with tenon.serve("tenon/tiny", on="local:cpu", recipe="examples/workload/serve.json") as job:
    for piece in job.chat("What is a tenon?", max_tokens=32):
        print(piece, end="", flush=True)
"""
        output = self.run_program("/usr/bin/python3", "-c", program, PYTHONPATH=os.path.join(ROOT, "bindings", "python"),
                                  TENON_LIBRARY=os.path.join(BUILD, "lib", "libtenon.so"), OMP_NUM_THREADS="1")
        offers, _, answer = output.partition("\n")
        self.assertIn("local:cpu", output)
        self.assertIn("fits", offers)
        self.assertGreater(len(answer.strip()), 10)


if __name__ == "__main__":
    suite.main()
