"""What the suites have in common that set tenon and an official client on one cache."""

import os
import random
import shutil
import sys
import time
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for folder in ("support", "hub"):
    sys.path.insert(0, os.path.join(TESTS, folder))

import environments
import hubtest
import layout
import repositories
import suite
from hubtest import MIB, OFFLINE, files_below, read

LARGE = 21 * MIB + 77
HALF = 15 * MIB  # more than the 10 MiB that the Python client takes at once
VERIFIED, CORRUPT, PARTIAL = 2, 3, 5  # TENON_CONTENT_...
ROUNDS = suite.number("TENON_ROUNDS", 2, 20)
SEED = suite.seed()
PARTS = {"hub.part_bytes": 2 * MIB, "hub.parts": 4}

# (id, what tenon calls it, its type)
MODEL, DATA, SPACE = ("acme/small", "acme/small", "model"), ("acme/data", "datasets/acme/data", "dataset"), ("acme/app", "spaces/acme/app", "space")


class Exchange(hubtest.HubTest):
    """A simulator, a client, and a cache for each test. A test ends with a cache that is as the layout demands it, and
    without a breach of the protocol."""

    allowed = ()  # breaches of the layout that are to be expected here: parts of their names

    @classmethod
    def start_client(cls, **options):
        """The client."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.repositories = {one["id"]: one for one in cls.hub.control("PUT", "repositories", repositories.every())}
        cls.repositories["acme/large"] = cls.hub.put_repository(repositories.large_file(LARGE))
        cls.small, cls.large = cls.repositories["acme/small"], cls.repositories["acme/large"]["files"]["model.bin"]
        try:
            cls.client = cls.start_client()
        except environments.Missing as reason:
            raise unittest.SkipTest(f"the client is not there: {reason}") from None
        cls.addClassCleanup(lambda: cls.client.stop())

    def setUp(self):
        super().setUp()
        os.makedirs(self.cache)

    def tearDown(self):
        super().tearDown()
        self.assertEqual(self.breaches(), [])

    def breaches(self):
        return [one for one in layout.breaches(self.cache) if not any(part in one for part in self.allowed)]

    def another_client(self, **options):
        """One more client, for this test; it may be killed."""
        client = self.start_client(**options)
        self.addCleanup(client.stop)
        return client

    # ---- what is there ----

    def facts(self, identity):
        """{path: facts} of a repository at its main branch."""
        return self.repositories[identity]["files"]

    def revisions(self):
        """(revision, commit, README.md) of acme/small, one of each kind."""
        commits = self.small["commits"]
        return (("main", commits[2], repositories.CARD), ("v1.0", commits[1], "# Small\n"), ("feature/card", commits[3], "# Branch\n"),
                ("refs/pr/1", commits[4], "# Pull request\n"), (commits[0], commits[0], "# Small\n"))

    def assert_holds(self, folder, identity, without=()):
        """The folder holds every file of the repository, and no other."""
        facts = {path: one for path, one in self.facts(identity).items() if path not in without}
        self.assertEqual(set(files_below(folder)), set(facts))
        for path, one in facts.items():
            self.assert_is(os.path.join(folder, path), one)

    def assert_large(self, path):
        self.assert_is(path, self.large)

    # ---- what tenon says of it ----

    def assert_verified(self, name, *more):
        """tenon has read every byte of what the cache has of it, and agrees; the paths."""
        outcome = self.good("verify", name, *more)
        self.assertTrue(outcome.rows)
        self.assertEqual({row["content"] for row in outcome.rows}, {VERIFIED}, str(outcome.rows))
        return {row["path"] for row in outcome.rows}

    def seen_by_tenon(self):
        """{(repository, commit, path, bytes, name of the blob)} of everything in the cache."""
        return {(row["repository"], row["commit"], row["path"], row["bytes"], row["etag"]) for row in self.good("cached").rows
                if row["content"] != PARTIAL}

    def unfinished(self):
        return [os.path.basename(path) for path in layout.incomplete(self.cache)]

    # ---- what was asked for ----

    def content(self):
        """{file: bytes that were sent of it}"""
        sent = {}
        for one in self.hub.counts():
            sent[one["file"]] = sent.get(one["file"], 0) + sum(end - first for first, end in one["intervals"])
        return sent

    def assert_no_content(self):
        self.assertEqual(self.content(), {})

    def sent_of_large(self):
        return sum(count for file, count in self.content().items() if file.endswith("acme/large/model.bin"))

    # ---- what holds for clients that fetch many files ----

    def check_revisions_of_theirs(self):
        """What the client fetched of each kind of revision is found by tenon, likewise."""
        for revision, commit, card in self.revisions():
            with self.subTest(revision=revision):
                path = self.get("README.md", revision=revision)
                self.hub.clear_requests()
                outcome = self.good("download", "acme/small", "README.md", "--revision", revision, "--policy", OFFLINE)
                self.assertEqual((outcome.text, read(outcome.text).decode()), (path, card))
                self.assertEqual(self.asked(), [])
                self.assertEqual(self.good("download", "acme/small", "README.md", "--revision", revision).text, path)
                self.assertEqual([method for method, _ in self.asked()], [] if revision == commit else ["HEAD"])

    def check_revisions_of_ours(self):
        """What tenon fetched of each kind of revision is found, online with at most the question which commit it is."""
        for revision, commit, card in self.revisions():
            with self.subTest(revision=revision):
                outcome = self.good("download", "acme/small", "README.md", "--revision", revision)
                self.hub.clear_requests()
                path = self.get("README.md", revision=revision, local_files_only=True)
                self.assertEqual((path, read(path).decode()), (outcome.text, card))
                self.assertEqual(self.asked(), [])
                self.assertEqual(self.get("README.md", revision=revision), outcome.text)
                self.assertEqual([method for method, _ in self.asked()], [] if revision == commit else ["HEAD"])
        self.assertEqual(self.scan(), self.seen_by_tenon())

    def check_snapshots_at_once(self, identity):
        """The client has begun; two of ours join in, and all of them end with the same folder."""
        running = [self.start("snapshot", identity) for _ in range(2)]
        folder = self.client.result()
        for one in running:
            outcome = one.wait()
            self.assertEqual((outcome.status, outcome.text.rstrip("/")), ("OK", folder), str(outcome))
        self.assert_holds(folder, identity)
        self.assert_verified(identity)

    # ---- half-way ----

    def stop_tenon_half_way(self, *more, place=None, at=4 * MIB):
        """A tenon that has got so far with the large file, and is dead."""
        self.hub.faults({"origin": "cdn", "stall": {"at": at}})
        running = self.start("download", "acme/large", "model.bin", *more, settings={"hub.parts": 1}, build=hubtest.PLAIN)
        hubtest.wait_for_durable(self, at, place or self.cache)
        running.kill()
        self.hub.clear()

    def wait_until(self, true, what, seconds=60):
        limit = time.monotonic() + seconds
        while not true():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(0.02)


class OneFile(Exchange):
    """
    What holds for every client, shown on one large file. A suite says how its client fetches it.

    `honest`: it takes the official lock, so that of two at once one waits for the other. Where locks lie, both sides have the
    library of ../hub/faults.c before them, and both believe to be alone.
    """

    build = hubtest.PLAIN
    honest = True
    LIE = {"LD_PRELOAD": os.path.join(hubtest.PLAIN, "tests", "hub", "faults.so"), "FAULTS_LOCKS": "lie"}

    def begin_large(self, client):
        """Ask for acme/large, so that its branch main is known in the cache afterwards."""
        raise NotImplementedError

    def finish_large(self, client):
        """Wait for what was begun. That it went wrong is seen there or by what is in the cache."""
        client.result()

    def get_large_offline(self):
        """Ask in such a way that the client can do without the hub."""
        raise NotImplementedError

    # ---- of both sides ----

    def large_path(self):
        return os.path.join(self.folder_of("acme/large"), "snapshots", self.repositories["acme/large"]["sha"], "model.bin")

    def finish_theirs(self, client):
        self.finish_large(client)
        self.assert_large(self.large_path())

    def get_large(self):
        self.begin_large(self.client)
        self.finish_theirs(self.client)

    def begin_ours(self, lie=False, **settings):
        preload = {"FAULTS_LOCKS": "lie"} if lie else None
        return self.start("download", "acme/large", "model.bin", settings=settings or PARTS, preload=preload)

    def begin_ours_beside(self, count):
        """They know what they want, and are about to take the lock."""
        asked = len(self.hub.requests())
        running = [self.begin_ours() for _ in range(count)]
        self.hub.wait(requests=asked + count)
        return running

    def finish_ours(self, running):
        outcome = running.wait()
        self.assertEqual((outcome.status, outcome.text), ("OK", self.large_path()), str(outcome))
        self.assert_large(outcome.text)

    def get_ours(self):
        self.finish_ours(self.begin_ours())

    def stall(self, at):
        """The next one who asks for the whole content gets so much of it, until the faults are cleared."""
        self.hub.faults({"origin": "cdn", "method": "GET", "range": False, "times": 1, "stall": {"at": at}})

    def begin_theirs(self, **environment):
        """A client that has got so far with the file, and waits for more."""
        client = self.another_client(**environment)
        stalled = self.stalled()
        self.stall(HALF)
        self.begin_large(client)
        self.hub.wait(stalled=stalled + 1)
        self.wait_until(lambda: self.got_by_client() > MIB, "the client writes nothing")
        return client

    def stalled(self):
        return len([one for one in self.hub.requests() if one["stalled"]])

    def got_by_client(self):
        return sum(os.path.getsize(path) for path in layout.incomplete(self.cache) if "tenon" not in os.path.basename(path))

    def stop_theirs(self):
        """A client that is dead half-way; what it left."""
        self.begin_theirs().kill()
        self.hub.clear()
        left, = self.unfinished()
        return left

    def end(self, leftovers=()):
        """All is sound, and who comes now asks for nothing of the content, whoever it is."""
        self.assertEqual(self.unfinished(), list(leftovers))
        self.assert_verified("acme/large")
        self.hub.clear_requests()
        self.get_ours()
        self.get_large()
        self.assertEqual(self.sent_of_large(), 0)

    # ---- one after the other ----

    def test_theirs(self):
        self.get_large()
        self.hub.clear_requests()
        self.assertEqual(self.good("download", "acme/large", "model.bin", "--policy", OFFLINE).text, self.large_path())
        self.assertEqual(self.asked(), [])
        self.get_ours()
        self.assertEqual(self.asked(), [("HEAD", "resolve")])
        self.end()

    def test_ours(self):
        self.get_ours()
        self.hub.clear_requests()
        self.get_large_offline()
        self.assertEqual(self.asked(), [])
        self.end()

    def test_theirs_corrupt(self):
        """What every client keeps although it is wrong, tenon calls wrong, and puts right when it is told to."""
        self.hub.faults({"origin": "cdn", "corrupt": 12345})
        self.begin_large(self.client)
        self.finish_large(self.client)
        self.hub.clear_faults()
        outcome = self.bad("INTEGRITY", "verify", "acme/large")
        self.assertEqual({row["content"] for row in outcome.rows if row["path"] == "model.bin"}, {CORRUPT})
        self.assert_large(self.good("download", "acme/large", "model.bin", "--force").text)
        self.end()

    # ---- killed half-way ----

    def test_theirs_killed(self):
        left = self.stop_theirs()
        row, = (row for row in self.good("cached").rows if row["content"] == PARTIAL)
        self.assertEqual((row["etag"], row["bytes"]), (self.large["etag"], os.path.getsize(row["local_path"])))
        self.get_ours()
        self.assertEqual(self.sent_of_large(), LARGE)
        self.end([left])  # theirs to remove

    def test_ours_killed(self):
        self.stop_tenon_half_way()
        self.assertEqual(len(self.unfinished()), 2)
        self.get_large()
        self.assertGreaterEqual(self.sent_of_large(), LARGE)
        self.get_ours()  # removes what nobody will go on from any more
        self.end()

    def test_both_killed(self):
        """Each goes on from its own, if it goes on at all."""
        left = self.stop_theirs()
        self.stop_tenon_half_way(at=8 * MIB)
        self.get_ours()
        self.assertEqual(self.sent_of_large(), LARGE - 8 * MIB)
        self.end([left])

    def test_theirs_killed_and_begun_again(self):
        """What tenon did in between stops no client from going on as it does."""
        self.stop_theirs()
        self.stop_tenon_half_way()
        self.get_large()
        self.get_ours()
        self.assertFalse([name for name in self.unfinished() if "tenon" in name])
        self.assert_verified("acme/large")

    # ---- at once ----

    def test_theirs_first(self):
        client = self.begin_theirs()
        running = self.begin_ours_beside(2)
        if not self.honest:
            for one in running:
                self.finish_ours(one)
        self.hub.clear_faults()
        self.finish_theirs(client)
        if self.honest:
            for one in running:
                self.finish_ours(one)
        self.assertEqual(self.sent_of_large() // LARGE, 1 if self.honest else 2)
        self.end()

    def test_ours_first(self):
        """tenon holds no lock while bytes come, for some give up waiting after ten seconds: it may take as long as it likes."""
        self.stall(4 * MIB)
        running = self.begin_ours(**{"hub.parts": 1})
        hubtest.wait_for_durable(self, 4 * MIB)
        self.get_large()
        self.hub.clear_faults()
        self.finish_ours(running)
        self.end()

    def test_theirs_killed_while_ours_waits(self):
        """The lock goes with the process that held it."""
        client = self.begin_theirs()
        left, = self.unfinished()
        running, = self.begin_ours_beside(1)
        client.kill()
        self.hub.clear_faults()
        self.finish_ours(running)
        self.end([left])

    def test_ours_killed_beside_theirs(self):
        self.stall(4 * MIB)
        running = self.begin_ours(**{"hub.parts": 1})
        hubtest.wait_for_durable(self, 4 * MIB)
        client = self.begin_theirs()
        running.kill()
        self.hub.clear_faults()
        self.finish_theirs(client)
        self.get_ours()
        self.end()

    # ---- at once, and nobody is told of the other ----

    def test_lie_theirs_first(self):
        """The slower one gives its file the name that the content has already."""
        client = self.begin_theirs(**self.LIE)
        running = [self.begin_ours(lie=True) for _ in range(2)]
        for one in running:
            self.finish_ours(one)
        self.assert_verified("acme/large")
        self.hub.clear_faults()
        self.finish_theirs(client)
        self.end()

    def test_lie_ours_first(self):
        self.stall(4 * MIB)
        running = self.begin_ours(lie=True, **{"hub.parts": 1})
        hubtest.wait_for_durable(self, 4 * MIB)
        client = self.another_client(**self.LIE)
        self.begin_large(client)
        self.finish_theirs(client)
        self.hub.clear_faults()
        self.finish_ours(running)
        self.end()

    def test_lie_side_by_side(self):
        """Both are at it all the time, and then one of them is killed."""
        for dead in ("theirs", "ours"):
            with self.subTest(dead=dead):
                client = self.begin_theirs(**self.LIE)
                self.stall(4 * MIB)
                running = self.begin_ours(lie=True, **{"hub.parts": 1})
                hubtest.wait_for_durable(self, 4 * MIB)
                self.end_all_but(dead, client, running)

    def end_all_but(self, dead, client, running):
        """One of them is killed, or none; who lives comes to its end. The next one finds an empty cache."""
        if dead == "theirs":
            client.kill()
        elif dead == "ours":
            running.kill()
        self.hub.clear_faults()
        if dead != "theirs":
            self.finish_theirs(client)
        if dead != "ours":
            self.finish_ours(running)
        self.get_ours()
        self.assert_verified("acme/large")
        self.assertEqual(self.breaches(), [])
        shutil.rmtree(self.cache)
        os.makedirs(self.cache)

    def test_at_random(self):
        """Both begin at some moment, with locks or where locks lie, and at some moment one of them may be killed."""
        for number in range(ROUNDS):
            chance = random.Random(f"{SEED} {number}")
            lie, settings = chance.random() < 0.6, {"hub.parts": chance.choice((1, 4))}
            with self.subTest(TENON_SEED=SEED, round=number):
                self.hub.faults({"origin": "cdn", "method": "GET", "slow": 24 * MIB})
                client, running = self.another_client(**(self.LIE if lie else {})), None
                for who in chance.sample(("theirs", "ours"), 2):
                    if who == "theirs":
                        self.begin_large(client)
                    else:
                        running = self.begin_ours(lie, **settings)
                    time.sleep(chance.uniform(0, 1))
                self.end_all_but(chance.choice(("theirs", "ours", "none")), client, running)
