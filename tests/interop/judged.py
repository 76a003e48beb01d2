"""What the suites have in common that set an official client on the hub simulator."""

import os
import tempfile
import unittest

import certificate
import environments
import repositories
from simulator import Simulator


class Judged:
    """A simulator with the ready repositories, and a client that asks it. Every test ends without a breach of the protocol."""

    tls = False

    @classmethod
    def start_client(cls, authority):
        """The client to judge with; authority is the file that it has to trust, or None."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = scratch.name
        pair = certificate.make(cls.scratch) if cls.tls else None
        if cls.tls and pair is None:
            raise unittest.SkipTest("no openssl program to make a certificate with")
        cls.hub = Simulator("hub", certificate=pair)
        cls.addClassCleanup(cls.hub.stop)
        cls.repositories = {one["id"]: one for one in cls.hub.control("PUT", "repositories", repositories.every())}
        cls.small = cls.repositories["acme/small"]
        try:
            cls.client = cls.start_client(pair and pair[0])
        except environments.Missing as reason:
            raise unittest.SkipTest(f"the client is not there: {reason}") from None
        cls.addClassCleanup(cls.client.stop)

    def setUp(self):
        self.hub.clear()
        self.hub.settings()
        folder = tempfile.TemporaryDirectory(dir=self.scratch)
        self.addCleanup(folder.cleanup)
        self.cache = folder.name

    def tearDown(self):
        self.assertEqual(self.hub.violations(), [])

    def facts(self, identity, path):
        return self.repositories[identity]["files"][path]
