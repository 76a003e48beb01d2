"""Downloads that are killed at random moments: nothing is ever corrupt, and no durable byte is asked for again.

    TENON_KILLS=10000   how many kills in all (200; 1,000 in the second tier)
    TENON_SEED=N        the seed of a run that failed

What is durable when a process dies is what the journal of the download says, and every blob that has its name.
"""

import concurrent.futures
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hubtest
from hubtest import MIB, OFFLINE, PLAIN, read

import layout
import suite
from simulator import Simulator

sys.path.insert(0, os.path.join(hubtest.TESTS, "simulators"))

from _content import Generated

KILLS = suite.number("TENON_KILLS", 200, 1000)
SEED = suite.seed()
AT_ONCE = 6
KINDS = 6      # of lives, each in a test
FIRST_FEW = 9  # a life is killed at most so often
VERIFIED = 2   # TENON_CONTENT_VERIFIED
PARTS = {"hub.part_bytes": 256 << 10, "hub.parts": 4}
# What a kill may leave until the next download has come to its end.
PASSING = ("no CACHEDIR.TAG", ".tmp is no listing")
ONE = {"hub.part_bytes": 64 * MIB, "hub.parts": 1}


def sums(ranges):
    """Disjoint ranges in order, from any."""
    found = []
    for first, end in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        elif end > first:
            found.append([first, end])
    return found


def common(some, others):
    """How many bytes are in both."""
    return sum(max(0, min(end, stop) - max(first, start)) for first, end in sums(some) for start, stop in sums(others))


def length(ranges):
    return sum(end - first for first, end in sums(ranges))


class Wrong(AssertionError):
    pass


class Life:
    """One cache and one repository, from nothing to the end, with kills in between."""

    command = ("download", "model.bin")
    settings = PARTS
    always_slow = False

    def __init__(self, hub, scratch, chance, name, slow):
        self.hub, self.chance, self.name = hub, chance, name
        self.identity = f"acme/{name}"
        self.home = tempfile.mkdtemp(dir=scratch)
        self.cache = os.path.join(self.home, "hub")
        self.place = self.cache
        self.content = {}   # etag -> its bytes
        self.kills = self.runs = self.kept = self.sent = 0
        self.rounds = 1     # how often everything is fetched
        self.slow = self.always_slow or slow or chance.random() < 0.5
        self.workers = chance.choice((0, 2))  # who hash and write beside the loop
        self.describe()
        hub.clear()
        self.slow_down()

    def describe(self):
        """Put the repository on the simulator."""
        self.put(model=self.noise("model", self.chance.randrange(2 * MIB, 5 * MIB)))

    def slow_down(self):
        if self.slow:
            self.hub.faults({"slow": self.chance.randrange(200, 500) << 10, "method": "GET", "path": "/repos/|/resolve/"})

    def noise(self, seed, size):
        return {"size": size, "seed": f"{self.name} {seed}"}

    def put(self, model):
        self.facts = self.hub.put_repository({"id": self.identity, "files": {"config.json": f'{{"of": "{self.name}"}}', "model.bin": model}})
        self.know(self.facts["files"], {"model.bin": model})

    def know(self, files, descriptions):
        for path, description in descriptions.items():
            data = description.encode() if isinstance(description, str) else Generated(description["size"], description["seed"]).bytes()
            self.content[files[path]["etag"]] = data

    def fail(self, what):
        raise Wrong(f"{self.name}, run {self.runs}, after {self.kills} kills: {what}")

    # ---- running ----

    def start(self, *more):
        self.runs += 1
        self.tag = f"{self.name}.{self.runs}"
        sets = {**hubtest.QUICK, **self.settings, "transport.user_agent": self.tag}
        words = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
        command, *path = more or self.command
        environment = {"PATH": os.environ["PATH"], "HOME": self.home, "LANG": "C.UTF-8", "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
        return hubtest.Running([*words, "--hub", self.hub.url, "--cache", self.cache, "--workers", str(self.workers), command,
                                self.identity, *path], environment, PLAIN)

    def moment(self):
        """How long this process may live: through everything, or mostly where it begins, or where bytes come."""
        if self.slow and self.runs == 1:
            least, most = 1.1, 2.4  # what comes in the first second is not noted yet
        elif self.slow:
            least, most = 0, 2.4 if self.chance.random() < 0.6 else 0.3
        else:
            least, most = 0, 0.25
        return self.chance.uniform(least, most)

    def live(self, kills):
        """Be killed so often at most, then come to the end; how often it was killed."""
        for _ in range(kills):
            here = self.look()
            running = self.start()
            time.sleep(self.moment())
            outcome = running.kill()
            self.judge(here)
            if outcome.code == 0:
                break
            self.kills += 1
            self.between()
        self.end()
        return self.kills

    def between(self):
        """What happens while nobody downloads."""

    def end(self):
        self.hub.clear_faults()
        self.age_scratch()
        self.finish()
        self.settle()

    def age_scratch(self):
        """What belongs to no content in the cache (a reference, a listing, a note that was being written) is tidied up when it is old."""
        for place, _, names in os.walk(self.home):
            for name in names:
                if name.endswith(".tmp") or re.fullmatch(r"[0-9a-f]{8}\.tenon\.incomplete", name):
                    os.utime(os.path.join(place, name), (0, 0), follow_symlinks=False)

    def finish(self):
        """Download to the end."""
        here = self.look()
        outcome = self.start().wait()
        if outcome.status != "OK":
            self.fail(f"it does not come to its end: {outcome}")
        self.judge(here)
        return outcome

    def settle(self):
        """Everything is in its place, and nothing else is."""
        wrong = layout.breaches(self.cache)
        left = layout.incomplete(self.cache)
        outcome = self.start("verify").wait()
        contents = {row["content"] for row in outcome.rows}
        if wrong or left or outcome.status != "OK" or contents != {VERIFIED}:
            self.fail(f"at the end: {wrong} {left} {outcome}")
        self.check_files()
        if self.hub.violations():
            self.fail(str(self.hub.violations()))

    def check_files(self):
        """The files of the branch can be had without the hub."""
        outcome = self.start(*self.command, "--policy", OFFLINE).wait()
        if outcome.status != "OK" or read(outcome.text) != self.content[self.facts["files"]["model.bin"]["etag"]]:
            self.fail(f"without the hub: {outcome}")

    # ---- looking ----

    def named(self):
        """The contents that have their names."""
        names = [os.path.basename(path) for path in hubtest.glob_files(self.cache, "blobs")]
        return [name for name in names if layout.HASH.fullmatch(name)]

    def look(self):
        """{etag: ranges} that need not be fetched any more. What is there is right, whenever its process died."""
        if wrong := [one for one in layout.breaches(self.cache) if not one.endswith(PASSING)]:
            self.fail(str(wrong))
        here = {etag: [(0, len(self.content[etag]))] for etag in self.named()}
        for journal in hubtest.journals(self.place):
            etag = re.search(r"([0-9a-f]{40,64})\.j\d+\.tenon", journal.path).group(1)
            data = os.path.join(os.path.dirname(journal.path), journal.data)
            if journal.durable and os.path.exists(data):
                self.check_durable(etag, read(data), journal.durable)
                here.setdefault(etag, []).extend(journal.durable)
            elif journal.durable and etag not in here:
                self.fail(f"the durable bytes of {etag} are gone")
        return here

    def check_durable(self, etag, data, durable):
        for first, end in durable:
            if data[first:end] != self.content[etag][first:end]:
                self.fail(f"the bytes {first}-{end} of {etag} are durable and wrong")

    def content_requests(self, tag):
        """What a run asked for of the files' bytes."""
        return [one for one in self.hub.requests(method="GET") if one["etag"] and tag in one["headers"]["user-agent"].split()]

    def judge(self, here):
        """The run that has just ended asked for nothing that was there, and nothing twice."""
        sent = {}
        for one in self.content_requests(self.tag):
            size = len(self.content[one["etag"]])
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", one["range"] or f"bytes=0-{size - 1}")
            asked = [(int(asked.group(1)), int(asked.group(2)) + 1)]
            if again := common(asked, here.get(one["etag"], [])):
                self.fail(f"{again} durable bytes of {one['file']} were asked for again: {asked} of {size}; here were {sums(here[one['etag']])}")
            interval = (one["start"], one["start"] + one["sent"])
            if again := common([interval], sent.get(one["etag"], [])):
                self.fail(f"{again} bytes of {one['file']} were sent twice to one process")
            sent.setdefault(one["etag"], []).append(interval)
        self.sent += sum(map(length, sent.values()))
        self.kept += sum(length(ranges) for etag, ranges in here.items() if length(ranges) < len(self.content[etag]))
        self.hub.clear_requests()


class OnePart(Life):
    settings = ONE


class Snapshot(Life):
    """Several files, large, small, empty."""

    command = ("snapshot",)

    def describe(self):
        files = {f"part-{number}.safetensors": self.noise(number, self.chance.randrange(1 * MIB + 1, 3 * MIB)) for number in range(3)}
        files.update({f"text/{number}/words.txt": f"{number} of {self.name}\n" * 100 for number in range(5)})
        files.update({"small.bin": self.noise("small", 70000), "empty.txt": "", "README.md": f"# {self.name}\n"})
        self.facts = self.hub.put_repository({"id": self.identity, "files": files})
        self.know(self.facts["files"], files)

    def check_files(self):
        outcome = self.start("snapshot", "--policy", OFFLINE).wait()
        found = hubtest.files_below(outcome.text) if outcome.status == "OK" else {}
        if found != {path: self.content[facts["etag"]] for path, facts in self.facts["files"].items()}:
            self.fail(f"without the hub: {sorted(found)} {outcome}")


class IntoFolder:
    """Into a folder of the user's."""

    def describe(self):
        super().describe()
        self.place = os.path.join(self.home, "folder")
        self.command = (*self.command, "--folder", self.place)

    def age_scratch(self):
        super().age_scratch()
        for path in self.notes():
            if path.endswith(".tenon.incomplete"):
                os.utime(path, (0, 0))

    def notes(self):
        folder = os.path.join(self.place, ".cache", "huggingface", "download")
        return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]

    def settle(self):
        found = hubtest.files_below(self.place)
        wanted = {path: self.content[facts["etag"]] for path, facts in self.facts["files"].items() if path in found or self.command[0] == "snapshot"}
        if found != wanted or not found:
            self.fail(f"in the folder are {sorted(found)}")
        left = [path for path in self.notes() if not path.endswith((".lock", ".metadata"))]
        if left or len(self.notes()) != 2 * len(found):
            self.fail(f"beside the files are {sorted(self.notes())}")

    def named(self):
        there = {path: data for path, data in hubtest.files_below(self.place).items()}
        etags = {data: etag for etag, data in self.content.items()}
        if wrong := [path for path, data in there.items() if data not in etags]:
            self.fail(f"{wrong} have their names and are wrong")
        return super().named() + [etags[data] for data in there.values()]


class Folder(IntoFolder, Life):
    pass


class FolderSnapshot(IntoFolder, Snapshot):
    pass


class Moving(Life):
    """Between two processes the branch may move to a commit with another content, and back."""

    def describe(self):
        models = [self.noise(which, self.chance.randrange(2 * MIB, 4 * MIB)) for which in ("first", "second")]
        self.facts = self.hub.put_repository({"id": self.identity, "commits": [
            {"files": {"config.json": self.name, "model.bin": models[0]}}, {"files": {"model.bin": models[1]}}]})
        self.know(self.facts["files"], {"config.json": self.name, "model.bin": models[1]})
        first = Generated(models[0]["size"], models[0]["seed"])
        self.content[first.sha256] = first.bytes()
        self.etags = [first.sha256, self.facts["files"]["model.bin"]["etag"]]
        self.at = 1

    def move(self, to):
        self.at = to
        self.hub.move(self.identity, commit=self.facts["commits"][to])
        self.facts["files"]["model.bin"]["etag"] = self.etags[to]

    def between(self):
        if self.chance.random() < 0.4:
            self.move(1 - self.at)

    def end(self):
        self.hub.clear_faults()
        self.age_scratch()
        self.finish()
        self.check_files()
        self.move(1 - self.at)
        self.finish()
        self.settle()


class Pair(Life):
    """Two processes want the same; one of them is killed, and the other one finishes."""

    always_slow = True

    def live(self, kills):
        self.rounds = 0
        for _ in range(kills):
            first, second = self.start(), self.start()
            tags = [f"{self.name}.{self.runs - 1}", self.tag]
            time.sleep(self.moment())
            self.kills += 1
            dead, living = self.chance.sample([0, 1], 2)
            running = [first, second]
            killed = time.time()
            running[dead].kill()
            left = self.left_by(running[dead].pid)
            self.hub.clear_faults()
            outcome = running[living].wait()
            if outcome.status != "OK":
                self.fail(f"the other one does not come to its end: {outcome}")
            self.check_turns(tags[dead], tags[living], killed)
            self.tag = tags[living]
            self.judge(left)
            self.rounds += 1
            self.age_scratch()
            self.finish()
            self.settle()
            shutil.rmtree(self.cache)
            self.hub.clear_requests()
            self.slow_down()
        return self.kills

    def moment(self):
        return self.chance.uniform(0, 2.4)

    def check_turns(self, dead, living, killed):
        """While one fetches, the other one waits."""
        times = {tag: [one["time"] for one in self.content_requests(tag)] for tag in (dead, living)}
        if times[dead] and times[living] and min(times[living]) < killed:
            self.fail("both fetch it at once")

    def left_by(self, dead):
        """What is durable of a dead process, unless somebody else has taken it over in this moment."""
        return {os.path.basename(journal.path)[:64]: journal.durable for journal in hubtest.journals(self.cache)
                if journal.durable and journal.owner.split()[0] == str(dead)}


class Killed(unittest.TestCase):
    """Each test is one kind of life, led again and again until its share of the kills is used up."""

    @classmethod
    def setUpClass(cls):
        print(f"{KILLS} kills; to do it again: TENON_SEED={SEED}", flush=True)
        scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = os.path.realpath(scratch.name)
        cls.hubs = [Simulator("hub") for _ in range(AT_ONCE)]
        for hub in cls.hubs:
            cls.addClassCleanup(hub.stop)

    def lead(self, *kinds):
        """Lives side by side, each with a simulator of its own, until there were enough kills."""
        enough, lives, lock = -(-KILLS // KINDS), [], threading.Lock()

        def lead_some(number):
            count = 0
            while sum(life.kills for life in lives) < enough:
                count += 1
                kind = kinds[(number + count) % len(kinds)]
                name = f"{kind.__name__.lower()}-{number}-{count}"
                life = kind(self.hubs[number], self.scratch, random.Random(f"{SEED} {name}"), name, slow=count == 1)
                with lock:
                    lives.append(life)
                life.live(life.chance.randrange(1, FIRST_FEW))
                shutil.rmtree(life.home)

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for future in [pool.submit(lead_some, number) for number in range(AT_ONCE)]:
                future.result()
        wanted = sum(len(data) * life.rounds for life in lives for data in life.content.values())
        print(f"{sum(life.kills for life in lives)} kills in {len(lives)} downloads; {sum(life.kept > 0 for life in lives)} went on from "
              f"durable bytes; sent {sum(life.sent for life in lives) / wanted:.2f} times what was wanted ... ", end="", flush=True)
        self.assertGreater(sum(life.kept for life in lives), 0, "no kill came after something was durable")

    def test_large_file_in_parts(self):
        self.lead(Life)

    def test_large_file_in_one_part(self):
        self.lead(OnePart)

    def test_snapshot(self):
        self.lead(Snapshot)

    def test_branch_that_moves(self):
        self.lead(Moving)

    def test_one_of_two(self):
        self.lead(Pair)

    def test_into_a_folder(self):
        self.lead(Folder, FolderSnapshot)


if __name__ == "__main__":
    suite.main()
