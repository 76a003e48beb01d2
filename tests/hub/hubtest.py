"""What the suites of the hub have in common: a simulator, the driver program, a cache of their own for each test."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "support"))

import repositories
from simulator import Simulator

PLAIN = os.environ.get("TENON_BUILD", os.path.join(os.path.dirname(TESTS), "build", "plain"))
CHECKED = os.environ.get("TENON_BUILD_CHECKED", PLAIN)
MIB = 1 << 20

# What a test waits for takes no longer than it must.
QUICK = {"transport.backoff_ms": 1}

PINNED, FIRST, FRESH, OFFLINE = 1, 2, 3, 4


def program(build):
    return os.path.join(build, "tests", "hub", "driver")


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def files_below(folder, without=(".cache",)):
    """{path: content} of a folder, links followed."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
        for name in names:
            path = os.path.join(place, name)
            found[os.path.relpath(path, folder)] = read(path)
    return found


def hash_of(etag, data):
    return hashlib.sha256(data).hexdigest() if len(etag) == 64 else git_sha1(data)


class Outcome:
    """What one run of the driver printed."""

    def __init__(self, arguments, output, errors, code):
        lines = [json.loads(line) for line in output.splitlines()]
        self.arguments, self.errors, self.code = arguments, errors, code
        self.rows = [line["row"] for line in lines if "row" in line]
        self.log = [line["log"] for line in lines if "log" in line]
        self.progress = [line["progress"] for line in lines if list(line) == ["progress"]]
        self.ends = [line for line in lines if "status" in line]
        self.end = self.ends[-1] if self.ends else {}
        self.status = self.end.get("status", "").removeprefix("TENON_").removeprefix("ERROR_")
        self.text = self.end.get("text", "")
        self.error = self.end.get("error", {})
        self.bytes = b""

    def paths(self):
        return [row["path"] for row in self.rows]

    def __str__(self):
        return f"driver {' '.join(self.arguments)}\nstatus {self.code} {self.end}\n{self.errors}"


class Running:
    """The driver at work."""

    def __init__(self, arguments, environment, build):
        self.arguments = [str(one) for one in arguments]
        reader, writer = os.pipe() if "read" in self.arguments else (None, None)

        def give_bytes():
            if writer is not None:
                os.dup2(writer, 3)

        command = [program(build), *self.arguments]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace", close_fds=writer is None,
                                        preexec_fn=give_bytes if writer is not None else None)
        self.pid = self.process.pid
        self.pieces, self.thread = [], None
        if writer is not None:
            os.close(writer)
            self.thread = threading.Thread(target=self._take, args=(reader,), daemon=True)
            self.thread.start()

    def _take(self, reader):
        """Take the bytes that are read as they come: a driver whose reader does not read waits for ever."""
        with os.fdopen(reader, "rb") as file:
            while piece := file.read(1 << 20):
                self.pieces.append(piece)

    def wait(self):
        """Its outcome. A sanitizer's complaint is a failure of the test."""
        output, errors = self.process.communicate(timeout=300)
        if self.thread:
            self.thread.join()
        outcome = Outcome(self.arguments, output, errors, self.process.returncode)
        outcome.bytes = b"".join(self.pieces)
        if "ERROR: " in errors or "runtime error:" in errors or self.process.returncode not in (0, 1, -signal.SIGKILL):
            raise AssertionError(str(outcome))
        return outcome

    def kill(self):
        """Kill it as nothing can be killed harder; its outcome, if it has one."""
        self.process.kill()
        return self.wait()


class HubTest(unittest.TestCase):
    """A simulator for the class; a home and a cache for each test. Every test ends without a breach of the protocol."""

    build = CHECKED
    certificate = None
    violates = False
    workers = 0  # threads that a context may start

    @classmethod
    def set_up_scratch(cls):
        """A folder for all tests of the class."""
        scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = os.path.realpath(scratch.name)

    @classmethod
    def setUpClass(cls):
        cls.set_up_scratch()
        cls.hub = Simulator("hub", certificate=cls.certificate)
        cls.addClassCleanup(cls.hub.stop)

    def setUp(self):
        self.hub.clear()
        self.hub.settings()
        self.home = tempfile.mkdtemp(dir=self.scratch)
        self.cache = os.path.join(self.home, "hub")

    def tearDown(self):
        if not self.violates:
            self.assertEqual(self.hub.violations(), [])

    # ---- running ----

    def environment(self, preload=None, **more):
        values = {"PATH": os.environ["PATH"], "HOME": self.home, "LANG": "C.UTF-8", "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
                  "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
        if preload:
            values.update({name: str(value) for name, value in preload.items()}, LD_PRELOAD=os.path.join(PLAIN, "tests", "hub", "faults.so"))
        values.update(more)
        return values

    def start(self, *arguments, environment=None, preload=None, settings=None, cache=None, hub=None, build=None):
        """Start the driver; arguments that are not text are turned into it."""
        sets = [word for key, value in {**QUICK, **(settings or {})}.items() for word in ("--set", f"{key}={value}")]
        where = [] if hub == "" else ["--hub", hub or self.hub.url]
        place = [] if cache == "" else ["--cache", cache or self.cache]
        workers = ["--workers", str(self.workers)] if self.workers else []
        return Running([*sets, *where, *place, *workers, *arguments], self.environment(preload, **(environment or {})),
                       build or (PLAIN if preload else self.build))

    def run_driver(self, *arguments, **options):
        return self.start(*arguments, **options).wait()

    def good(self, *arguments, **options):
        outcome = self.run_driver(*arguments, **options)
        self.assertEqual(outcome.status, "OK", str(outcome))
        return outcome

    def bad(self, status, *arguments, **options):
        """It fails with that status, and says what happened and what to do about it."""
        outcome = self.run_driver(*arguments, **options)
        self.assertEqual(outcome.status, status, str(outcome))
        self.assertTrue(outcome.error["message"], str(outcome))
        self.assertEqual(outcome.error["status"], f"TENON_ERROR_{status}")
        return outcome

    # ---- what the simulator saw ----

    def asked(self, **wanted):
        """(method, what) of the requests so far."""
        return [(one["method"], self.kind_of(one)) for one in self.hub.requests(**wanted)]

    @staticmethod
    def kind_of(one):
        path = one["path"]
        if one["origin"] == "cdn":
            return "cdn"
        for kind in ("/tree/", "/refs", "/resolve/", "/revision/"):
            if kind in path:
                return kind.strip("/")
        return path

    def sent_twice(self):
        """Bytes of files that were sent more than once: {(file, etag): count}."""
        twice = {}
        for one in self.hub.counts():
            at, again = 0, 0
            for first, end in sorted(one["intervals"]):
                again += max(0, min(end, at) - first)
                at = max(at, end)
            if again:
                twice[(one["file"], one["etag"])] = again
        return twice

    # ---- what is in the cache ----

    def assert_is(self, path, facts):
        """The file at path has the size and the hash of the simulator's."""
        data = read(path)
        self.assertEqual((len(data), hash_of(facts["etag"], data)), (facts["size"], facts["etag"]))

    def folder_of(self, identity, cache=None):
        return os.path.join(cache or self.cache, "models--" + identity.replace("/", "--"))

    def leftovers(self, cache=None):
        """Everything in a cache that is not part of its layout."""
        found = []
        for place, folders, names in os.walk(cache or self.cache):
            found += [os.path.join(place, name) for name in folders + names if name.endswith((".incomplete", ".tmp"))]
        return found

    def assert_sound(self, cache=None, leftovers=()):
        """Every blob is what its name says, every link of a snapshot leads to one, and nothing else lies about."""
        cache = cache or self.cache
        for place, _, names in os.walk(cache):
            for name in names:
                path = os.path.join(place, name)
                if os.path.basename(place) == "blobs" and not name.endswith(".incomplete"):
                    self.assertEqual(hash_of(name, read(path)), name)
                elif os.sep + "snapshots" + os.sep in path:
                    self.assertTrue(os.path.isfile(path), f"{path} leads nowhere")
        self.assertEqual([os.path.basename(path) for path in self.leftovers(cache)], list(leftovers))


def glob_files(cache, kind):
    """The paths of all files in blobs/ or below snapshots/ of every repository."""
    found = []
    for repository in (os.listdir(cache) if os.path.isdir(cache) else []):
        for place, _, names in os.walk(os.path.join(cache, repository, kind)):
            found += [os.path.join(place, name) for name in names]
    return found


class Journal:
    """What the journal of a download under way says: the newer of its two slots whose hash is right."""

    SLOT = 4096

    def __init__(self, path):
        self.path = path
        data = read(path)
        slots = [self._parse(data[at:at + self.SLOT]) for at in (0, self.SLOT)]
        best = max((slot for slot in slots if slot), key=lambda slot: slot["sequence"])
        self.data, self.size, self.sequence, self.owner, self.durable = (best[key] for key in ("data", "size", "sequence", "owner", "durable"))

    @staticmethod
    def _parse(slot):
        text = slot.rstrip(b"\0")
        body, mark, check = text.rpartition(b"check ")
        if not mark or hashlib.sha256(body).hexdigest().encode() != check.strip():
            return None
        lines = dict(line.split(" ", 1) for line in body.decode().splitlines())
        durable = [tuple(map(int, one.split("-"))) for one in lines["durable"].split()]
        return {"data": lines["data"], "size": int(lines["size"]), "sequence": int(lines["sequence"]), "owner": lines["owner"], "durable": durable}

    def rewrite(self, durable=None, owner=None):
        """Make it say something else, in the slot whose turn it is."""
        self.durable, self.owner, self.sequence = durable or self.durable, owner or self.owner, self.sequence + 1
        ranges = " ".join(f"{first}-{end}" for first, end in self.durable)
        body = f"tenon-partial 1\ndata {self.data}\nsize {self.size}\nsequence {self.sequence}\nowner {self.owner}\ndurable {ranges}\n".encode()
        slot = body + b"check " + hashlib.sha256(body).hexdigest().encode() + b"\n"
        with open(self.path, "r+b") as file:
            file.seek(self.sequence % 2 * self.SLOT)
            file.write(slot.ljust(self.SLOT, b"\0"))


def journals(folder):
    """The journals of downloads under way in a cache or a folder. One may go while it is read."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            if ".j" in name and name.endswith(".tenon.incomplete"):
                try:
                    found.append(Journal(os.path.join(place, name)))
                except (FileNotFoundError, ValueError):
                    pass
    return found


def durable_bytes(folder):
    return sum(end - first for journal in journals(folder) for first, end in journal.durable)


def wait_for_durable(case, count, folder=None):
    """Wait until that many bytes are durable; a test that waits for more than a minute has failed."""
    limit = time.monotonic() + 60
    while durable_bytes(folder or case.cache) < count:
        case.assertLess(time.monotonic(), limit, "the bytes do not become durable")
        time.sleep(0.02)


def wait_for_links(case, folder, count):
    """Wait until so many files of a snapshot are in their place: those that came may still wait for the disk."""
    limit = time.monotonic() + 60
    while sum(len(names) for _, _, names in os.walk(os.path.join(folder, "snapshots"))) < count:
        case.assertLess(time.monotonic(), limit, f"{folder} never got {count} files")
        time.sleep(0.02)
