"""Hostile servers: whatever an answer has become, the client ends with a status, and nothing of it gets where it should not.

    TENON_MUTATIONS=20000   how many answers are spoilt (600; 20,000 in the second tier)
    TENON_SEED=N            the seed of a run that failed, and
    TENON_LIFE=N            the one life of it that failed

Each operation of the hub and of inference is done once with the simulators, by way of a server in between that remembers what
they answer. Then lives are led: a home of its own, some operations in it, and among their answers some that chance has spoilt
(mutation.py). The client is hostile.c, thousands of operations in one process, with the sanitizers; a shorter run without
them looks at memory. After each life no file lies outside its cache and its folder, what has its name is what the name says, and an
honest server can still give what it has.
"""

import glob
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(TESTS, "support"), os.path.join(TESTS, "hub")]

import layout
import mutation
import repositories
import suite
from between import Between
from hubtest import CHECKED, MIB, PLAIN, hash_of, read
from simulator import Simulator

MUTATIONS = suite.number("TENON_MUTATIONS", 600, 20000)
SEED = suite.seed()
ONLY = os.environ.get("TENON_LIFE")
PATIENCE = 120   # seconds; only an operation that hangs ever takes so long
MOST_FAILURES = 5
MOST_OF_ONE = 20  # spoilt answers to one operation: who gets a little each time goes on asking
ENOUGH_OPERATIONS = 3000  # of one process
# What a client may hold that takes JSON of a megabyte, parts of 256 KiB, four at once.
MOST_MEMORY = 96 * MIB

FILES = {
    "config.json": json.dumps(repositories.CONFIG), "README.md": repositories.CARD, "tokenizer/vocabulary/words.txt": "one\ntwo\n",
    "empty.txt": "",
    "model.safetensors": repositories.safetensors({"a.weight": ("F32", [256, 64]), "b.weight": ("BF16", [64])}, "first"),
    "large.bin": {"size": MIB + 200000, "seed": "large"},
}
SMALL = {"config.json": json.dumps(repositories.CONFIG), "a/b.txt": "b\n",
         "weights.bin": {"size": 3000, "seed": "weights", "lfs": True}}
# Operations of hostile.c with their arguments; the second word of a name only tells two alike apart.
OF_HUB = {
    "info": ("acme/small",), "info dataset": ("datasets/acme/data",), "info space": ("spaces/acme/app",),
    "info gated": ("acme/gated",), "list": ("acme/files",), "list folder": ("acme/small", "a"), "list pages": ("acme/many",),
    "references": ("acme/tagged",), "exists": ("acme/small", "config.json"), "exists not": ("acme/small", "none.txt"),
    "download": ("acme/small", "config.json"), "download lfs": ("acme/small", "weights.bin"),
    "download large": ("acme/files", "large.bin"), "download absent": ("acme/none", "x"), "folder": ("acme/small", "a/b.txt"),
    "folder lfs": ("acme/small", "weights.bin"), "folder large": ("acme/files", "large.bin"), "snapshot": ("acme/small",),
    "snapshot data": ("datasets/acme/data",), "snapshot-folder": ("acme/small",), "snapshot pages": ("acme/many",),
    "read": ("acme/files", "model.safetensors"), "read-range": ("acme/files", "large.bin"), "fit": ("acme/files",),
    "fit gguf": ("acme/gguf",), "check": (), "fresh": ("acme/small", "config.json"), "fresh lfs": ("acme/small", "weights.bin"),
}
SHARE = {"download large": 0.3, "folder large": 0.3, "snapshot pages": 0.3}  # what takes long is done less often
WORDS = {"pieces": ["one ", "two ", "three"], "reasoning": ["hm", "m"]}
TOOL = {"tools": [{"id": "call_1", "name": "look", "arguments": ['{"at"', ': "x"}']}], "stop": "tool_calls"}
OF_INFERENCE = {
    "chat": ({}, WORDS), "chat vllm": ({"server": "vllm"}, WORDS), "chat tgi": ({"server": "tgi"}, WORDS),
    "chat llama": ({"server": "llama"}, WORDS), "chat tools": ({}, TOOL), "chat choices": ({}, {"choices": [WORDS, TOOL]}),
    "chat-whole": ({}, WORDS), "chat-whole tools": ({"server": "vllm"}, TOOL), "complete": ({}, {"pieces": ["a ", "b"]}),
    "complete llama": ({"server": "llama"}, {"pieces": ["a"]}),
    "models": ({"models": ["a", {"id": "b", "object": "model"}]}, WORDS), "models vllm": ({"server": "vllm"}, WORDS),
    "chat refused": ({"key": "another"}, WORDS),
}
REFUSED = {"exists not": "TENON_ERROR_NOT_FOUND", "download absent": "TENON_ERROR_NOT_FOUND",
           "chat refused": "TENON_ERROR_UNAUTHORIZED"}


class Broken(AssertionError):
    pass


class Client:
    """hostile.c at work."""

    def __init__(self, build, folder):
        self.errors = open(os.path.join(folder, "errors"), "w+", encoding="utf-8", errors="replace")
        self.cwd = os.path.join(folder, "cwd")
        os.makedirs(self.cwd, exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "HOME": self.cwd, "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
                       "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=16:allocator_may_return_null=0",
                       "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
        self.process = subprocess.Popen([os.path.join(build, "tests", "torture", "hostile")], cwd=self.cwd, env=environment,
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors)
        self.output, self.rest, self.count = self.process.stdout.fileno(), b"", 0

    def do(self, home, url, operation, *words):
        """(status, the most memory so far, text) of one operation."""
        self.count += 1
        self.process.stdin.write(("\t".join((str(self.count), home, url, operation.split()[0], *words)) + "\n").encode())
        self.process.stdin.flush()
        limit = time.monotonic() + PATIENCE
        while b"\n" not in self.rest:
            if not select.select([self.output], [], [], max(0, limit - time.monotonic()))[0]:
                self.process.kill()
                raise Broken(f"{operation} does not come to its end")
            piece = os.read(self.output, 65536)
            if not piece:
                raise Broken(f"the client died of {operation}: status {self.process.wait()}\n{self.told()}")
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        number, status, peak, text = line.decode(errors="replace").split(" ", 3)
        if int(number) != self.count:
            raise Broken(f"not the answer to {operation}: {line}")
        return status, int(peak), text

    def told(self):
        self.errors.flush()
        self.errors.seek(0)
        return self.errors.read()[-6000:]

    def end(self):
        """It has lost no memory either."""
        self.process.stdin.close()
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        told = self.told()
        self.errors.close()
        if status or told:
            raise Broken(f"the client ended with {status}: {told}")

    def drop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


class Plan:
    """Which answers to an operation are spoilt: one in its turn, that one whenever it is asked again, or all of them."""

    def __init__(self, chance, requests, outside):
        self.chance, self.outside = chance, outside
        self.first = chance.randrange(max(1, requests))
        self.again, self.all = chance.random() < 0.5, chance.random() < 0.05
        self.seed = chance.getrandbits(64)
        self.count, self.path, self.done = 0, None, []

    def change(self, asked, answer):
        turn, path = self.count, (asked.method, asked.target.partition("?")[0])
        self.count += 1
        if turn == self.first:
            self.path = path
        if len(self.done) < MOST_OF_ONE and (turn == self.first or self.all or (self.again and path == self.path)):
            done = mutation.mutate(random.Random(f"{self.seed} {'' if self.again else turn}"), answer, self.outside)
            self.done.append(f"{asked}: {', '.join(done)}")
        return answer


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"{MUTATIONS} spoilt answers; to do it again: TENON_SEED={SEED}", flush=True)
        scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = os.path.realpath(scratch.name)
        cls.hub, cls.inference = Simulator("hub"), Simulator("inference")
        for one in (cls.hub, cls.inference):
            cls.addClassCleanup(one.stop)
        cls.hub.settings(page_size=4)
        cls.small = None
        for files, name in ((FILES, "files"), (SMALL, "small"), ({f"{number}.txt": f"{number}\n" for number in range(10)}, "many")):
            facts = cls.hub.put_repository({"id": f"acme/{name}", "files": files})
            cls.small = facts if name == "small" else cls.small
        cls.hub.put_repository({"id": "acme/gguf", "files": {"model.gguf": repositories.gguf(9, 64)}})
        cls.hub.put_repository({"id": "acme/data", "type": "dataset",
                                "files": {"a.csv": "1,2\n", "b/c.parquet": {"size": 5000, "seed": "c"}}})
        cls.hub.put_repository({**repositories.small_model("acme/tagged")})
        cls.hub.put_repository(repositories.space())
        cls.hub.put_repository({"id": "acme/gated", "gated": "manual", "files": {"config.json": "{}"}})
        cls.truth = {operation: cls.small["files"][OF_HUB[operation][1]]["etag"] for operation in ("fresh", "fresh lfs")}

    def setUp(self):
        # So deep that whatever climbs out of a life is still seen.
        self.root = tempfile.mkdtemp(dir=self.scratch)
        self.folder = os.path.join(self.root, "deep", "deeper", "still deeper")
        self.lives = os.path.join(self.folder, "lives")
        self.outside = os.path.join(self.folder, "outside")
        os.makedirs(self.lives)
        os.makedirs(self.outside)
        self.plan, self.build = None, CHECKED
        self.client, self.peak, self.ended = None, 0, {}
        self.hub_between = Between({"hub": self.hub.url, "cdn": self.hub.facts["cdn"]}, self.change)
        self.inference_between = {}
        self.addCleanup(self.hub_between.stop)
        self.addCleanup(lambda: [one.stop() for one in self.inference_between.values()])
        self.addCleanup(lambda: self.client and self.client.drop())

    def change(self, asked, answer):
        plan = self.plan  # what comes too late meets the next one, or none
        if plan is None:
            return answer
        # A hostile server has a content for every name that it gives, and one that its listing promises.
        if answer.status == b"404" and asked.name == "hub" and not asked.target.startswith("/api/"):
            asked.target = "/acme/small/resolve/main/config.json"
            answer = self.hub_between.honest(asked)
        return plan.change(asked, answer)

    # ---- operations ----

    def start(self, build):
        self.build, self.client = build, Client(build, self.folder)
        self.furniture = {os.path.join(place, name) for place, folders, names in os.walk(self.root) for name in (*folders, *names)}

    def address(self, operation):
        if operation in OF_HUB:
            return self.hub_between.urls["hub"]
        return self.inference_between[operation].urls["inference"] + "/v1"

    def do(self, home, operation, plan=None):
        """One operation, spoilt as planned; how it ended."""
        self.plan = plan
        status, peak, text = self.client.do(home, self.address(operation), operation, *OF_HUB.get(operation, ()))
        self.plan = None
        between = self.hub_between if operation in OF_HUB else self.inference_between[operation]
        if between.problems:
            raise Broken(between.problems.pop())
        self.taken, between.asked = len(between.asked), []
        self.peak = max(self.peak, peak)
        if not re.fullmatch(r"TENON_(DONE|ERROR_\w+)", status) or status in ("TENON_ERROR_INTERNAL", "TENON_ERROR_MISUSE"):
            raise Broken(f"{operation} ended with {status}")
        return status, text

    def remember(self):
        """What the simulators say to each operation; how many requests each takes."""
        self.requests = {}
        for operation in (*OF_HUB, *OF_INFERENCE):
            between = self.hub_between
            if operation in OF_INFERENCE:
                between = self.inference_between[operation] = Between({"inference": self.inference.url}, self.change)
                settings, answer = OF_INFERENCE[operation]
                self.inference.control("PUT", "settings", settings)
                self.inference.control("PUT", "answers", [answer])
            between.remembers = True
            home = tempfile.mkdtemp(dir=self.lives)
            status, _ = self.do(home, operation)
            self.requests[operation] = self.taken
            between.remembers = False
            self.assertEqual(status, REFUSED.get(operation, "TENON_DONE"), operation)
            shutil.rmtree(home)

    # ---- what is left of it ----

    def check_files(self, home):
        """Nothing lies where it should not, and nothing has a name that it does not deserve."""
        found = {os.path.join(place, name) for place, folders, names in os.walk(self.root) for name in (*folders, *names)
                 if not (place + "/").startswith((home + "/cache/", home + "/folder/"))}
        strange = found - self.furniture - {home, home + "/cache", home + "/folder"}
        if strange:
            raise Broken(f"outside of the cache and the folder are {sorted(strange)}")
        cache = os.path.join(home, "cache")
        if wrong := [what for what in layout.breaches(cache) if not self.is_odd_content(cache, what)]:
            raise Broken(f"the cache is wrong: {wrong}")
        self.check_folder(os.path.join(home, "folder"))

    @staticmethod
    def is_odd_content(cache, what):
        """A content may have an id that is no hash; a link to one leads somewhere all the same."""
        link = re.fullmatch(r"(\S+): (snapshots/.+) leads to (\.\./)+blobs/[\w.-]+", what)
        return what.endswith("is no content id") or (link and os.path.isfile(os.path.join(cache, link.group(1), link.group(2))))

    def check_folder(self, folder):
        """Every file in a folder of the user's is what the note beside it says, and no link."""
        for place, folders, names in os.walk(folder):
            for name in names:
                path = os.path.join(place, name)
                inside = os.path.relpath(path, folder)
                if os.path.islink(path) or any(os.path.islink(os.path.join(place, one)) for one in folders):
                    raise Broken(f"{inside} is a link")
                if not inside.startswith(".cache/huggingface/"):
                    note = os.path.join(folder, ".cache", "huggingface", "download", inside + ".metadata")
                    etag = read(note).decode().split("\n")[1] if os.path.exists(note) else None
                    if etag is None or (layout.HASH.fullmatch(etag) and hash_of(etag, read(path)) != etag):
                        raise Broken(f"{inside} has its name and is not {etag}")

    def check_honest(self, home):
        """Whatever was believed of them: with an honest server the files are what they should be."""
        for operation, etag in self.truth.items():
            status, text = self.do(home, operation)
            # A listing of this very commit may have said that a file is a folder: nobody takes that away, and it is told.
            stands = glob.glob(os.path.join(home, "cache", "models--acme--small", "snapshots", "*", OF_HUB[operation][1], ""))
            if status == "TENON_ERROR_IO" and stands:
                continue
            if status != "TENON_DONE" or hash_of(etag, read(text)) != etag:
                raise Broken(f"with an honest server {operation} ends with {status} {text}")

    # ---- lives ----

    def lead(self, number):
        """One life; how many answers were spoilt in it."""
        chance = random.Random(f"{SEED} {number}")
        of_hub = chance.random() < 0.75
        names = list(OF_HUB if of_hub else OF_INFERENCE)
        home, plans, told = tempfile.mkdtemp(dir=self.lives), [], []
        try:
            last = chance.choices(names, [SHARE.get(name, 1) for name in names])[0]
            for _ in range(chance.choice((1, 2, 3, 4)) if of_hub else 8):
                if chance.random() < 0.5:
                    last = chance.choices(names, [SHARE.get(name, 1) for name in names])[0]
                plans.append(Plan(chance, self.requests[last], self.outside))
                told.append(last)
                status, _ = self.do(home, last, plans[-1])
                told[-1] += f" -> {status}"
                self.ended[status] = self.ended.get(status, 0) + 1
            if of_hub:
                self.check_files(home)
                self.check_honest(home)
                self.check_files(home)
                for operation in ("cached", "verify"):
                    self.client.do(home, self.address("info"), operation)
        except (Broken, OSError, ValueError) as problem:
            steps = "\n".join(f"  {step}\n    " + "\n    ".join(plan.done) for step, plan in zip(told, plans))
            raise Broken(f"TENON_SEED={SEED} TENON_LIFE={number}: {problem}\n{steps}") from problem
        shutil.rmtree(home)
        return sum(len(plan.done) for plan in plans)

    def lead_many(self, mutations):
        spoilt = operations = 0
        failures = []
        numbers = iter([int(ONLY)] if ONLY else range(1 << 62))
        while spoilt < mutations and len(failures) < MOST_FAILURES and (number := next(numbers, None)) is not None:
            try:
                spoilt += self.lead(number)
            except Broken as problem:
                failures.append(str(problem))
                self.client.drop()
                shutil.rmtree(self.lives)
                os.makedirs(self.lives)
                self.start(self.build)
            if self.client.count > ENOUGH_OPERATIONS:
                operations += self.client.count
                self.client.end()
                self.start(self.build)
        operations += self.client.count
        self.client.end()
        self.client = None
        self.assertEqual(failures, [], "\n".join(failures))
        ends = ", ".join(f"{status.removeprefix('TENON_').removeprefix('ERROR_').lower()} {count}"
                         for status, count in sorted(self.ended.items(), key=lambda item: -item[1]))
        print(f"{spoilt} answers spoilt in {operations} operations: {ends}; at most {self.peak / MIB:.0f} MiB ... ", end="",
              flush=True)
        if not ONLY:
            self.assertTrue({"TENON_DONE", "TENON_ERROR_PROTOCOL"} <= set(self.ended), "spoilt too little, or too much")

    def test_with_sanitizers(self):
        self.start(CHECKED)
        self.remember()
        self.lead_many(MUTATIONS)

    def test_memory(self):
        self.start(PLAIN)
        self.remember()
        self.lead_many(MUTATIONS // 5)
        self.assertLess(self.peak, MOST_MEMORY)


if __name__ == "__main__":
    suite.main()
