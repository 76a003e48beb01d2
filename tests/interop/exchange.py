"""What the suites have in common that set tenon and an official client on one cache."""

import os
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
from hubtest import MIB, OFFLINE, files_below, read

LARGE = 21 * MIB + 77  # more than the 10 MiB that the Python client takes at once
VERIFIED, CORRUPT, PARTIAL = 2, 3, 5  # TENON_CONTENT_...
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
        self.assertEqual([one for one in layout.breaches(self.cache) if not any(part in one for part in self.allowed)], [])

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
