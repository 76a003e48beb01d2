"""Downloads against a hub that does everything wrong: what arrives is whole and true, or nothing is there and it is said why."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hubtest
from hubtest import FIRST, FRESH, MIB, OFFLINE, PINNED, files_below, git_sha1, hash_of, read, write

import certificate
import repositories
import suite

LARGE = 6 * MIB + 123
PARTS = {"hub.part_bytes": MIB, "hub.parts": 4}
ONE = {"hub.part_bytes": 64 * MIB, "hub.parts": 1}


class Case(hubtest.HubTest):
    """acme/small, acme/large and acme/sharded are there."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.small = cls.hub.put_repository(repositories.small_model())
        cls.large = cls.hub.put_repository(repositories.large_file(LARGE))
        cls.sharded = cls.hub.put_repository(repositories.sharded_model())

    def fetch_large(self, **options):
        """Download the large file and look at it; the outcome."""
        outcome = self.good("download", "acme/large", "model.bin", **{"settings": PARTS, **options})
        self.assert_is(outcome.text, self.large["files"]["model.bin"])
        self.assert_sound(options.get("cache"))
        return outcome

    def fetch_small(self, *arguments, **options):
        outcome = self.good("download", "acme/small", "config.json", *arguments, **options)
        self.assert_is(outcome.text, self.small["files"]["config.json"])
        self.assert_sound()
        return outcome

    def nothing_is_there(self, leftovers=0):
        """No blob, no link, at most so many things that a later download goes on from."""
        self.assertEqual([path for path in hubtest.glob_files(self.cache, "blobs") if not path.endswith(".incomplete")], [])
        self.assertEqual(hubtest.glob_files(self.cache, "snapshots"), [])
        self.assertLessEqual(len(self.leftovers()), leftovers)


class Requests(Case):
    """Exactly what is asked for, and when nothing is."""

    def test_small_file(self):
        self.fetch_small()
        self.assertEqual(self.asked(), [("HEAD", "resolve"), ("GET", "resolve")])
        commit = self.small["sha"]
        gets = [one["path"] for one in self.hub.requests(method="GET")]
        self.assertEqual(gets, [f"/acme/small/resolve/{commit}/config.json"])
        self.assertTrue(all(one["headers"].get("x-hf-download-counter") == "1" for one in self.hub.requests()))

    def test_large_file_in_one_part(self):
        self.fetch_large(settings=ONE)
        self.assertEqual(self.asked(), [("HEAD", "resolve"), ("GET", "resolve"), ("GET", "cdn")])

    def test_large_file_in_parts(self):
        self.fetch_large()
        asked = self.asked()
        self.assertEqual(asked.count(("HEAD", "resolve")), 1)
        self.assertLessEqual(asked.count(("GET", "resolve")), 4)
        self.assertEqual(asked.count(("GET", "cdn")), 7)
        self.assertEqual(self.sent_twice(), {})

    def test_pinned_again(self):
        commit = self.small["sha"]
        self.fetch_small("--revision", commit)
        self.hub.clear_requests()
        self.fetch_small("--revision", commit)
        self.assertEqual(self.asked(), [])
        self.fetch_small("--revision", commit, "--policy", FRESH)
        self.assertEqual(self.asked(), [("HEAD", "resolve")])

    def test_branch_again(self):
        self.fetch_small()
        self.hub.clear_requests()
        self.fetch_small()
        self.assertEqual(self.asked(), [("HEAD", "resolve")])

    def test_cached_first(self):
        self.fetch_small()
        self.hub.clear_requests()
        self.fetch_small("--policy", FIRST)
        self.assertEqual(self.asked(), [])
        self.good("download", "acme/small", "README.md", "--policy", FIRST)
        self.assertEqual(self.asked(), [("HEAD", "resolve"), ("GET", "resolve")])

    def test_fresh_does_not_make_do(self):
        self.fetch_small()
        self.hub.faults({"status": 500})
        outcome = self.bad("UNAVAILABLE", "download", "acme/small", "config.json", "--policy", FRESH)
        self.assertEqual(outcome.error["http_status"], 500)

    def test_force(self):
        self.fetch_small()
        self.hub.clear_requests()
        self.fetch_small("--force")
        self.assertEqual(self.asked(), [("HEAD", "resolve"), ("GET", "resolve")])

    def test_same_content_at_another_commit(self):
        self.fetch_small("--revision", "v1.0")
        self.hub.clear_requests()
        self.fetch_small()
        self.assertEqual(self.asked(), [("HEAD", "resolve")])

    def test_every_kind_of_revision(self):
        commits = self.small["commits"]
        for revision, commit in (("main", commits[2]), ("v1.0", commits[1]), ("feature/card", commits[3]), ("refs/pr/1", commits[4]),
                                 (commits[0], commits[0]), (commits[0][:12], commits[0])):
            with self.subTest(revision=revision):
                outcome = self.good("download", "acme/small", "README.md", "--revision", revision)
                self.assertIn(f"/snapshots/{commit}/README.md", outcome.text)
        self.assertEqual(read(os.path.join(self.folder_of("acme/small"), "refs", "refs", "pr", "1")).decode(), commits[4])

    def test_odd_names(self):
        for path in (repositories.ODD_NAME, repositories.LONG_NAME):
            outcome = self.good("download", "acme/small", path)
            self.assert_is(outcome.text, self.small["files"][path])

    def test_through_resolve_cache(self):
        self.hub.settings(resolve_cache=True)
        self.fetch_small()
        self.assertEqual([kind for kind, _ in self.asked()], ["HEAD", "HEAD", "GET", "GET"])

    def test_renamed(self):
        self.hub.put_repository({"id": "acme/new-name", "renamed_from": ["acme/old-name"], "files": {"config.json": "{}"}})
        outcome = self.good("download", "acme/old-name", "config.json")
        self.assertEqual(read(outcome.text), b"{}")

    def test_without_cdn(self):
        self.hub.settings(cdn=False)
        self.fetch_large()
        self.assertNotIn(("GET", "cdn"), self.asked())

    def test_dataset_and_space(self):
        self.hub.put_repository(repositories.dataset())
        self.hub.put_repository(repositories.space())
        self.assertIn("datasets--acme--data", self.good("download", "datasets/acme/data", "data/labels.csv").text)
        self.assertEqual(read(self.good("download", "spaces/acme/app", "app.py").text), b"print('hello')\n")


class Sizes(Case):
    """Around every border: nothing, one megabyte, one part."""

    def test_sizes(self):
        part = MIB + 65536
        self.fetch_sizes(part, [0, 1, 65535, MIB - 1, MIB, MIB + 1, part - 1, part, part + 1, 2 * part, 3 * part + 7])

    def test_parts_smaller_than_what_is_kept_in_memory(self):
        self.fetch_sizes(65536, [65535, 65536, 65537, 200000, MIB - 1, MIB, MIB + 1])

    def fetch_sizes(self, part, sizes):
        made = self.hub.put_repository({"id": "acme/sizes", "files": {f"{size}.bin": {"size": size, "seed": size} for size in sizes}})
        for size in sizes:
            with self.subTest(size=size):
                outcome = self.good("download", "acme/sizes", f"{size}.bin", settings={"hub.part_bytes": part})
                self.assert_is(outcome.text, made["files"][f"{size}.bin"])
                self.assertEqual((outcome.end["progress"]["bytes"], outcome.end["progress"]["bytes_total"]), (size, size))
        self.assert_sound()

    def test_empty_file_needs_no_get(self):
        outcome = self.good("download", "acme/small", "empty.txt")
        self.assertEqual(read(outcome.text), b"")
        self.assertEqual(self.asked(), [("HEAD", "resolve")])

    def test_more_than_four_gigabytes(self):
        """Two ends of a file of five gigabytes: offsets beyond 32 bits are asked for, and written, where they belong."""
        size = 5 << 30
        made = self.hub.put_repository({"id": "acme/huge", "files": {"huge.bin": {"size": size, "seed": "huge", "sha256": "ab" * 32}}})
        commit = made["sha"]
        # Everything but the last megabyte is said to be durable; the disk keeps the hole for nothing.
        running = self.start("download", "acme/huge", "huge.bin", settings={"hub.parts": 2, "hub.part_bytes": MIB}, build=hubtest.PLAIN)
        self.hub.wait(finished=3)
        running.kill()
        journals = [path for path in self.leftovers() if ".j" in path]
        self.assertEqual(len(journals), 1)
        state = hubtest.Journal(journals[0])
        data = os.path.join(os.path.dirname(journals[0]), state.data)
        os.truncate(data, size)
        state.rewrite(durable=[(0, size - MIB)])
        self.hub.clear_requests()
        self.hub.faults({"origin": "cdn", "stall": {"after": MIB // 2}})
        running = self.start("download", "acme/huge", "huge.bin", build=hubtest.PLAIN,
                             settings={"hub.parts": 2, "hub.part_bytes": MIB, "transport.user_agent": "second"})
        self.hub.wait(stalled=1)
        running.kill()
        # What the first one had asked for may be recorded after its end.
        asked = [one for one in self.hub.requests(origin="cdn") if "second" in one["headers"]["user-agent"]]
        self.assertEqual([one["range"] for one in asked], [f"bytes={size - MIB}-{size - 1}"], commit)
        self.hub.clear_faults()


class Statuses(Case):
    """What the hub answers instead."""

    def test_passing_statuses_are_repeated(self):
        for status in (408, 429, 500, 502, 503, 504):
            with self.subTest(status=status):
                self.hub.clear()
                shutil.rmtree(self.cache, ignore_errors=True)
                self.hub.faults({"method": "HEAD", "status": status, "times": 2}, {"method": "GET", "status": status, "times": 1})
                outcome = self.fetch_small()
                self.assertEqual([method for method, _ in self.asked()], ["HEAD"] * 3 + ["GET"] * 2)
                self.assertEqual(outcome.end["progress"]["retries"], 3)

    def test_lasting_statuses(self):
        for status, name in ((400, "ARGUMENT"), (401, "NOT_FOUND"), (403, "FORBIDDEN"), (404, "NOT_FOUND"), (409, "CONFLICT"), (418, "ARGUMENT"),
                             (451, "FORBIDDEN"), (501, "UNAVAILABLE")):
            with self.subTest(status=status):
                self.hub.clear()
                self.hub.faults({"status": status, "body": '{"error": "because of the test"}'})
                outcome = self.bad(name, "download", "acme/small", "config.json")
                self.assertEqual(outcome.error["http_status"], status)
                self.assertEqual(len(self.hub.requests()), 1)
        self.nothing_is_there()

    def test_retries_end(self):
        self.hub.faults({"status": 503})
        outcome = self.bad("UNAVAILABLE", "download", "acme/small", "config.json", settings={"transport.retries": 3})
        self.assertEqual(len(self.hub.requests()), 4)
        self.assertIn("later", outcome.error["hint"])

    def test_rate_limit_within_what_is_allowed(self):
        self.hub.faults({"status": 429, "headers": {"Retry-After": "1"}, "times": 1})
        outcome = self.fetch_small("--log", 2)
        self.assertIn("again in 1000 ms", outcome.log[0]["text"])

    def test_rate_limit_beyond_it(self):
        for headers, least in (({"Retry-After": "900"}, 900000), ({"RateLimit": '"resolvers";r=0;t=700'}, 700000)):
            with self.subTest(headers=headers):
                self.hub.clear()
                self.hub.faults({"status": 429, "headers": headers})
                outcome = self.bad("RATE_LIMITED", "download", "acme/small", "config.json")
                self.assertGreaterEqual(outcome.error["retry_after_ms"], least)
                self.assertEqual(len(self.hub.requests()), 1)

    def test_request_id(self):
        self.hub.faults({"status": 403, "headers": {"X-Request-Id": "Root=1-test"}})
        self.assertEqual(self.bad("FORBIDDEN", "download", "acme/small", "config.json").error["request_id"], "Root=1-test")

    def test_page_instead_of_file(self):
        self.hub.faults({"method": "GET", "html": "<html>Please log in to this network</html>"})
        self.bad("INTEGRITY", "download", "acme/small", "config.json")
        self.nothing_is_there()
        self.bad("INTEGRITY", "download", "acme/large", "model.bin", settings=PARTS)
        self.nothing_is_there()

    def test_page_instead_of_everything(self):
        self.hub.faults({"html": "<html>Please log in to this network</html>"})
        outcome = self.bad("PROTOCOL", "download", "acme/small", "config.json")
        self.assertIn("HF_ENDPOINT", outcome.error["hint"])
        self.bad("PROTOCOL", "snapshot", "acme/small")
        self.nothing_is_there()

    def test_page_for_a_while(self):
        self.hub.faults({"method": "GET", "html": True, "times": 1})
        self.fetch_small()


class Lines(Case):
    """The line is cut, goes silent, or was never there."""

    def test_small_file_cut(self):
        for after in (0, 1, 20):
            for reset in (False, True):
                with self.subTest(after=after, reset=reset):
                    self.hub.clear()
                    shutil.rmtree(self.cache, ignore_errors=True)
                    self.hub.faults({"method": "GET", "cut": {"after": after, "reset": reset}, "times": 2})
                    self.fetch_small()

    def test_large_file_cut_everywhere(self):
        """Each part is cut after every half megabyte: nothing that came is fetched again."""
        for reset in (False, True):
            with self.subTest(reset=reset):
                self.hub.clear()
                shutil.rmtree(self.cache, ignore_errors=True)
                self.hub.faults({"origin": "cdn", "cut": {"after": MIB // 2, "reset": reset}})
                self.fetch_large()
                if not reset:
                    self.assertEqual(self.sent_twice(), {})

    def test_cut_after_a_few_bytes_for_ever(self):
        """That would take a hundred thousand requests: it is given up, and what came is not fetched again."""
        self.hub.faults({"origin": "cdn", "cut": {"after": 60}})
        self.bad("NETWORK", "download", "acme/large", "model.bin", settings=ONE)
        asked = self.hub.requests(origin="cdn")
        self.assertTrue(50 < len(asked) < 200, len(asked))
        self.hub.clear_faults()
        self.fetch_large(settings=ONE)
        self.assertEqual(self.sent_twice(), {})

    def test_cut_at_one_byte_of_the_file(self):
        self.hub.faults({"origin": "cdn", "cut": {"at": 3 * MIB + 17}, "times": 1})
        self.fetch_large(settings=ONE)
        self.assertEqual(self.sent_twice(), {})
        self.assertEqual([one["range"] for one in self.hub.requests(origin="cdn")], [None, f"bytes={3 * MIB + 17}-{LARGE - 1}"])

    def test_silence(self):
        self.hub.faults({"origin": "cdn", "stall": {"at": 2 * MIB}, "times": 1})
        self.fetch_large(settings={**ONE, "transport.idle_ms": 300})
        self.assertEqual(self.sent_twice(), {})

    def test_silence_before_the_answer(self):
        self.hub.faults({"method": "HEAD", "stall_headers": True, "times": 1})
        self.fetch_small(settings={"transport.idle_ms": 300})

    def test_silence_for_ever(self):
        self.hub.faults({"stall_headers": True})
        outcome = self.bad("TIMEOUT", "download", "acme/small", "config.json", settings={"transport.idle_ms": 200, "transport.retries": 1})
        self.assertIn("transport.idle_ms", outcome.error["hint"])
        self.nothing_is_there()

    def test_no_network(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
            outcome = self.bad("NETWORK", "download", "acme/small", "config.json", hub=address)
            self.assertTrue(outcome.error["hint"])
            self.bad("NETWORK", "snapshot", "acme/small", hub=address)
            self.bad("NETWORK", "info", "acme/small", hub=address)
            self.nothing_is_there()

    def test_no_network_but_a_cache(self):
        self.fetch_small()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
            outcome = self.fetch_small("--log", 2, hub=address)
            self.assertIn("answered from the cache", outcome.log[-1]["text"])
            self.bad("NETWORK", "download", "acme/small", "README.md", hub=address)
            self.bad("NETWORK", "download", "acme/small", "config.json", "--force", hub=address)

    def test_no_such_host(self):
        self.bad("NETWORK", "download", "acme/small", "config.json", hub="http://nowhere.invalid", settings={"transport.retries": 0})


class Lies(Case):
    """Lengths, ranges, etags and bytes that are not what they should be."""

    def test_wrong_length_once(self):
        for length in (1, -1):
            with self.subTest(length=length):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.hub.faults({"method": "GET", "length": length, "times": 1})
                self.fetch_small()
                self.hub.clear_faults()

    def test_wrong_length_always(self):
        for where, repository, path in (({"method": "GET"}, "acme/small", "config.json"), ({"origin": "cdn"}, "acme/large", "model.bin")):
            with self.subTest(repository=repository):
                self.hub.clear()
                self.hub.faults({**where, "length": 7})
                self.bad("INTEGRITY", "download", repository, path, settings=ONE)
                self.nothing_is_there()

    def test_length_absent_or_chunked(self):
        for length in ("absent", "chunked"):
            with self.subTest(length=length):
                self.hub.clear()
                shutil.rmtree(self.cache, ignore_errors=True)
                self.hub.faults({"method": "GET", "length": length})
                self.fetch_small()
                self.fetch_large()

    def test_length_absent_and_cut(self):
        self.hub.faults({"origin": "cdn", "length": "absent", "cut": {"at": 2 * MIB}, "times": 1})
        self.fetch_large(settings=ONE)
        self.hub.clear()
        shutil.rmtree(self.cache)
        self.hub.faults({"method": "GET", "length": "chunked", "cut": {"after": 30}, "times": 1})
        self.fetch_small()

    def test_no_size_at_all(self):
        self.hub.faults({"method": "HEAD", "drop_headers": ["Content-Length", "X-Linked-Size"]})
        self.bad("PROTOCOL", "download", "acme/large", "model.bin")

    def test_ignored_ranges(self):
        self.hub.faults({"origin": "cdn", "ignore_range": True})
        outcome = self.fetch_large()
        self.assertEqual(outcome.end["progress"]["bytes"], LARGE)
        self.assertEqual([one["range"] for one in self.hub.requests(origin="cdn")][-1], None)

    def test_ignored_range_on_a_resume(self):
        self.hub.faults({"origin": "cdn", "cut": {"at": 2 * MIB}, "times": 1}, {"origin": "cdn", "range": True, "ignore_range": True})
        self.fetch_large(settings=ONE)

    def test_wrong_content_range(self):
        for wrong in ({"shift": 1}, {"shift": -5}, {"total": 5}, {"total": LARGE + 1}):
            with self.subTest(wrong=wrong):
                self.hub.clear()
                shutil.rmtree(self.cache, ignore_errors=True)
                self.hub.faults({"range": True, "wrong_range": wrong})
                self.fetch_large()
                self.assertIn(None, [one["range"] for one in self.hub.requests(origin="cdn")])

    def test_416_on_a_resume(self):
        self.hub.faults({"origin": "cdn", "cut": {"at": 2 * MIB}, "times": 1}, {"origin": "cdn", "range": True, "status": 416})
        self.fetch_large(settings=ONE)

    def test_etag_that_changes_between_head_and_get(self):
        self.hub.settings(cdn=False)
        self.hub.faults({"method": "GET", "etag": "ab" * 32, "times": 1})
        self.fetch_large()

    def test_etag_that_is_another_for_ever(self):
        self.hub.settings(cdn=False)
        self.hub.faults({"method": "GET", "etag": {"changing": True}})
        self.bad("INTEGRITY", "download", "acme/large", "model.bin", settings=PARTS)
        self.nothing_is_there()

    def test_etag_that_changes_between_parts(self):
        self.hub.settings(cdn=False)
        self.hub.faults({"method": "GET", "etag": "cd" * 32, "after": 3, "times": 1})
        self.fetch_large()

    def test_weak_etag(self):
        etag = self.small["files"]["config.json"]["etag"]
        self.hub.faults({"add_headers": {"ETag": f'W/"{etag}"'}})
        self.fetch_small()

    def test_etag_of_the_cdn_means_nothing(self):
        self.hub.faults({"origin": "cdn", "etag": "ef" * 16})
        self.fetch_large()

    def test_corrupt_byte_once(self):
        self.hub.faults({"origin": "cdn", "corrupt": 5 * MIB, "times": 7})
        outcome = self.fetch_large()
        self.assertEqual(outcome.end["progress"]["bytes"], LARGE)

    def test_corrupt_byte_always(self):
        self.hub.faults({"origin": "cdn", "corrupt": 5 * MIB})
        outcome = self.bad("INTEGRITY", "download", "acme/large", "model.bin", settings=ONE)
        self.assertEqual(len(self.hub.requests(origin="cdn")), 2)
        self.assertIn("promised was", outcome.error["message"])
        self.nothing_is_there()

    def test_corrupt_small_file(self):
        self.hub.faults({"method": "GET", "corrupt": 3})
        self.bad("INTEGRITY", "download", "acme/small", "config.json")
        self.assertEqual(len(self.hub.requests(method="GET")), 2)
        self.nothing_is_there()

    def test_other_content_of_the_same_size(self):
        self.hub.faults({"method": "GET", "other_content": {"size": LARGE, "seed": "other"}})
        self.bad("INTEGRITY", "download", "acme/large", "model.bin", settings=PARTS)
        self.nothing_is_there()

    def test_corrupt_bytes_from_an_earlier_run(self):
        """What a journal says is durable is believed only until the hash says otherwise."""
        self.hub.faults({"origin": "cdn", "stall": {"at": 3 * MIB}})
        running = self.start("download", "acme/large", "model.bin", "--progress", settings=ONE, build=hubtest.PLAIN)
        hubtest.wait_for_durable(self, 3 * MIB)
        running.kill()
        self.hub.clear()
        data = [path for path in self.leftovers() if ".j" not in os.path.basename(path)]
        with open(data[0], "r+b") as file:
            file.seek(1000)
            file.write(b"\0\1\2\3")
        self.fetch_large(settings=ONE)

    def test_compressed_although_not_asked(self):
        self.hub.faults({"method": "GET", "gzip": True})
        self.fetch_small()
        self.fetch_large()

    def test_without_the_commit_header(self):
        self.hub.faults({"drop_headers": ["X-Repo-Commit"]})
        self.fetch_small()
        self.assertEqual(self.asked()[1], ("GET", "revision"))
        self.fetch_large()

    def test_commit_that_is_none(self):
        self.hub.faults({"method": "HEAD", "add_headers": {"X-Repo-Commit": "../../../etc"}})
        self.fetch_small()

    def test_commit_that_was_not_asked_for(self):
        self.hub.faults({"add_headers": {"X-Repo-Commit": "a" * 40}})
        self.bad("PROTOCOL", "download", "acme/small", "config.json", "--revision", self.small["sha"])
        self.hub.clear()
        self.hub.faults({"path": "/revision/", "set": {"sha": "b" * 40}})
        self.bad("PROTOCOL", "info", "acme/small", "--revision", self.small["sha"])
        self.nothing_is_there()

    def test_sizes_beyond_every_measure(self):
        for size in (1 << 62, (1 << 63) - 1, 1 << 63, 10 ** 30):
            with self.subTest(size=size):
                self.hub.clear()
                self.hub.faults({"method": "HEAD", "add_headers": {"X-Linked-Size": str(size)}})
                outcome = self.run_driver("download", "acme/large", "model.bin", settings=PARTS)
                self.assertIn(outcome.status, ("DISK_FULL", "PROTOCOL", "OK", "INTEGRITY"))
                if outcome.status != "OK":
                    self.nothing_is_there()

    def test_sums_beyond_every_measure(self):
        self.hub.faults({"path": "/tree/", "items": {"size": (1 << 63) - 1, "lfs": None}}, {"path": "/revision/", "items": {"size": (1 << 63) - 1}})
        self.assertEqual(self.good("info", "acme/small").rows[0]["bytes"], (1 << 63) - 1)
        self.assertIn(self.run_driver("snapshot", "acme/small").status, ("DISK_FULL", "INTEGRITY"))


class Redirects(Case):
    """Where answers lead to, and who gets the token."""

    def test_chain(self):
        self.hub.faults({"redirect": {"chain": 3}, "origin": "hub"})
        self.fetch_small("--token", "hf_good")

    def test_loop(self):
        self.hub.faults({"redirect": {"loop": True}})
        outcome = self.bad("PROTOCOL", "download", "acme/small", "config.json")
        self.assertIn("redirects", outcome.error["message"])
        self.assertEqual(len(self.hub.requests()), 11)

    def test_token_never_leaves_the_hub(self):
        self.fetch_large_with_token()
        self.assertEqual({one["headers"].get("authorization") for one in self.hub.requests(origin="hub")}, {"good"})
        self.assertEqual({one["headers"].get("authorization") for one in self.hub.requests(origin="cdn")}, {None})

    def fetch_large_with_token(self):
        outcome = self.good("download", "acme/large", "model.bin", "--token", "hf_good", settings=PARTS)
        self.assert_is(outcome.text, self.large["files"]["model.bin"])

    def test_token_never_leaves_the_hub_for_a_page(self):
        self.hub.put_repository(repositories.many_files())
        self.hub.settings(page_size=100)
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
        self.hub.faults({"path": "/tree/", "add_headers": {"Link": f'<{elsewhere}/api/models/acme/many/tree/main?limit=7>; rel="next"'}, "times": 1})
        self.run_driver("list", "acme/many", "--token", "hf_good")
        last = self.hub.requests()[-1]
        self.assertEqual((last["query"], last["headers"].get("authorization")), ("limit=7", None))

    def test_expired_address_of_the_cdn(self):
        """The second part finds its address expired; the hub gives a new one."""
        self.hub.faults({"origin": "cdn", "status": 403, "after": 2, "times": 1})
        self.fetch_large(settings={"hub.part_bytes": MIB, "hub.parts": 1})
        heads = [one for one in self.asked() if one == ("GET", "resolve")]
        self.assertEqual(len(heads), 2)
        self.assertEqual(self.sent_twice(), {})

    def test_address_of_the_cdn_that_never_works(self):
        self.hub.faults({"origin": "cdn", "status": 403})
        self.bad("FORBIDDEN", "download", "acme/large", "model.bin", settings=PARTS)
        self.nothing_is_there()

    def test_from_https_to_http(self):
        self.hub.faults({"method": "GET", "redirect": {"to": "ftp://localhost/x"}})
        self.bad("PROTOCOL", "download", "acme/small", "config.json")


class Tls(Case):
    """https with an authority of one's own."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.certificate = certificate.make(folder)
        if cls.certificate is None:
            raise unittest.SkipTest("there is no openssl program to make a certificate with")
        super().setUpClass()

    def test_trusted(self):
        for options in ({"settings": {"transport.ca_file": self.certificate[0]}}, {"environment": {"SSL_CERT_FILE": self.certificate[0]}}):
            shutil.rmtree(self.cache, ignore_errors=True)
            self.fetch_small(**options)
            self.fetch_large(settings={**PARTS, "transport.ca_file": self.certificate[0]})

    def test_not_trusted(self):
        outcome = self.bad("TLS", "download", "acme/small", "config.json")
        self.assertIn("transport.ca_file", outcome.error["hint"])
        self.assertEqual(self.hub.requests(), [])

    def test_from_https_to_http(self):
        plain = self.hub.url.replace("https:", "http:")
        self.hub.faults({"method": "GET", "redirect": {"to": plain + "{path}"}})
        self.bad("TLS", "download", "acme/small", "config.json", settings={"transport.ca_file": self.certificate[0]})
        self.nothing_is_there()


class Names(Case):
    """What a hub may want to write where."""

    def test_hostile_names_in_a_tree(self):
        names = ["../x", "a/../../x", "/etc/x", "a//b", "./x", "a/./b", "", "a\\..\\x", "C:/x", "x\ny", "nul", "a/.."]
        before = set(os.listdir(self.home))
        for name in names:
            with self.subTest(name=name):
                self.hub.clear()
                self.hub.faults({"path": "/tree/", "names": [name]})
                outcome = self.bad("PROTOCOL", "snapshot", "acme/small")
                self.assertIn("no file may be named", outcome.error["message"])
                self.assertNotIn("\n", outcome.error["message"])
                self.bad("PROTOCOL", "list", "acme/small")
        self.assertEqual(set(os.listdir(self.home)) - before, set())
        self.nothing_is_there()

    def test_hostile_names_into_a_folder(self):
        folder = os.path.join(self.home, "mine")
        for name in ("../x", ".cache/huggingface/download/x.metadata", ".cache/huggingface/x"):
            with self.subTest(name=name):
                self.hub.clear()
                self.hub.faults({"path": "/tree/", "names": [name]})
                self.bad("PROTOCOL", "snapshot", "acme/small", "--folder", folder)

    def test_file_and_folder_of_one_name(self):
        self.hub.faults({"path": "/tree/", "names": ["config.json/x"]})
        outcome = self.run_driver("snapshot", "acme/small")
        self.assertIn(outcome.status, ("IO", "PROTOCOL"))

    def test_name_twice(self):
        self.hub.faults({"path": "/tree/", "names": ["twice.txt", "twice.txt"]})
        self.bad("PROTOCOL", "snapshot", "acme/small")

    def test_hostile_etags(self):
        for etag in ("../../x", "a/b", "", ".hidden", "x" * 200, "nul", f"{'a' * 40}.j1.tenon.incomplete", "a b"):
            with self.subTest(etag=etag):
                self.hub.clear()
                self.hub.faults({"method": "HEAD", "etag": etag})
                outcome = self.bad("PROTOCOL", "download", "acme/large", "model.bin")
                self.assertIn("content id", outcome.error["message"])
        self.nothing_is_there()

    def test_etag_of_a_mirror(self):
        """One safe name is accepted, though nothing but the size can be checked then; that is said."""
        self.hub.faults({"etag": "mirror-0123_x.y"})
        outcome = self.good("download", "acme/large", "model.bin", "--log", 2, settings=PARTS)
        self.assertEqual(os.path.basename(os.readlink(outcome.text)), "mirror-0123_x.y")
        self.assertIn("only the size could be checked", outcome.log[-1]["text"])

    def test_hostile_ids_in_a_tree(self):
        for items in ({"oid": "../x", "lfs": None}, {"oid": "x" * 40, "lfs": None}, {"lfs": {"oid": "../x", "size": 1}}, {"size": -5, "lfs": None},
                      {"lfs": 5}, {"path": 7}):
            with self.subTest(items=items):
                self.hub.clear()
                self.hub.faults({"path": "/tree/", "items": items})
                self.bad("PROTOCOL", "snapshot", "acme/small")
        self.nothing_is_there()

    def test_odd_types_are_left_out(self):
        self.hub.faults({"path": "/tree/", "items": {"type": "submodule"}})
        self.assertEqual(self.good("snapshot", "acme/small").rows, [])

    def test_names_that_the_caller_gives(self):
        for path in ("../x", "/x", "", "a//b", "a\\b", "x\x01"):
            self.bad("ARGUMENT", "download", "acme/small", path)
        for name in ("a/b/c", "../x", "a b", "-x", "x--y", "a/b@../x", "a/b@", "a/b.git", "", "a/b@x y\n"):
            self.bad("ARGUMENT", "download", name, "config.json")
        self.assertEqual(self.hub.requests(), [])


class Json(Case):
    """Answers that are no answers."""

    def test_absurd_json(self):
        absurd = [{"text": ""}, {"text": "nonsense"}, {"text": "[]"}, {"text": "null"}, {"text": "{}"}, {"text": "5"}, {"text": '"x"'}, {"hex": "00ff00"},
                  {"text": '{"sha": 5}'}, {"text": '{"sha": "x"}'}, {"text": '{"sha": "%s", "sha": "%s"}' % ("a" * 40, "b" * 40)},
                  {"text": '{"sha": "\\u0000"}'}, {"deep": 200000}, {"keep": 30}, {"types": True}, {"text": "[" * 99 + "]" * 99}]
        for answer in absurd:
            with self.subTest(answer=answer):
                self.hub.clear()
                self.hub.faults({"path": "/revision/", "json": answer})
                self.bad("PROTOCOL", "snapshot", "acme/small")
                self.bad("PROTOCOL", "info", "acme/small")
        self.nothing_is_there()

    def test_absurd_listings(self):
        absurd = [{"text": ""}, {"text": "{}"}, {"text": "null"}, {"text": '[{"type": "file"}]'}, {"text": '[{"type": "file", "path": "x"}]'},
                  {"deep": 200000}, {"keep": 100}, {"types": True}]
        for answer in absurd:
            with self.subTest(answer=answer):
                self.hub.clear()
                self.hub.faults({"path": "/tree/", "json": answer})
                outcome = self.run_driver("snapshot", "acme/small")
                self.assertIn(outcome.status, ("PROTOCOL", "OK"))
                if outcome.status == "OK":
                    self.assertEqual(outcome.rows, [])
        self.nothing_is_there()

    def test_nothing_but_odd_items(self):
        self.hub.faults({"path": "/tree/", "json": {"text": '[1, null, "x", [], {}, {"type": 5}, {"type": "file2"}]'}})
        self.assertEqual(self.good("snapshot", "acme/small").rows, [])
        self.assertEqual(self.good("list", "acme/small").rows, [])

    def test_huge_json(self):
        self.hub.faults({"path": "/revision/", "json": {"huge": 3 * MIB}})
        outcome = self.bad("PROTOCOL", "info", "acme/small", settings={"transport.json_bytes": MIB})
        self.assertIn("larger than", outcome.error["message"])

    def test_huge_error(self):
        self.hub.faults({"status": 404, "body": "x" * (2 * MIB)})
        outcome = self.bad("NOT_FOUND", "info", "acme/small", build=hubtest.PLAIN)
        self.assertLess(len(outcome.error["message"]), 5000)

    def test_numbers_beyond_64_bits(self):
        self.hub.faults({"path": "/revision/", "set": {"likes": 10 ** 30, "config": {"max": 10 ** 40}}})
        self.assertEqual(self.good("info", "acme/small").rows[0]["likes"], -1)

    def test_page_loops(self):
        self.hub.put_repository(repositories.many_files())
        self.hub.settings(page_size=50)
        self.hub.faults({"path": "/tree/", "page_loop": True})
        self.bad("PROTOCOL", "list", "acme/many")
        self.bad("PROTOCOL", "snapshot", "acme/many")
        self.assertLess(len(self.hub.requests()), 10)

    def test_page_circles(self):
        """Two pages that lead to each other."""
        self.hub.put_repository(repositories.many_files())
        tree = f"{self.hub.url}/api/models/acme/many/tree/main?recursive=true"
        self.hub.faults({"path": "/tree/", "add_headers": {"Link": f'<{tree}&cursor=10>; rel="next"'}},
                        {"path": "/tree/", "query": "cursor=10", "add_headers": {"Link": f'<{tree}&cursor=20>; rel="next"'}},
                        {"path": "/tree/", "query": "cursor=20", "add_headers": {"Link": f'<{tree}&cursor=30>; rel="next"'}},
                        {"path": "/tree/", "query": "cursor=30", "add_headers": {"Link": f'<{tree}&cursor=10>; rel="next"'}})
        outcome = self.bad("PROTOCOL", "list", "acme/many")
        self.assertIn("no end", outcome.error["message"])
        self.assertLess(len(self.hub.requests()), 16)
        self.hub.clear_violations()

    def test_link_to_nowhere(self):
        self.hub.faults({"path": "/tree/", "add_headers": {"Link": '<javascript:1>; rel="next"'}})
        self.bad("PROTOCOL", "list", "acme/small")


class Repositories(Case):
    """Private, gated, unknown; and what is said about it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for one in (repositories.private_model(), repositories.gated_model(), repositories.disabled_model()):
            cls.hub.put_repository(one)

    def test_private(self):
        outcome = self.bad("NOT_FOUND", "download", "acme/private", "config.json")
        self.assertIn("HF_TOKEN", outcome.error["hint"])
        outcome = self.bad("NOT_FOUND", "download", "acme/private", "config.json", "--token", "hf_read")
        self.assertEqual(outcome.error["code"], "RepoNotFound")
        self.good("download", "acme/private", "model.bin", "--token", "hf_good")
        self.nothing_leaks()

    def nothing_leaks(self):
        for place, _, names in os.walk(self.home):
            for name in names:
                self.assertNotIn(b"hf_good", read(os.path.join(place, name)))

    def test_gated(self):
        for token in ((), ("--token", "hf_read")):
            outcome = self.bad("GATED", "download", "acme/gated", "config.json", *token)
            self.assertIn(f"{self.hub.url}/acme/gated", outcome.error["hint"])
            self.bad("GATED", "snapshot", "acme/gated", *token)
        self.good("download", "acme/gated", "config.json", "--token", "hf_good")

    def test_bad_token(self):
        outcome = self.bad("UNAUTHORIZED", "download", "acme/small", "config.json", "--token", "hf_wrong")
        self.assertNotIn("hf_wrong", json.dumps(outcome.error))
        self.assertIn("token", outcome.error["hint"])

    def test_token_from_everywhere(self):
        write(os.path.join(self.home, ".cache", "huggingface", "token"), "hf_good\n")
        self.good("exists", "acme/private", "config.json")
        self.bad("NOT_FOUND", "exists", "acme/private", "config.json", settings={"hub.no_token": 1})
        self.bad("NOT_FOUND", "exists", "acme/private", "config.json", environment={"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})
        self.bad("NOT_FOUND", "exists", "acme/private", "config.json", "--token", "")
        os.unlink(os.path.join(self.home, ".cache", "huggingface", "token"))
        self.good("exists", "acme/private", "config.json", environment={"HF_TOKEN": " hf_good\n"})
        self.good("exists", "acme/private", "config.json", environment={"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "hf_good"})
        write(os.path.join(self.home, "elsewhere"), "hf_good")
        self.good("exists", "acme/private", "config.json", environment={"HF_TOKEN_PATH": os.path.join(self.home, "elsewhere")})

    def test_token_that_is_none(self):
        for token in ("hf_a\nX-Evil: 1", "hf_a b", "hf_\u00fc"):
            self.bad("ARGUMENT", "download", "acme/small", "config.json", "--token", token)
        self.assertEqual(self.hub.requests(), [])

    def test_disabled(self):
        self.bad("FORBIDDEN", "download", "acme/disabled", "config.json", "--token", "hf_good")

    def test_unknown(self):
        outcome = self.bad("NOT_FOUND", "download", "acme/none", "config.json", "--token", "hf_good")
        self.assertEqual(outcome.error["code"], "RepoNotFound")
        outcome = self.bad("NOT_FOUND", "download", "acme/small", "config.json", "--revision", "no-such-branch")
        self.assertEqual(outcome.error["code"], "RevisionNotFound")
        self.assertIn("revision", outcome.error["hint"])
        outcome = self.bad("NOT_FOUND", "download", "acme/small", "Config.json")
        self.assertEqual(outcome.error["code"], "EntryNotFound")
        self.bad("NOT_FOUND", "snapshot", "acme/small", "--revision", "no-such-branch")
        self.bad("NOT_FOUND", "snapshot", "acme/none")

    def test_what_does_not_exist_is_noted(self):
        self.bad("NOT_FOUND", "download", "acme/small", "none.json")
        marker = os.path.join(self.folder_of("acme/small"), ".no_exist", self.small["sha"], "none.json")
        self.assertEqual(read(marker), b"")
        outcome = self.bad("NOT_FOUND", "download", "acme/small", "none.json", "--policy", OFFLINE)
        self.assertEqual(outcome.error["code"], "EntryNotFound")
        self.bad("OFFLINE", "download", "acme/small", "other.json", "--policy", OFFLINE)

    def test_a_cached_file_survives_a_lost_token(self):
        self.good("download", "acme/private", "config.json", "--token", "hf_good")
        self.good("download", "acme/private", "config.json")
        self.bad("NOT_FOUND", "download", "acme/private", "config.json", "--policy", FRESH)


class Offline(Case):
    def test_offline(self):
        for offline in ({"environment": {"HF_HUB_OFFLINE": "1"}}, {"environment": {"TRANSFORMERS_OFFLINE": "yes"}}, {"settings": {"hub.offline": 1}}):
            with self.subTest(offline=offline):
                shutil.rmtree(self.cache, ignore_errors=True)
                outcome = self.bad("OFFLINE", "download", "acme/small", "config.json", **offline)
                self.assertIn("HF_HUB_OFFLINE", outcome.error["hint"])
                self.bad("OFFLINE", "snapshot", "acme/small", **offline)
                self.bad("OFFLINE", "info", "acme/small", **offline)
                self.bad("OFFLINE", "list", "acme/small", **offline)
                self.bad("OFFLINE", "references", "acme/small", **offline)
                self.bad("OFFLINE", "exists", "acme/small", **offline)
                self.bad("OFFLINE", "read", "acme/small", "config.json", **offline)
        self.assertEqual(self.hub.requests(), [])

    def test_offline_with_a_cache(self):
        self.good("snapshot", "acme/small")
        self.hub.clear_requests()
        self.assertEqual(sorted(self.good("snapshot", "acme/small", "--policy", OFFLINE).paths()), sorted(self.small["files"]))
        self.assertEqual(sorted(self.good("list", "acme/small", "--policy", OFFLINE).paths()), sorted(self.small["files"]))
        self.assertEqual(self.good("info", "acme/small", "--policy", OFFLINE).text, self.small["sha"])
        self.good("exists", "acme/small", "README.md", "--policy", OFFLINE)
        self.assertEqual(self.good("read", "acme/small", "README.md", "--policy", OFFLINE).bytes, repositories.CARD.encode())
        self.good("download", "acme/small", "README.md", "--policy", OFFLINE)
        self.bad("OFFLINE", "download", "acme/small", "README.md", "--policy", OFFLINE, "--revision", "v1.0")
        self.assertEqual(self.hub.requests(), [])

    def test_incomplete_snapshot(self):
        self.good("snapshot", "acme/small", "--allow", "*.json")
        self.good("snapshot", "acme/small", "--allow", "*.json", "--policy", OFFLINE)
        outcome = self.bad("OFFLINE", "snapshot", "acme/small", "--policy", OFFLINE)
        self.assertIn("is not in the cache", outcome.error["message"])
        # Not offline: what the hub said is the reason, though the cache was looked at as well.
        self.hub.faults({"status": 503})
        outcome = self.bad("UNAVAILABLE", "snapshot", "acme/small")
        self.assertIn("HTTP 503", outcome.error["message"])

    def test_hub_is_away(self):
        """Not offline, but the hub fails: the cache stands in, and says so."""
        self.good("snapshot", "acme/small")
        self.hub.faults({"status": 503})
        outcome = self.good("snapshot", "acme/small", "--log", 2)
        self.assertIn("answered from the cache", outcome.log[-1]["text"])
        self.assertEqual(len(outcome.rows), len(self.small["files"]))
        self.assertEqual(len(self.good("list", "acme/small").rows), len(self.small["files"]))
        self.good("exists", "acme/small", "README.md")
        self.assertEqual(self.good("read", "acme/small", "README.md").bytes, repositories.CARD.encode())
        self.bad("UNAVAILABLE", "list", "acme/small", "--policy", FRESH)
        self.bad("UNAVAILABLE", "read", "acme/small", "README.md", "--policy", FRESH)
        self.bad("UNAVAILABLE", "exists", "acme/small", "README.md", "--policy", FRESH)
        self.bad("UNAVAILABLE", "snapshot", "acme/small", "--policy", FRESH)

    def test_unknown_revision_is_not_answered_from_the_cache(self):
        self.good("snapshot", "acme/small", "--revision", "feature/card")
        self.hub.put_repository({"id": "acme/small", "files": {"config.json": "{}"}})
        self.bad("NOT_FOUND", "snapshot", "acme/small", "--revision", "feature/card")
        self.bad("NOT_FOUND", "download", "acme/small", "README.md", "--revision", "feature/card")
        type(self).small = self.hub.put_repository(repositories.small_model())


class Snapshots(Case):
    def test_whole(self):
        outcome = self.good("snapshot", "acme/small")
        self.assertEqual(sorted(outcome.paths()), sorted(self.small["files"]))
        for path, facts in self.small["files"].items():
            self.assert_is(os.path.join(outcome.text, path), facts)
        self.assertEqual(set(files_below(outcome.text)), set(self.small["files"]))
        self.assert_sound()
        asked = self.asked()
        self.assertEqual(asked[:2], [("GET", "revision"), ("GET", "tree")])
        # One request for each file, one more at the CDN, none for the empty one.
        self.assertEqual(len(asked), 2 + len(self.small["files"]))

    def test_again(self):
        self.good("snapshot", "acme/small")
        for policy, wanted in ((PINNED, [("GET", "revision")]), (FIRST, []), (OFFLINE, []), (FRESH, [("GET", "revision")])):
            self.hub.clear_requests()
            self.good("snapshot", "acme/small", "--policy", policy)
            self.assertEqual(self.asked(), wanted)
            # A commit never changes: only a caller who insists has it asked for.
            self.hub.clear_requests()
            self.good("snapshot", "acme/small", "--policy", policy, "--revision", self.small["sha"])
            self.assertEqual(self.asked(), wanted if policy == FRESH else [])

    def test_patterns(self):
        files = sorted(self.small["files"])
        wanted = [(["*.json"], [], [path for path in files if path.endswith(".json")]),
                  (["tokenizer/"], [], [path for path in files if path.startswith("tokenizer/")]),
                  (["*"], ["*.safetensors", "nested/*"], [path for path in files if not path.endswith(".safetensors") and not path.startswith("nested/")]),
                  (["README.md", "[!a-z]*.md"], [], ["README.md"]), ([], ["*"], []), (["no such"], [], []), (["*/*"], [], [path for path in files if "/" in path]),
                  ([repositories.ODD_NAME.replace("[", "[[]")], [], [repositories.ODD_NAME])]
        for allow, ignore, expected in wanted:
            with self.subTest(allow=allow, ignore=ignore):
                arguments = [word for pattern in allow for word in ("--allow", pattern)] + [word for pattern in ignore for word in ("--ignore", pattern)]
                shutil.rmtree(self.cache, ignore_errors=True)
                outcome = self.good("snapshot", "acme/small", *arguments)
                self.assertEqual(sorted(outcome.paths()), expected)
                self.assertEqual(sorted(files_below(outcome.text)), expected)
                self.assertEqual(sorted(self.good("list", "acme/small", *arguments).paths()), expected)

    def test_many_files(self):
        self.hub.put_repository(repositories.many_files(700, "acme/seven"))
        self.hub.settings(page_size=100)
        outcome = self.good("snapshot", "acme/seven", build=hubtest.PLAIN)
        self.assertEqual(len(outcome.rows), 700)
        self.assertEqual(read(os.path.join(outcome.text, "folder 4/file-0123.txt")), b"123\n")
        self.assertEqual(self.asked().count(("GET", "tree")), 8)
        self.assertEqual(len(self.hub.requests()), 1 + 8 + 700)

    def test_branch_moves_meanwhile(self):
        """All files are of one commit: the one that the branch stood at when it was asked for."""
        made = self.hub.put_repository({"id": "acme/moving", "files": {f"{n}.txt": f"old {n}\n" for n in range(40)}})
        self.hub.faults({"path": "/7.txt", "stall_headers": True})
        running = self.start("snapshot", "acme/moving", settings={"hub.files": 2, "transport.idle_ms": 60000})
        self.hub.wait(stalled=1)
        self.hub.commit("acme/moving", files={f"{n}.txt": f"new {n}\n" for n in range(40)}, replace=True)
        self.hub.clear_faults()
        outcome = running.wait()
        self.assertEqual(outcome.status, "OK")
        self.assertEqual({data[:3] for data in files_below(outcome.text).values()}, {b"old"})
        self.assertTrue(outcome.text.endswith(made["sha"]))
        newer = self.good("snapshot", "acme/moving")
        self.assertEqual({data[:3] for data in files_below(newer.text).values()}, {b"new"})

    def test_branch_moves_between_head_and_get(self):
        self.hub.put_repository({"id": "acme/moved", "files": {"config.json": "old"}})
        self.hub.faults({"method": "HEAD", "stall_headers": True})
        running = self.start("download", "acme/moved", "config.json", settings={"transport.idle_ms": 60000})
        self.hub.wait(stalled=1)
        self.hub.clear_faults()
        self.assertEqual(read(running.wait().text), b"old")
        self.hub.commit("acme/moved", files={"config.json": "new"})
        self.assertEqual(read(self.good("download", "acme/moved", "config.json").text), b"new")

    def test_same_content_under_many_names(self):
        made = self.hub.put_repository({"id": "acme/twins", "files": {f"{n}.bin": {"size": 2 * MIB, "seed": "same"} for n in range(5)}})
        self.assertEqual(len({facts["etag"] for facts in made["files"].values()}), 1)
        self.good("snapshot", "acme/twins")
        self.assertEqual(self.sent_twice(), {})
        self.assertEqual(len(hubtest.glob_files(self.cache, "blobs")), 1)

    def test_without_files(self):
        self.hub.put_repository({"id": "acme/empty", "files": {}})
        outcome = self.good("snapshot", "acme/empty")
        self.assertTrue(os.path.isdir(outcome.text))
        self.assertEqual(outcome.rows, [])

    def test_one_file_fails(self):
        """The others that were complete stay; the next call fetches only what is missing."""
        self.hub.faults({"path": "words.txt", "status": 403})
        self.bad("FORBIDDEN", "snapshot", "acme/small", settings={"hub.files": 1})
        self.hub.clear()
        self.good("snapshot", "acme/small")
        self.assertEqual(self.asked()[:1], [("GET", "revision")])
        self.assertEqual(self.sent_twice(), {})
        self.assertLess(len(self.hub.requests()), 2 + len(self.small["files"]))
        self.assert_sound()


class LocalFolder(Case):
    """Plain files in a folder of the user's, with the official client's notes beside them."""

    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.home, "mine")

    def note(self, path):
        return os.path.join(self.folder, ".cache", "huggingface", "download", path + ".metadata")

    def test_file(self):
        outcome = self.good("download", "acme/small", "tokenizer/tokenizer.json", "--folder", self.folder)
        self.assertEqual(outcome.text, os.path.join(self.folder, "tokenizer/tokenizer.json"))
        self.assertFalse(os.path.islink(outcome.text))
        commit, etag, when = read(self.note("tokenizer/tokenizer.json")).decode().splitlines()
        self.assertEqual((commit, etag), (self.small["sha"], self.small["files"]["tokenizer/tokenizer.json"]["etag"]))
        self.assertLess(abs(float(when) - time.time()), 100)
        self.assertEqual(read(os.path.join(self.folder, ".cache", "huggingface", ".gitignore")), b"*")
        self.assertFalse(os.path.exists(os.path.join(self.folder_of("acme/small"), "refs")))

    def test_commit_that_is_there_needs_no_request(self):
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.hub.clear_requests()
        self.good("download", "acme/small", "config.json", "--folder", self.folder, "--revision", self.small["sha"])
        self.assertEqual(self.asked(), [])
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.assertEqual(self.asked(), [("HEAD", "resolve")])
        self.hub.clear_requests()
        self.good("download", "acme/small", "config.json", "--folder", self.folder, "--revision", "v1.0")
        self.assertEqual(self.asked(), [("HEAD", "resolve")])
        self.assertEqual(read(self.note("config.json")).decode().splitlines()[0], self.small["commits"][1])

    def test_hub_is_away(self):
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.hub.faults({"status": 500})
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.good("download", "acme/small", "config.json", "--folder", self.folder, "--policy", OFFLINE)
        self.bad("UNAVAILABLE", "download", "acme/small", "config.json", "--folder", self.folder, "--policy", FRESH)
        self.bad("UNAVAILABLE", "download", "acme/small", "README.md", "--folder", self.folder)

    def test_file_that_was_changed(self):
        path = self.good("download", "acme/small", "config.json", "--folder", self.folder).text
        later = time.time() + 10
        write(path, "changed")
        os.utime(path, (later, later))
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.assert_is(path, self.small["files"]["config.json"])

    def test_broken_note(self):
        path = self.good("download", "acme/small", "config.json", "--folder", self.folder).text
        write(self.note("config.json"), "nonsense")
        write(path, "nonsense")
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.assert_is(path, self.small["files"]["config.json"])

    def test_file_without_a_note_is_hashed(self):
        write(os.path.join(self.folder, "config.json"), json.dumps(repositories.CONFIG))
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.assertEqual(self.asked(), [("HEAD", "resolve")])
        self.assertTrue(os.path.exists(self.note("config.json")))

    def test_copied_from_the_cache(self):
        self.good("snapshot", "acme/small")
        self.hub.clear_requests()
        self.good("snapshot", "acme/small", "--folder", self.folder)
        self.assertEqual(self.asked(), [("GET", "revision")])
        self.assertEqual(set(files_below(self.folder)), set(self.small["files"]))
        self.hub.clear_requests()
        self.good("download", "acme/small", "config.json", "--folder", os.path.join(self.home, "other"), "--policy", OFFLINE)
        self.assertEqual(self.asked(), [])

    def test_corrupt_in_the_cache(self):
        """The copy is found out, and the hub is asked."""
        path = self.good("download", "acme/small", "model.safetensors").text
        with open(path, "r+b") as file:
            file.write(b"broken")
        outcome = self.good("download", "acme/small", "model.safetensors", "--folder", self.folder, "--log", 2)
        self.assert_is(outcome.text, self.small["files"]["model.safetensors"])
        self.assertIn("corrupt in the cache", outcome.log[0]["text"])

    def test_snapshot(self):
        outcome = self.good("snapshot", "acme/small", "--folder", self.folder)
        self.assertEqual(outcome.text, self.folder)
        self.assertEqual({path: len(data) for path, data in files_below(self.folder).items()},
                         {path: facts["size"] for path, facts in self.small["files"].items()})
        self.assertEqual(read(os.path.join(self.folder_of("acme/small"), "refs", "main")).decode(), self.small["sha"])
        self.hub.clear_requests()
        self.good("snapshot", "acme/small", "--folder", self.folder)
        self.assertEqual(self.asked(), [("GET", "revision")])
        self.hub.clear_requests()
        self.good("snapshot", "acme/small", "--folder", self.folder, "--policy", OFFLINE)
        self.assertEqual(self.asked(), [])
        os.unlink(os.path.join(self.folder, "config.json"))
        self.bad("OFFLINE", "snapshot", "acme/small", "--folder", self.folder, "--policy", OFFLINE)
        self.hub.faults({"status": 503})
        self.bad("UNAVAILABLE", "snapshot", "acme/small", "--folder", self.folder)

    def test_links_are_not_followed(self):
        outside = os.path.join(self.home, "outside")
        os.makedirs(outside)
        os.makedirs(self.folder)
        os.symlink(outside, os.path.join(self.folder, "tokenizer"))
        self.bad("IO", "download", "acme/small", "tokenizer/tokenizer.json", "--folder", self.folder)
        self.assertEqual(os.listdir(outside), [])
        os.symlink(os.path.join(outside, "target"), os.path.join(self.folder, "config.json"))
        self.good("download", "acme/small", "config.json", "--folder", self.folder)
        self.assertEqual(os.listdir(outside), [])
        self.assertFalse(os.path.islink(os.path.join(self.folder, "config.json")))

    def test_large_file_is_gone_on_with(self):
        self.hub.faults({"origin": "cdn", "stall": {"at": 3 * MIB}})
        running = self.start("download", "acme/large", "model.bin", "--folder", self.folder, settings=ONE, build=hubtest.PLAIN)
        hubtest.wait_for_durable(self, 3 * MIB, self.folder)
        running.kill()
        self.hub.clear_faults()
        outcome = self.good("download", "acme/large", "model.bin", "--folder", self.folder, settings=ONE)
        self.assert_is(outcome.text, self.large["files"]["model.bin"])
        self.assertEqual(self.sent_twice(), {})
        self.assertEqual(self.leftovers(self.folder), [])


class Cache(Case):
    """Caches that are read-only, without links, in odd places, or broken."""

    def test_without_links(self):
        outcome = self.good("snapshot", "acme/small", settings={"hub.no_links": 1})
        self.assertEqual({path: len(data) for path, data in files_below(outcome.text).items()},
                         {path: facts["size"] for path, facts in self.small["files"].items()})
        self.assertFalse(any(os.path.islink(os.path.join(outcome.text, path)) for path in self.small["files"]))
        self.assertEqual(hubtest.glob_files(self.cache, "blobs"), [])
        self.hub.clear_requests()
        self.good("snapshot", "acme/small", "--revision", self.small["sha"])
        self.assertEqual(self.asked(), [])
        self.good("verify", "acme/small")

    def test_file_system_without_links(self):
        self.good("snapshot", "acme/small", preload={"FAULTS_LINKS": "none"})
        self.assertEqual(hubtest.glob_files(self.cache, "blobs"), [])
        self.good("verify", "acme/small")

    def test_a_blob_that_others_link_to_is_copied(self):
        self.fetch_small("--revision", "v1.0")
        outcome = self.good("download", "acme/small", "config.json", settings={"hub.no_links": 1})
        self.assertFalse(os.path.islink(outcome.text))
        self.assert_sound()
        self.good("download", "acme/small", "config.json", "--revision", "v1.0", "--policy", OFFLINE)

    def test_killed_without_links(self):
        """A copy into a snapshot appears whole."""
        self.good("download", "acme/large", "model.bin")
        path = os.path.join(self.folder_of("acme/large"), "snapshots", self.large["sha"], "model.bin")
        os.unlink(path)
        self.run_driver("download", "acme/large", "model.bin", preload={"FAULTS_ROOM": MIB}, settings={"hub.no_links": 1})
        self.assertFalse(os.path.exists(path))
        self.good("download", "acme/large", "model.bin", settings={"hub.no_links": 1})
        self.assert_is(path, self.large["files"]["model.bin"])

    def test_read_only(self):
        self.good("snapshot", "acme/small")
        sealed = {"FAULTS_READ_ONLY": self.cache}
        for arguments in (("snapshot", "acme/small"), ("download", "acme/small", "config.json"), ("snapshot", "acme/small", "--revision", "main"),
                          ("list", "acme/small"), ("verify",), ("cached",), ("read", "acme/small", "config.json")):
            self.good(*arguments, preload=sealed)
        outcome = self.bad("IO", "download", "acme/small", "README.md", "--revision", "v1.0", preload=sealed)
        self.assertTrue(outcome.error["hint"])
        self.bad("IO", "forget", "acme/small", preload=sealed)
        self.assertEqual(len(self.good("cached").rows), len(self.small["files"]))

    def test_unwritable(self):
        for cache in ("/proc/tenon-cache", "/dev/null/cache"):
            outcome = self.bad("IO", "download", "acme/small", "config.json", cache=cache)
            self.assertIn("HF_HUB_CACHE", outcome.error["hint"])
            self.bad("IO", "snapshot", "acme/small", cache=cache)

    def test_a_file_where_the_cache_should_be(self):
        write(os.path.join(self.home, "file"), "x")
        outcome = self.bad("IO", "download", "acme/small", "config.json", cache=os.path.join(self.home, "file"))
        self.assertIn("HF_HUB_CACHE", outcome.error["hint"])
        self.assertEqual(read(os.path.join(self.home, "file")), b"x")

    def test_no_home(self):
        outcome = self.bad("ARGUMENT", "download", "acme/small", "config.json", cache="", environment={"HOME": ""})
        self.assertIn("HF_HUB_CACHE", outcome.error["hint"])
        self.good("download", "acme/small", "config.json", cache="", environment={"HOME": "", "HF_HUB_CACHE": self.cache})

    def test_variables(self):
        for variables, place in (({"HF_HOME": "{home}/a"}, "a/hub"), ({"HF_HUB_CACHE": "{home}/b"}, "b"), ({"HUGGINGFACE_HUB_CACHE": "{home}/c"}, "c"),
                                 ({"XDG_CACHE_HOME": "{home}/d"}, "d/huggingface/hub"), ({"HF_HUB_CACHE": "~/e"}, "e"), ({}, ".cache/huggingface/hub"),
                                 ({"HF_HUB_CACHE": "{home}/f", "HF_HOME": "{home}/g"}, "f")):
            with self.subTest(variables=variables):
                environment = {key: value.format(home=self.home) for key, value in variables.items()}
                outcome = self.good("download", "acme/small", "config.json", cache="", hub="",
                                    environment={**environment, "HF_ENDPOINT": self.hub.url + "/"})
                self.assertTrue(outcome.text.startswith(os.path.join(self.home, place) + "/models--acme--small/"), outcome.text)

    def test_tag(self):
        self.fetch_small()
        self.assertTrue(read(os.path.join(self.cache, "CACHEDIR.TAG")).startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n"))

    def test_truncated_blob(self):
        """A blob of another size is none, and is fetched again."""
        path = self.fetch_small().text
        os.truncate(os.path.realpath(path), 3)
        outcome = self.bad("INTEGRITY", "verify")
        self.assertEqual([row["content"] for row in outcome.rows], [3])
        self.assertIn("rm", outcome.error["hint"])
        self.fetch_small()

    def test_corrupt_blob(self):
        path = self.fetch_small().text
        data = bytearray(read(path))
        data[5] ^= 1
        write(os.path.realpath(path), bytes(data))
        outcome = self.bad("INTEGRITY", "verify", "acme/small")
        self.assertEqual([(row["path"], row["content"]) for row in outcome.rows], [("config.json", 3)])
        self.fetch_small("--force")
        self.good("verify")

    def test_broken_link(self):
        path = self.fetch_small().text
        os.unlink(os.path.realpath(path))
        outcome = self.bad("INTEGRITY", "verify")
        self.assertEqual([row["content"] for row in outcome.rows], [4])
        self.bad("OFFLINE", "download", "acme/small", "config.json", "--policy", OFFLINE)
        self.fetch_small()

    def test_odd_refs(self):
        self.fetch_small()
        ref = os.path.join(self.folder_of("acme/small"), "refs", "main")
        write(ref, self.small["sha"] + "\n")
        self.fetch_small("--policy", OFFLINE)
        for text in ("", "../../x", "x" * 200, "main"):
            write(ref, text)
            self.bad("OFFLINE", "download", "acme/small", "config.json", "--policy", OFFLINE)
        self.fetch_small()
        self.assertEqual(read(ref).decode(), self.small["sha"])

    def test_broken_listing(self):
        self.good("snapshot", "acme/small")
        listing = os.path.join(self.folder_of("acme/small"), "trees", self.small["sha"] + ".json")
        whole = read(listing)
        for text in (b"", b"{}", whole[:100], whole.replace(b'"config.json"', b'"../config.json"'), whole.replace(b'"format_version": 1', b'"format_version": 2')):
            write(listing, text)
            self.hub.clear_requests()
            self.good("snapshot", "acme/small")
            self.assertIn(("GET", "tree"), self.asked())
            self.assertEqual(json.loads(read(listing)), json.loads(whole))

    def test_foreign_things_in_the_cache(self):
        self.fetch_small()
        for name in ("blobs/x", "models--", "stray", ".DS_Store", "models--acme--small/snapshots/stray-file", "kernels--a--b/snapshots/c/d",
                     "models--acme--small/blobs/abc.incomplete", "models--acme--small/blobs/x.downloadInProgress"):
            write(os.path.join(self.cache, name), "x")
        write(os.path.join(self.folder_of("acme/small"), "snapshots", self.small["sha"], "aux.txt"), "other clients allow it")
        outcome = self.good("cached")
        found = {(row["path"], row["content"]) for row in outcome.rows}
        self.assertIn(("config.json", 1), found)
        self.assertIn(("aux.txt", 1), found)
        self.assertEqual({row["etag"] for row in outcome.rows if row["content"] == 5}, {"abc", "x"})

    def test_forget(self):
        self.good("snapshot", "acme/small", "--revision", "v1.0")
        self.good("snapshot", "acme/small")
        both = self.small["commits"][1:3]
        self.assertEqual(sorted(os.listdir(os.path.join(self.folder_of("acme/small"), "snapshots"))), sorted(both))
        freed = int(self.good("forget", "acme/small", "--revision", "v1.0").text)
        self.assertEqual(os.listdir(os.path.join(self.folder_of("acme/small"), "snapshots")), [both[1]])
        self.assertGreater(freed, 2 * MIB)
        self.assert_sound()
        self.good("snapshot", "acme/small", "--policy", OFFLINE)
        self.bad("NOT_FOUND", "forget", "acme/small@v1.0")
        self.good("forget", "acme/small")
        self.assertFalse(os.path.exists(self.folder_of("acme/small")))
        self.bad("NOT_FOUND", "forget", "acme/small")

    def assert_removed(self, outcome, path):
        self.assertEqual(outcome.status, "IO", str(outcome))
        self.assertRegex(outcome.error["message"], f"was removed .*{path}")
        self.assertEqual(outcome.error["hint"], "Download it again.")

    def test_forgotten_meanwhile(self):
        """Whoever waits for a file of a repository that somebody forgets is told so, and gets it by asking again."""
        for path, fault in (("model.bin", {"origin": "cdn", "stall": {"at": 4 * MIB}}), ("README.md", {"method": "GET", "path": "README.md", "stall_headers": True})):
            repository = "acme/large" if path == "model.bin" else "acme/small"
            self.hub.clear()
            self.hub.faults(fault)
            running = self.start("download", repository, path, settings={"hub.parts": 1})
            self.hub.wait(stalled=1)
            self.good("forget", repository)
            self.hub.clear_faults()
            self.assert_removed(running.wait(), path)
            self.assertFalse(os.path.exists(self.folder_of(repository)))
            self.good("download", repository, path)
        self.assert_sound()

    def test_snapshot_forgotten_meanwhile(self):
        """A snapshot is not said to be whole when what came first was removed."""
        last = max(self.small["files"])
        self.hub.faults({"path": last, "stall_headers": True})
        running = self.start("snapshot", "acme/small", settings={"hub.files": 1})
        self.hub.wait(stalled=1)
        hubtest.wait_for_links(self, self.folder_of("acme/small"), len(self.small["files"]) - 1)
        self.good("forget", "acme/small")
        os.makedirs(os.path.join(self.folder_of("acme/small"), "blobs"))
        self.hub.clear_faults()
        self.assert_removed(running.wait(), "")
        self.good("snapshot", "acme/small")
        self.assert_sound()

    def test_folder_removed_meanwhile(self):
        self.hub.faults({"origin": "cdn", "stall": {"at": 4 * MIB}})
        folder = os.path.join(self.cache, "..", "mine")
        running = self.start("download", "acme/large", "model.bin", "--folder", folder, settings={"hub.parts": 1})
        self.hub.wait(stalled=1)
        shutil.rmtree(folder)
        self.hub.clear_faults()
        self.assert_removed(running.wait(), "model.bin")
        self.good("download", "acme/large", "model.bin", "--folder", folder)


class Processes(Case):
    """Several at once, and those that are stopped."""

    build = hubtest.PLAIN

    def fetch_at_once(self, count, **options):
        running = [self.start("download", "acme/large", "model.bin", settings=PARTS, **options) for _ in range(count)]
        outcomes = [one.wait() for one in running]
        for outcome in outcomes:
            self.assertEqual(outcome.status, "OK", str(outcome))
            self.assert_is(outcome.text, self.large["files"]["model.bin"])
        self.assert_sound()

    def test_several_at_once(self):
        """One downloads, the others wait for it."""
        self.hub.faults({"origin": "cdn", "slow": 8 * MIB})
        self.fetch_at_once(4)
        self.assertEqual(self.sent_twice(), {})

    def test_several_with_locks_that_lie(self):
        self.hub.faults({"origin": "cdn", "slow": 8 * MIB})
        self.fetch_at_once(4, preload={"FAULTS_LOCKS": "lie"})
        self.assertEqual(self.sent_twice(), {})

    def test_without_locks(self):
        self.hub.faults({"origin": "cdn", "slow": 8 * MIB})
        self.fetch_at_once(3, preload={"FAULTS_LOCKS": "none"})
        self.assertEqual(self.sent_twice(), {})

    def test_snapshots_at_once(self):
        running = [self.start("snapshot", "acme/small") for _ in range(4)]
        for one in running:
            self.assertEqual(one.wait().status, "OK")
        self.assert_sound()

    def test_two_contexts_in_one_process(self):
        self.hub.faults({"origin": "cdn", "slow": 16 * MIB})
        outcome = self.good("download", "acme/large", "model.bin", "--contexts", 3, settings=PARTS, build=hubtest.CHECKED)
        self.assertEqual([end["status"] for end in outcome.ends], ["TENON_OK"] * 3)
        self.assertEqual(self.sent_twice(), {})
        self.assert_sound()

    def test_waits_for_whoever_holds_the_official_lock(self):
        import fcntl
        path = os.path.join(self.cache, ".locks", "models--acme--small", self.small["files"]["config.json"]["etag"] + ".lock")
        write(path, "")
        with open(path, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            outcome = self.bad("BUSY", "download", "acme/small", "config.json", settings={"hub.lock_ms": 200})
            self.assertIn(path, outcome.error["hint"])
            running = self.start("download", "acme/small", "config.json")
            self.hub.wait(finished=2)
            fcntl.flock(held, fcntl.LOCK_UN)
        self.assertEqual(running.wait().status, "OK")
        self.assertTrue(os.path.exists(path))

    def test_owner_that_gets_no_further(self):
        """Whoever waits for another process gives up when that is stuck, and goes on where it was when it is dead."""
        self.hub.faults({"origin": "cdn", "stall": {"at": 3 * MIB}})
        stuck = self.start("download", "acme/large", "model.bin", settings={**ONE, "transport.idle_ms": 100000})
        hubtest.wait_for_durable(self, 3 * MIB)
        outcome = self.bad("BUSY", "download", "acme/large", "model.bin", settings={**ONE, "hub.lock_ms": 500})
        self.assertIn("no further", outcome.error["message"])
        waiting = self.start("download", "acme/large", "model.bin", settings=ONE)
        self.hub.clear_faults()
        stuck.kill()
        outcome = waiting.wait()
        self.assertEqual(outcome.status, "OK", str(outcome))
        self.assert_is(outcome.text, self.large["files"]["model.bin"])
        self.assert_sound()

    def test_cancel_in_every_phase(self):
        """Cancelled at each of many moments, then done again: nothing is broken, what was durable is not fetched twice."""
        for at in (0, 1, MIB // 2, MIB, 2 * MIB, 4 * MIB, LARGE - 1):
            with self.subTest(at=at):
                self.hub.clear()
                shutil.rmtree(self.cache, ignore_errors=True)
                outcome = self.run_driver("download", "acme/large", "model.bin", "--cancel-at", at, settings=PARTS, build=hubtest.CHECKED)
                self.assertEqual(outcome.status, "CANCELLED")
                self.nothing_is_there(leftovers=2)
                # What had come is kept.
                self.assertGreaterEqual(hubtest.durable_bytes(self.cache), at)
                self.fetch_large()
                outcome = self.good("download", "acme/large", "model.bin", "--cancel-at", at, "--again", "--force", settings=PARTS, build=hubtest.CHECKED)
                self.assertEqual([end["status"] for end in outcome.ends], ["TENON_ERROR_CANCELLED", "TENON_OK"])
                self.assert_sound()

    def test_cancelled_snapshot(self):
        self.hub.faults({"slow": 4 * MIB})
        for at in (0, 1, 1000, 2 * MIB):
            with self.subTest(at=at):
                shutil.rmtree(self.cache, ignore_errors=True)
                outcome = self.good("snapshot", "acme/small", "--cancel-at", at, "--again", build=hubtest.CHECKED)
                self.assertEqual([end["status"] for end in outcome.ends], ["TENON_ERROR_CANCELLED", "TENON_OK"])
                self.assert_sound()

    def test_terminated(self):
        """A signal that ends the process is no different from a kill."""
        self.hub.faults({"origin": "cdn", "stall": {"at": 3 * MIB}})
        running = self.start("download", "acme/large", "model.bin", settings=ONE)
        hubtest.wait_for_durable(self, 3 * MIB)
        running.process.send_signal(signal.SIGTERM)
        running.process.communicate()
        self.hub.clear_faults()
        self.fetch_large(settings=ONE)
        self.assertEqual(self.sent_twice(), {})

    def test_progress(self):
        self.hub.faults({"origin": "cdn", "stall": {"at": 3 * MIB}})
        first = self.start("download", "acme/large", "model.bin", settings=ONE)
        hubtest.wait_for_durable(self, 3 * MIB)
        first.kill()
        self.hub.clear_faults()
        outcome = self.good("download", "acme/large", "model.bin", "--progress", settings=ONE)
        bytes_seen = [one["bytes"] for one in outcome.progress]
        self.assertEqual(bytes_seen, sorted(bytes_seen))
        self.assertEqual({one["bytes_total"] for one in outcome.progress} - {-1}, {LARGE})
        self.assertLessEqual(max(bytes_seen), LARGE)
        end = outcome.end["progress"]
        self.assertEqual((end["bytes"], end["bytes_present"], end["items"], end["items_total"]), (LARGE, 3 * MIB, 1, 1))

    def test_progress_counts_down_when_work_was_lost(self):
        self.hub.faults({"origin": "cdn", "corrupt": 10, "times": 1})
        outcome = self.good("download", "acme/large", "model.bin", "--progress", settings=ONE)
        self.assertLessEqual(max(one["bytes"] for one in outcome.progress), LARGE)
        self.assertEqual((outcome.end["progress"]["bytes"], outcome.end["progress"]["bytes_present"]), (LARGE, 0))

    def test_memory(self):
        size = 512 * MIB
        made = self.hub.put_repository(repositories.large_file(size, "acme/half-a-gigabyte"))
        outcome = self.good("download", "acme/half-a-gigabyte", "model.bin")
        print(f"peak memory of a download of 512 MiB: {outcome.end['peak'] / MIB:.1f} MiB", flush=True)
        self.assertEqual(os.path.getsize(outcome.text), size)
        self.assertEqual(os.path.basename(os.path.realpath(outcome.text)), made["files"]["model.bin"]["etag"])
        self.assertLess(outcome.end["peak"], 64 * MIB)
        shutil.rmtree(self.cache)


class FullDisk(Case):
    """No room: it is said, nothing is half-written, and afterwards it goes on."""

    build = hubtest.PLAIN

    def test_large_file(self):
        outcome = self.bad("DISK_FULL", "download", "acme/large", "model.bin", preload={"FAULTS_ROOM": 3 * MIB}, settings=ONE)
        self.assertIn("pace", outcome.error["hint"])
        self.nothing_is_there(leftovers=2)
        durable = hubtest.durable_bytes(self.cache)
        self.assertGreater(durable, 2 * MIB)
        self.hub.clear_requests()
        self.fetch_large(settings=ONE)
        sent = sum(one["sent"] for one in self.hub.requests(origin="cdn"))
        self.assertEqual(sent, LARGE - durable)

    def test_every_amount_of_room(self):
        """Wherever the disk gets full: clear status, nothing broken, and the next run completes."""
        for room in (0, 10, 1000, 4096, 5000, 8192, 9000, 70000, 2 * MIB, 2932000, 2934000):
            with self.subTest(room=room):
                shutil.rmtree(self.cache, ignore_errors=True)
                outcome = self.run_driver("snapshot", "acme/small", preload={"FAULTS_ROOM": room}, settings={"hub.files": 1})
                self.assertEqual(outcome.status, "DISK_FULL", str(outcome))
                for place, _, names in os.walk(self.cache):
                    for name in names:
                        path = os.path.join(place, name)
                        if os.path.basename(place) == "blobs" and ".incomplete" not in name:
                            self.assertEqual(hash_of(name, read(path)), name)
                self.good("snapshot", "acme/small")
                self.good("verify", "acme/small")
                self.assert_sound()

    def test_small_disk(self):
        """A real file system that is too small, where one can be mounted; else the same by the shim above."""
        place = os.path.join(self.home, "disk")
        os.makedirs(place)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False).returncode == 0
        if not mounted:
            self.test_large_file()
            return
        try:
            cache = os.path.join(place, "hub")
            outcome = self.bad("DISK_FULL", "download", "acme/large", "model.bin", cache=cache, settings=ONE)
            self.assertIn("more bytes", outcome.error["message"])
            self.assertEqual(self.hub.requests(origin="cdn"), [])
            subprocess.run(["mount", "-o", "remount,size=20m", place], check=True)
            outcome = self.good("download", "acme/large", "model.bin", cache=cache, settings=ONE)
            self.assert_is(outcome.text, self.large["files"]["model.bin"])
        finally:
            subprocess.run(["umount", "-l", place], check=True)

    def test_room_for_the_rest(self):
        """What is here already needs no more room: 3 of 6 MiB, and room for 4 more."""
        place = os.path.join(self.home, "disk")
        os.makedirs(place)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, check=False).returncode != 0:
            self.skipTest("no file system can be mounted here (needs root)")
        try:
            cache = os.path.join(place, "hub")
            self.hub.faults({"origin": "cdn", "stall": {"at": 5 * MIB}})
            running = self.start("download", "acme/large", "model.bin", cache=cache, settings=ONE)
            hubtest.wait_for_durable(self, 5 * MIB, cache)
            running.kill()
            self.hub.clear_faults()
            outcome = self.good("download", "acme/large", "model.bin", cache=cache, settings=ONE)
            self.assert_is(outcome.text, self.large["files"]["model.bin"])
        finally:
            subprocess.run(["umount", "-l", place], check=True)


class Reading(Case):
    """Bytes of a file without the rest of it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        whole = os.path.join(cls.scratch, "whole")
        case = cls("good")
        case.home, case.cache = cls.scratch, whole
        cls.bytes = read(case.good("download", "acme/large", "model.bin").text)

    def range(self, offset=0, length=0, **options):
        return self.good("read", "acme/large", "model.bin", "--offset", offset, "--length", length, **options)

    def test_ranges(self):
        for offset, length in ((0, 0), (0, 1), (0, 100), (5, 3 * MIB), (LARGE - 1, 1), (LARGE - 10, 100), (LARGE, 10), (LARGE + 5, 0), (MIB, 0)):
            with self.subTest(offset=offset, length=length):
                self.hub.clear_requests()
                wanted = self.bytes[offset:offset + length] if length else self.bytes[offset:]
                self.assertEqual(self.range(offset, length).bytes, wanted)
                self.assertLessEqual(sum(one["sent"] for one in self.hub.requests(origin="cdn")), len(wanted) + 1000)
        self.assertFalse(os.path.exists(self.cache))

    def test_from_the_cache(self):
        self.good("download", "acme/large", "model.bin")
        self.hub.clear_requests()
        commit = self.large["sha"]
        self.assertEqual(self.good("read", "acme/large", "model.bin", "--offset", 7, "--length", 9, "--revision", commit).bytes, self.bytes[7:16])
        self.assertEqual(self.good("read", "acme/large", "model.bin", "--offset", 7, "--length", 9, "--policy", FIRST).bytes, self.bytes[7:16])
        self.assertEqual(self.good("read", "acme/large", "model.bin", "--offset", LARGE + 1, "--length", 9, "--policy", FIRST).bytes, b"")
        self.assertEqual(self.asked(), [])

    def test_cut(self):
        for length in ({}, {"length": "absent"}, {"length": "chunked"}):
            with self.subTest(length=length):
                self.hub.clear()
                self.hub.faults({"origin": "cdn", "cut": {"at": 3 * MIB}, "times": 1, **length})
                got = self.range(100, 5 * MIB).bytes
                self.assertEqual(got, self.bytes[100:100 + 5 * MIB])

    def test_cut_and_the_branch_moves(self):
        """What comes after the cut is of the same commit."""
        for cdn in (True, False):
            with self.subTest(cdn=cdn):
                self.hub.clear()
                self.hub.settings(cdn=cdn)
                self.hub.put_repository(repositories.large_file(2 * MIB, "acme/read", "one"))
                one = self.good("read", "acme/read", "model.bin").bytes
                where = {"origin": "cdn"} if cdn else {"origin": "hub", "path": "model.bin"}
                self.hub.faults({"method": "GET", **where, "stall": {"at": MIB}, "times": 1})
                running = self.start("read", "acme/read", "model.bin", settings={"transport.idle_ms": 1000})
                self.hub.wait(stalled=1)
                self.hub.commit("acme/read", files={"model.bin": {"size": 2 * MIB, "seed": "two"}})
                outcome = running.wait()
                self.assertEqual(outcome.status, "OK", str(outcome))
                self.assertEqual(outcome.bytes, one)

    def test_ignored_ranges(self):
        self.hub.faults({"ignore_range": True})
        self.assertEqual(self.range(4 * MIB, 1000).bytes, self.bytes[4 * MIB:4 * MIB + 1000])

    def test_wrong_range(self):
        self.hub.faults({"range": True, "wrong_range": {"shift": 3}})
        self.bad("PROTOCOL", "read", "acme/large", "model.bin", "--offset", 10, "--length", 10)

    def test_compressed(self):
        self.hub.faults({"method": "GET", "gzip": True})
        self.assertEqual(self.range(MIB, 5000).bytes, self.bytes[MIB:MIB + 5000])
        self.assertEqual(self.good("read", "acme/small", "README.md").bytes, repositories.CARD.encode())

    def test_slow_reader(self):
        """The sender waits for the reader; nothing piles up."""
        running = self.start("read", "acme/large", "model.bin", build=hubtest.PLAIN)
        outcome = running.wait()
        self.assertEqual(outcome.bytes, self.bytes)

    def test_failures(self):
        self.bad("NOT_FOUND", "read", "acme/large", "none.bin")
        self.bad("NOT_FOUND", "read", "acme/none", "x", "--token", "hf_good")
        self.bad("ARGUMENT", "read", "acme/large", "model.bin", "--offset", -1)
        self.bad("ARGUMENT", "read", "acme/large", "model.bin", "--length", -1)
        self.bad("ARGUMENT", "read", "acme/large", "../x")


class Asking(Case):
    """info, list, references, exists, check."""

    def test_info(self):
        row = self.good("info", "acme/small").rows[0]
        self.assertEqual((row["id"], row["commit"], row["files"], row["gated"], row["restricted"]),
                         ("acme/small", self.small["sha"], len(self.small["files"]), 0, 0))
        self.assertEqual(row["bytes"], sum(facts["size"] for facts in self.small["files"].values()))
        self.assertEqual(row["parameters"], 733248)

    def test_list(self):
        outcome = self.good("list", "acme/small")
        self.assertEqual({row["path"]: (row["bytes"], row["etag"]) for row in outcome.rows},
                         {path: (facts["size"], facts["etag"]) for path, facts in self.small["files"].items()})
        self.assertEqual(self.asked(), [("GET", "revision"), ("GET", "tree")])

    def test_list_flat_is_the_same_from_the_cache(self):
        wanted = self.good("list", "acme/small", "--flat").rows
        self.good("snapshot", "acme/small")
        found = self.good("list", "acme/small", "--flat", "--policy", OFFLINE).rows
        shape = [sorted((row["kind"], row["path"], row["bytes"], row["etag"] if row["kind"] == 1 else "") for row in rows) for rows in (wanted, found)]
        self.assertEqual(shape[0], shape[1])

    def test_list_folder(self):
        self.assertEqual(self.good("list", "acme/small", "--folder", "tokenizer").paths(), ["tokenizer/tokenizer.json", "tokenizer/vocabulary/words.txt"])
        self.assertEqual(sorted(self.good("list", "acme/small", "--folder", "tokenizer/", "--flat").paths()), ["tokenizer/tokenizer.json", "tokenizer/vocabulary"])
        self.bad("NOT_FOUND", "list", "acme/small", "--folder", "none")
        self.bad("ARGUMENT", "list", "acme/small", "--folder", "../x")

    def test_references(self):
        found = {row["reference"]: (row["kind"], row["name"], row["commit"]) for row in self.good("references", "acme/small").rows}
        commits = self.small["commits"]
        self.assertEqual(found, {"refs/heads/main": (1, "main", commits[2]), "refs/heads/feature/card": (1, "feature/card", commits[3]),
                                 "refs/tags/v1.0": (2, "v1.0", commits[1]), "refs/pr/1": (4, "refs/pr/1", commits[4])})

    def test_exists(self):
        self.assertEqual(self.good("exists", "acme/small").text, self.small["sha"])
        self.good("exists", "acme/small", "config.json")
        self.bad("NOT_FOUND", "exists", "acme/small", "none")
        self.bad("NOT_FOUND", "exists", "acme/none")
        self.bad("NOT_FOUND", "exists", "acme/small", "--revision", "none")
        self.bad("NOT_FOUND", "exists", "acme/small", "--revision", "c" * 40)

    def test_exists_knows_when_to_ask(self):
        self.fetch_small()
        self.hub.clear_requests()
        self.good("exists", "acme/small", "config.json", "--revision", self.small["sha"])
        self.good("exists", "acme/small", "config.json", "--policy", FIRST)
        self.assertEqual(self.asked(), [])
        self.good("exists", "acme/small", "config.json")
        self.assertEqual(self.asked(), [("HEAD", "resolve")])

    def test_check(self):
        rows = {row["name"]: row["answer"] for row in self.good("check", "--token", "hf_good").rows}
        self.assertEqual((rows["endpoint"], rows["token"], rows["cache"], rows["links"], rows["locks"]), (1, 1, 1, 1, 1))
        rows = {row["name"]: row["answer"] for row in self.good("check", "--token", "hf_wrong").rows}
        self.assertEqual(rows["token"], 2)
        rows = {row["name"]: row["answer"] for row in self.good("check", preload={"FAULTS_LOCKS": "lie", "FAULTS_LINKS": "none"}).rows}
        self.assertEqual((rows["links"], rows["locks"]), (2, 2))
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            rows = {row["name"]: row for row in self.good("check", hub=f"http://127.0.0.1:{closed.getsockname()[1]}").rows}
        self.assertEqual(rows["endpoint"]["answer"], 2)
        self.assertTrue(rows["endpoint"]["fix"])

    def test_spellings(self):
        for name in ("acme/small", "models/acme/small", "hf://acme/small", f"{self.hub.url}/acme/small", f"{self.hub.url}/acme/small/tree/v1.0",
                     "acme/small@v1.0", "https://huggingface.co/acme/small", "hf.co/acme/small/blob/main/config.json", f"{self.hub.url}/acme/small?not=x#here",
                     f"{self.hub.url}/acme/small/tree/refs%2Fpr%2F1"):
            with self.subTest(name=name):
                row = self.good("info", name).rows[0]
                self.assertEqual(row["id"], "acme/small")

    def test_endpoints(self):
        for location in ("", "ftp://x", "not an address", "http://", "https://", "http:///x"):
            if location:
                self.bad("ARGUMENT", "info", "acme/small", hub=location)
        self.bad("NOT_FOUND", "info", "acme/small", hub="file:///no/such/folder")


class SizesOnWorkers(Sizes):
    """The same where other threads hash and write."""

    workers = 2


class LinesOnWorkers(Lines):
    workers = 2


class LiesOnWorkers(Lies):
    workers = 2


class LocalFolderOnWorkers(LocalFolder):
    workers = 2


class ProcessesOnWorkers(Processes):
    workers = 2


class FullDiskOnWorkers(FullDisk):
    workers = 1


if __name__ == "__main__":
    suite.main()
