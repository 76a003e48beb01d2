"""Chat and completions: against the simulator with its faults, a server that is only a socket, and the example workload as a job."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(TESTS, "support")]
import asking  # noqa: E402
import library  # noqa: E402
import suite  # noqa: E402
from asking import REASONING, STOP, TEXT, TOOL, UNKNOWN, USAGE, WHOLE, Context  # noqa: E402
from library import TenonError  # noqa: E402
from simulator import Simulator  # noqa: E402

ROOT = os.path.dirname(TESTS)
RECIPE = os.path.join(ROOT, "examples", "workload", "serve.json")
TINY = os.path.join(ROOT, "examples", "hub", "tenon", "tiny")
SERVE = os.path.join(TESTS, "job", "serve.py")
CHAT = "/v1/chat/completions"
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")


class Case(unittest.TestCase):
    """A context that knows nothing of the machine's environment."""

    def setUp(self):
        self.scratch = tempfile.mkdtemp(prefix="tenon-inference-", dir=os.environ.get("TENON_TMP"))
        self.addCleanup(subprocess.run, ["rm", "-rf", self.scratch], check=True)
        self.context = self.open()

    def open(self, *settings):
        context = Context("transport.backoff_ms=1", f"job.folder={self.scratch}/jobs", f"home={self.scratch}", *settings, environment=False)
        self.addCleanup(context.close)
        return context

    def fails(self, status, words, function, *arguments, **options):
        """The error that a question ends with, which says what happened and, as a rule, what to do."""
        with self.assertRaises(TenonError) as caught:
            given = function(*arguments, **options)
            if isinstance(given, library.Task):
                with given:
                    self.told = [piece for piece in given]
        error = caught.exception.error
        self.assertEqual(error.status, status, caught.exception)
        self.assertIn(words, error.message)
        return error

    def ask(self, target, prompt="one two three", **options):
        """The pieces of an answer, and the whole text."""
        with self.context.chat(target, prompt, **options) as task:
            return list(task), task.text()


class OnTheSimulator(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Simulator("inference")
        cls.addClassCleanup(cls.server.stop)
        cls.url = cls.server.url + "/v1"

    def setUp(self):
        super().setUp()
        self.server.clear()
        self.server.settings()
        self.answers()

    def tearDown(self):
        self.assertEqual(self.server.violations(), [])

    def answers(self, *answers):
        self.server.control("PUT", "answers", list(answers))

    def questions(self):
        return [one for one in self.server.requests() if one["method"] == "POST"]

    def question(self):
        return self.questions()[-1]["json"]

    def kinds(self, pieces):
        return [piece.kind for piece in pieces]


class Answers(OnTheSimulator):
    def test_pieces_come_as_they_are_said(self):
        self.answers({"pieces": ["one ", "two ", "three"]})
        self.server.faults({"stream": {"hold": 3}})
        with self.context.chat(self.url, "x") as task:
            self.assertEqual([task.next().text for _ in range(2)], ["one ", "two "])
            self.server.wait(stalled=1)
            self.assertIsNone(task.next(20))
            self.assertEqual((task.text(), asking.ended(task)), ("one two ", library.AGAIN))
            self.server.clear_faults()
            self.assertEqual([piece.text for piece in task], ["three", "", ""])
            self.assertEqual((task.text(), asking.ended(task)), ("one two three", library.OK))

    def test_the_text_grows(self):
        words = [f"w{number} " for number in range(200)]
        self.answers({"pieces": words})
        so_far = ""
        with self.context.chat(self.url, "x") as task:
            for piece in task:
                so_far += piece.text
                self.assertTrue(task.text().startswith(so_far))
            self.assertEqual((task.text(), so_far), ("".join(words), "".join(words)))

    def test_stop_and_usage(self):
        self.answers({"pieces": ["Why not?"], "stop": "length", "usage": [11, 5]})
        pieces, text = self.ask(self.url)
        self.assertEqual((text, self.kinds(pieces)), ("Why not?", [TEXT, STOP, USAGE]))
        self.assertEqual((pieces[1].stop_reason, pieces[1].choice), ("length", 0))
        self.assertEqual((pieces[2].prompt_tokens, pieces[2].completion_tokens), (11, 5))
        self.assertEqual((pieces[0].prompt_tokens, pieces[0].completion_tokens), (-1, -1))
        self.assertEqual(json.loads(pieces[0].json)["choices"][0]["delta"], {"content": "Why not?"})
        self.assertEqual(json.loads(pieces[2].json)["usage"]["total_tokens"], 16)

    def test_whole(self):
        self.answers({"pieces": ["Why ", "not?"], "stop": "length", "usage": [11, 5], "reasoning": ["It ", "is."]})
        with self.context.chat(self.url, "x", flags=WHOLE) as task:
            pieces = list(task)
            self.assertEqual(task.text(), "Why not?")
            self.assertEqual(json.loads(task.json())["object"], "chat.completion")
        self.assertEqual(self.kinds(pieces), [REASONING, TEXT, STOP, USAGE])
        self.assertEqual((pieces[0].reasoning, pieces[1].text, pieces[2].stop_reason, pieces[3].completion_tokens),
                         ("It is.", "Why not?", "length", 5))
        self.assertNotIn("stream", self.question())

    def test_a_server_that_knows_no_stream(self):
        self.server.faults({"whole": True})
        self.assertEqual(self.ask(self.url)[1], "onetwothree")

    def test_a_server_that_only_streams(self):
        """It answers with events although the whole was asked for; what it is called counts, not what was asked."""
        pieces, text = self.ask(self.url, flags=WHOLE, parameters='{"stream": true}')
        self.assertEqual((text, self.kinds(pieces)), ("onetwothree", [TEXT, TEXT, TEXT, STOP, USAGE]))

    def test_reasoning_is_no_part_of_the_text(self):
        self.answers({"reasoning": ["It ", "is."], "pieces": ["Yes."]})
        for server in ("openai", "vllm", "tgi", "llama"):
            with self.subTest(server):
                self.server.settings(server=server)
                pieces, text = self.ask(self.url)
                self.assertEqual((text, self.kinds(pieces)), ("Yes.", [REASONING, REASONING, TEXT, STOP, USAGE]))
                self.assertEqual("".join(piece.reasoning for piece in pieces), "It is.")

    TOOLS = {"tools": [{"id": "call_1", "name": "weather", "arguments": ['{"pl', 'ace": "Ul', 'm"}']},
                       {"id": "call_2", "name": "time", "arguments": ['{"zone": "CET"}']}], "stop": "tool_calls"}

    def test_tool_calls_in_parts(self):
        self.answers({"pieces": ["Look: "], **self.TOOLS})
        pieces, text = self.ask(self.url, parameters=json.dumps({"tools": [{"type": "function", "function": {"name": "weather"}}]}))
        parts = [piece for piece in pieces if piece.kind == TOOL]
        self.assertEqual([(part.tool, part.tool_id, part.tool_name) for part in parts[:2]], [(0, "call_1", "weather"), (0, "", "")])
        calls = {}
        for part in parts:
            calls[part.tool] = calls.get(part.tool, "") + part.tool_arguments
        self.assertEqual([json.loads(call) for call in calls.values()], [{"place": "Ulm"}, {"zone": "CET"}])
        self.assertEqual((text, pieces[-2].stop_reason), ("Look: ", "tool_calls"))

    def test_whole_tool_calls(self):
        self.answers(self.TOOLS)
        pieces, text = self.ask(self.url, flags=WHOLE)
        parts = [piece for piece in pieces if piece.kind == TOOL]
        self.assertEqual([(part.tool, part.tool_id, part.tool_name, json.loads(part.tool_arguments)) for part in parts],
                         [(0, "call_1", "weather", {"place": "Ulm"}), (1, "call_2", "time", {"zone": "CET"})])
        self.assertEqual(text, "")

    def test_several_choices(self):
        self.answers({"choices": [{"pieces": ["a", "b"]}, {"pieces": ["c"], "stop": "length"}]})
        for flags in (0, WHOLE):
            pieces, text = self.ask(self.url, flags=flags, parameters='{"n": 2}')
            said = {0: "", 1: ""}
            for piece in pieces:
                said[piece.choice] += piece.text
            self.assertEqual((said, text), ({0: "ab", 1: "c"}, "ab"))
            self.assertEqual({piece.choice: piece.stop_reason for piece in pieces if piece.kind == STOP}, {0: "stop", 1: "length"})

    def test_completions(self):
        for flags in (0, WHOLE):
            with self.context.complete(self.url, "one two", max_tokens=9, parameters='{"temperature": 0}', flags=flags) as task:
                pieces = list(task)
                self.assertEqual(task.text(), "onetwo")
            self.assertEqual(self.kinds(pieces), [TEXT] * (1 if flags else 2) + [STOP, USAGE])
            self.assertEqual(self.questions()[-1]["path"], "/v1/completions")
            self.assertEqual({key: self.question()[key] for key in ("prompt", "max_tokens", "temperature", "model")},
                             {"prompt": "one two", "max_tokens": 9, "temperature": 0, "model": "tenon/simulated"})

    def test_every_form_of_a_stream_says_the_same(self):
        forms = [{"newline": "\r"}, {"newline": "\r\n"}, {"space": False}, {"mark": True}, {"comments": True}, {"lines": True},
                 {"done": False}, {"newline": "\r\n", "comments": True, "lines": True, "space": False}]
        for form in forms:
            with self.subTest(form):
                self.server.clear()
                self.server.faults({"stream": form})
                pieces, text = self.ask(self.url)
                self.assertEqual((text, self.kinds(pieces)), ("onetwothree", [TEXT, TEXT, TEXT, STOP, USAGE]))

    def test_bytes_that_arrive_one_by_one(self):
        self.answers({"pieces": ["Gr\u00fc\u00dfe ", "\U0001f600 \u4f60\u597d"]})
        self.server.faults({"slow": 4000})
        self.assertEqual(self.ask(self.url)[1], "Gr\u00fc\u00dfe \U0001f600 \u4f60\u597d")

    def test_what_is_said_in_an_unknown_way(self):
        event = 'data: {"choices": [{"index": 0, "delta": {"refusal": "I will not."}}]}\n\n'
        self.server.faults({"stream": {"insert": {"at": 1, "text": event}}})
        pieces, _ = self.ask(self.url)
        self.assertEqual(self.kinds(pieces), [UNKNOWN, TEXT, TEXT, TEXT, STOP, USAGE])
        self.assertIn("I will not.", pieces[0].json)

    def test_a_line_that_stays_open_after_the_end(self):
        self.server.faults({"stream": {"open": True}})
        started = time.monotonic()
        self.assertEqual(self.ask(self.url)[1], "onetwothree")
        self.assertLess(time.monotonic() - started, 20)

    def test_waiting_without_reading(self):
        with self.context.chat(self.url, "one two") as task:
            task.wait()
            self.assertEqual(task.text(), "onetwo")

    def test_many_at_once(self):
        tasks = [self.context.chat(self.url, f"a{number} b") for number in range(20)]
        for number, task in enumerate(tasks):
            with task:
                task.wait()
                self.assertEqual(task.text(), f"a{number}b")


class Questions(OnTheSimulator):
    def test_messages_system_and_prompt(self):
        self.ask(self.url, "And now?", system="Be brief.", messages=json.dumps(
            [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]))
        self.assertEqual(self.question()["messages"], [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "And now?"}])
        self.ask(self.url, None, messages='[{"role": "user", "content": [{"type": "text", "text": "a b"}]}]')
        self.assertEqual(self.question()["messages"], [{"role": "user", "content": [{"type": "text", "text": "a b"}]}])

    def test_parameters_are_merged(self):
        self.ask(self.url, max_tokens=7, parameters='{"temperature": 0.5, "max_tokens": 9, "stop": ["x"]}')
        question = self.question()
        self.assertEqual((question["temperature"], question["max_tokens"], question["stop"]), (0.5, 9, ["x"]))
        self.assertEqual((question["stream"], question["stream_options"]), (True, {"include_usage": True}))
        self.ask(self.url, parameters='{"stream": false}')
        self.assertNotIn("stream_options", self.question())
        self.ask(self.url, max_tokens=7)
        self.assertEqual(self.question()["max_tokens"], 7)
        self.ask(self.url)
        self.assertNotIn("max_tokens", self.question())

    def test_the_model(self):
        self.server.settings(models=["tenon/first", "tenon/second"])
        self.ask(self.url)
        self.assertEqual(self.question()["model"], "tenon/first")
        self.server.clear_requests()
        self.ask(self.url, model="tenon/second")
        self.assertEqual((self.question()["model"], len(self.server.requests())), ("tenon/second", 1))
        self.ask(self.url, parameters='{"model": "tenon/second"}')
        self.assertEqual(self.question()["model"], "tenon/second")

    def test_a_server_that_lists_no_model(self):
        self.server.settings(server="llama", models=[])
        self.assertEqual(self.ask(self.url)[1], "onetwothree")
        self.assertNotIn("model", self.question())

    def test_models(self):
        self.server.settings(server="vllm", models=["a", "b"])
        models = self.context.models(self.url)
        self.assertEqual([(model.id, model.owner, model.context_tokens) for model in models], [("a", "tenon", 4096), ("b", "tenon", 4096)])
        self.server.settings(server="llama")
        self.assertEqual([model.context_tokens for model in self.context.models(self.url)], [2048])
        self.server.settings()
        self.assertEqual([model.context_tokens for model in self.context.models(self.url)], [-1])
        self.server.settings(models=[f"model-{number}" for number in range(20000)])
        self.assertEqual(len(self.context.models(self.url)), 20000)

    def test_addresses(self):
        for address in (self.url, self.url + "/", self.url + "//"):
            with self.subTest(address):
                self.assertEqual(self.ask(address)[1], "onetwothree")
                self.assertEqual(self.questions()[-1]["path"], CHAT)
        for address, words in (("", "is not the id"), ("local", "is not the id"), ("http://", "neither a job's id nor"),
                               ("127.0.0.1:8000/v1", "neither a job's id nor"), ("ftp://host/v1", "neither a job's id nor"),
                               (self.url + "?a=b", "does not end with its path")):
            with self.subTest(address):
                self.assertTrue(self.fails(asking.ARGUMENT, words, self.context.chat, address, "x").hint)
        self.fails(asking.ARGUMENT, "no target", self.context.chat, None, "x")

    def test_options_that_make_no_sense(self):
        for words, options in (("neither prompt nor messages", {"prompt": None}), ("messages is no JSON array", {"messages": "{}"}),
                               ("messages is not valid JSON", {"messages": "[{"}), ("parameters is no JSON object", {"parameters": "[]"}),
                               ("parameters is not valid JSON", {"parameters": "{,}"}), ("max_tokens", {"max_tokens": -1}),
                               ("not UTF-8", {"prompt": b"\xff"}), ("not UTF-8", {"model": b"\xff"}),
                               ("levels deep", {"parameters": "[" * 1000000})):
            with self.subTest(words):
                self.fails(asking.ARGUMENT, words, self.context.chat, self.url, **{"prompt": "x", **options})
        self.fails(asking.ARGUMENT, "prompt is not given", self.context.complete, self.url)
        self.fails(asking.ARGUMENT, "control character", self.context.chat, self.url, "x", key="a\nb")
        self.assertEqual(self.questions(), [])

    def test_the_key(self):
        self.server.settings(key="the right one")
        error = self.fails(asking.UNAUTHORIZED, "Incorrect API key", self.context.chat, self.url, "x")
        self.assertEqual((error.code, error.http_status), ("invalid_api_key", 401))
        self.assertIn("wants a key", error.hint)
        error = self.fails(asking.UNAUTHORIZED, "Incorrect API key", self.context.chat, self.url, "x", key="the wrong one", model="m")
        self.assertEqual(error.hint, "Check the key.")
        self.assertNotIn("the wrong one", error.message)
        self.assertEqual(self.ask(self.url, key="the right one")[1], "onetwothree")
        self.assertEqual(len(self.context.models(self.url, "the right one")), 1)
        self.fails(asking.UNAUTHORIZED, "Incorrect", self.context.models, self.url)

    def test_the_key_goes_to_its_own_host_only(self):
        with Simulator("inference") as other:
            self.server.faults({"redirect": {"to": other.url + "{path}", "status": 307}})
            self.assertEqual(self.ask(self.url, key="a key")[1], "onetwothree")
            self.assertEqual([one["headers"].get("authorization") for one in self.server.requests()], ["another"] * 2)
            self.assertEqual([(one["method"], one["headers"].get("authorization")) for one in other.requests()], [("GET", None), ("POST", None)])


class Errors(OnTheSimulator):
    def refuse(self, status, **fault):
        self.server.clear()
        self.server.faults({"path": "completions", "error": {"status": status, "message": "so it is", "code": "a_code"}, **fault})

    def test_by_their_status(self):
        meanings = {400: asking.ARGUMENT, 401: asking.UNAUTHORIZED, 403: asking.FORBIDDEN, 404: asking.NOT_FOUND, 409: asking.CONFLICT,
                    422: asking.ARGUMENT, 429: asking.RATE_LIMITED, 500: asking.UNAVAILABLE, 502: asking.UNAVAILABLE, 503: asking.UNAVAILABLE}
        for status, meaning in meanings.items():
            for flags in (0, WHOLE):
                with self.subTest(status=status, flags=flags):
                    self.refuse(status)
                    error = self.fails(meaning, f"HTTP {status}: so it is", self.context.chat, self.url, "x", flags=flags)
                    self.assertEqual((error.http_status, error.code), (status, "a_code"))
                    self.assertRegex(error.request_id, r"req_\d+")
                    self.assertTrue(error.hint or status in (400, 403, 409, 422), "what to do is not said")

    def test_in_the_manner_of_other_servers(self):
        for server, code in (("vllm", "rate_limit_error"), ("llama", "rate_limit_error"), ("tgi", "overloaded")):
            with self.subTest(server):
                self.server.settings(server=server)
                self.refuse(429)
                self.assertEqual(self.fails(asking.RATE_LIMITED, "so it is", self.context.chat, self.url, "x").code, code)

    def test_a_model_that_is_not_there(self):
        error = self.fails(asking.NOT_FOUND, "`other/model` does not exist", self.context.chat, self.url, "x", model="other/model")
        self.assertEqual((error.code, error.http_status), ("model_not_found", 404))
        self.assertIn("model's name", error.hint)

    def test_a_question_that_is_too_long(self):
        for server, status, code in (("openai", 400, "context_length_exceeded"), ("vllm", 400, "BadRequestError"), ("tgi", 422, "validation"),
                                     ("llama", 400, "exceed_context_size_error")):
            with self.subTest(server):
                self.server.settings(server=server, context=2)
                self.assertEqual(self.ask(self.url, "one two")[1], "onetwo")
                error = self.fails(asking.ARGUMENT, "tokens", self.context.chat, self.url, "one two three")
                self.assertEqual((error.http_status, error.code), (status, code))
                self.assertEqual("context_tokens" in error.hint, server != "tgi")

    def test_a_pause_that_is_too_long(self):
        context = self.open("transport.wait_ms=1000")
        self.refuse(429, add_headers={"Retry-After": "7"})
        error = self.fails(asking.RATE_LIMITED, "so it is", context.chat, self.url, "x")
        self.assertEqual(error.retry_after_ms, 7000)
        self.assertIn("7 s", error.hint)
        self.assertEqual(len(self.questions()), 1)

    def test_busy_for_a_moment(self):
        self.server.faults({"path": "completions", "error": {"status": 429}, "add_headers": {"Retry-After": "0"}, "times": 1},
                           {"path": "completions", "error": {"status": 503}, "after": 1, "times": 1})
        self.assertEqual(self.ask(self.url)[1], "onetwothree")
        self.assertEqual([one["status"] for one in self.questions()], [429, 503, 200])

    def test_failures_in_the_middle(self):
        for server in ("openai", "vllm", "tgi", "llama"):
            for named in (False, True):
                with self.subTest(server=server, named=named):
                    self.server.clear()
                    self.server.settings(server=server)
                    self.server.faults({"stream": {"error": {"at": 2, "message": "the card is gone", "named": named and server != "tgi"}}})
                    with self.context.chat(self.url, "one two three") as task:
                        with self.assertRaises(TenonError) as caught:
                            list(task)
                        self.assertEqual(task_text(task), "one")
                    self.assertEqual(caught.exception.status, asking.FAILED)
                    self.assertIn("the card is gone", caught.exception.message)
                    self.assertIn("task's text", caught.exception.hint)

    def test_cut_in_the_middle(self):
        for fault in ({"stream": {"cut": 3}}, {"stream": {"end": 3}}, {"cut": {"after": 700, "reset": True}}):
            with self.subTest(fault):
                self.server.clear()
                self.server.faults({"path": "completions", **fault})
                with self.context.chat(self.url, "one two three") as task:
                    with self.assertRaises(TenonError) as caught:
                        list(task)
                    kept = task_text(task)
                self.assertEqual(caught.exception.status, asking.NETWORK, caught.exception)
                self.assertTrue("onetwothree".startswith(kept) and kept, kept)
                self.assertTrue(caught.exception.hint)
                self.assertEqual(len(self.questions()), 1)

    def test_a_whole_answer_that_is_cut(self):
        self.server.faults({"path": "completions", "cut": {"after": 50}})
        self.fails(asking.NETWORK, "cut", self.context.chat, self.url, "x", flags=WHOLE)
        self.assertEqual(len(self.questions()), 1)

    def test_nonsense_in_the_middle(self):
        for given in ({"text": "data: {\"a\n\n"}, {"hex": "646174613a207b2261223a2022ff227d0a0a"}, {"text": "data: 7\n\n"},
                      {"text": "data: " + "[" * 100000 + "\n\n"}, {"text": "data: {\"choices\": 7, \"choices\": 8}\n\n"}):
            with self.subTest(str(given)[:60]):
                self.server.clear()
                self.server.faults({"stream": {"insert": {"at": 2, **given}}})
                with self.context.chat(self.url, "one two three") as task:
                    with self.assertRaises(TenonError) as caught:
                        list(task)
                    self.assertEqual((caught.exception.status, task_text(task)), (asking.PROTOCOL, "one"))
                    self.assertTrue(caught.exception.hint)

    def test_events_that_hold_other_types(self):
        """Every member of another type than it should be: nothing crashes, and what is said is said."""
        odd = [{"choices": {}}, {"choices": [7, None, "x", [], {}]}, {"choices": [{"index": "0", "delta": 7}]},
               {"choices": [{"index": -5, "delta": {"content": 7}}]}, {"choices": [{"index": 1 << 40, "delta": {"content": ["x"]}}]},
               {"choices": [{"delta": {"tool_calls": [7, None, {"function": 7}, {"index": "x", "id": 7}]}}]},
               {"choices": [{"delta": None, "finish_reason": 7}], "usage": {"prompt_tokens": "x", "completion_tokens": -7}}, {"usage": 7}, {}]
        for value in odd:
            with self.subTest(value):
                self.server.clear()
                self.server.faults({"stream": {"insert": {"at": 2, "text": f"data: {json.dumps(value)}\n\n"}}})
                self.assertEqual(self.ask(self.url)[1], "onetwothree")

    def test_answers_that_are_none(self):
        faults = {"html": {"html": True}, "text": {"json": {"text": "Hello!"}}, "array": {"json": {"value": [1]}}, "null": {"json": {"text": "null"}},
                  "empty": {"json": {"text": ""}}, "without choices": {"json": {"value": {"object": "list"}}}, "deep": {"json": {"deep": 1000000}},
                  "half": {"json": {"keep": 60}}, "latin-1": {"json": {"hex": "7b2261223a22fc227d"}}}
        for name, fault in faults.items():
            for function in (self.context.chat, self.context.complete):
                with self.subTest(name=name, function=function.__name__):
                    self.server.clear()
                    self.server.faults({"path": "completions", "whole": True, **fault})
                    error = self.fails(asking.PROTOCOL, "answer", function, self.url, "x")
                    self.assertTrue(error.hint, error.message)
        for name, fault in faults.items():
            with self.subTest(name=name, list=True):
                self.server.clear()
                self.server.faults({"path": "models", **fault})
                self.assertTrue(self.fails(asking.PROTOCOL, "models", self.context.models, self.url).hint)

    def test_a_huge_answer(self):
        context = self.open("transport.json_bytes=100000")
        self.server.faults({"path": "completions", "whole": True, "json": {"huge": 10000000}})
        self.fails(asking.PROTOCOL, "larger than 100000 bytes", context.chat, self.url, "x")
        self.assertEqual(len(self.questions()), 1)

    def test_huge_events(self):
        self.server.faults({"stream": {"event": 3000000}})
        self.assertEqual(len(self.ask(self.url)[1]), 3000011)
        for line in (20000000, True):
            self.server.clear()
            self.server.faults({"stream": {"line": line}})
            self.fails(asking.PROTOCOL, "an event of the answer is larger", self.context.chat, self.url, "x")

    def test_a_model_may_be_silent_for_longer_than_others(self):
        context = self.open("transport.idle_ms=100")
        self.server.faults({"path": "completions", "stream": {"hold": 2}})
        with context.chat(self.url, "one two") as task:
            self.assertEqual(task.next().text, "one")
            self.server.wait(stalled=1)
            self.assertIsNone(task.next(500))
            self.server.clear_faults()
            self.assertEqual([piece.text for piece in task if piece.text], ["two"])

    def test_silence(self):
        context = self.open("inference.idle_ms=300")
        self.server.faults({"path": "completions", "stream": {"hold": 2}})
        with context.chat(self.url, "one two") as task:
            with self.assertRaises(TenonError) as caught:
                list(task)
            self.assertEqual((caught.exception.status, task_text(task)), (asking.TIMEOUT, "one"))
        self.assertIn("inference.idle_ms", caught.exception.hint)
        self.server.clear()
        self.server.faults({"path": "completions", "stall_headers": True})
        self.fails(asking.TIMEOUT, "silent", context.chat, self.url, "x")
        self.assertEqual(len(self.questions()), 1)

    def test_what_may_have_been_heard_is_not_asked_again(self):
        for fault in ({"status": 500}, {"status": 502}, {"status": 504}, {"status": 408}, {"cut": {"after": 0}}, {"cut": {"after": 0, "reset": True}}):
            with self.subTest(fault):
                self.server.clear()
                self.server.faults({"path": "completions", **fault})
                with self.assertRaises(TenonError):
                    self.ask(self.url)
                self.assertEqual(len(self.questions()), 1)

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        for options in ({}, {"model": "m"}):
            error = self.fails(asking.NETWORK, f"127.0.0.1:{port}", self.context.chat, f"http://127.0.0.1:{port}/v1", "x", **options)
            self.assertTrue(error.hint)


def task_text(task):
    """What had come of an answer that failed."""
    text = library.Text()
    library.task_text(task.handle, library.byref(text))
    return text.value.decode()


class Line:
    """A server that is only a socket: it hears questions and does with each line what the test says."""

    def __init__(self, talk):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self.heard, self._talk = [], talk
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(line,), daemon=True))
            self._threads[-1].start()

    def _serve(self, line):
        with line, line.makefile("rb") as reader:
            while head := reader.readline():
                length = 0
                while header := reader.readline().strip():
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                reader.read(length)
                self.heard.append(head.split()[0].decode())
                if not self._talk(line, self.heard[-1]):
                    return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


MODELS = b'{"object": "list", "data": [{"id": "m"}]}'
LIST = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(MODELS), MODELS)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def event(text):
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


class OnTheLine(Case):
    def test_cancel_closes_the_line(self):
        left = threading.Event()
        moment = []

        def talk(line, method):
            line.sendall(LIST if method == "GET" else STREAM + event("one "))
            if method == "POST":
                line.recv(1)
                moment.append(time.monotonic())
                left.set()
            return method == "GET"

        for free in (False, True):
            with self.subTest(free=free), Line(talk) as server:
                left.clear()
                task = self.context.chat(server.url, "x")
                self.assertEqual(task.next().text, "one ")
                cancelled = time.monotonic()
                if free:
                    task.close()
                    self.context.step(0)
                else:
                    task.cancel()
                self.assertTrue(left.wait(60), "the line stayed open")
                took = moment.pop() - cancelled
                print(f"\ncancelled in mid-answer: the server sees it after {1000 * took:.1f} ms")
                self.assertLess(took, 1)
                if not free:
                    self.assertEqual((task_text(task), asking.ended(task)), ("one ", asking.CANCELLED))
                    task.close()

    def test_slow_reader(self):
        """An answer without end and nobody who reads: the server has to wait, and memory stays what it is."""
        sent = [0]

        def talk(line, method):
            if method == "GET":
                line.sendall(LIST)
                return True
            line.settimeout(60)
            line.sendall(STREAM)
            data = event("again ") * 100
            try:
                while True:
                    line.sendall(data)
                    sent[0] += len(data)
            except OSError:
                return False

        with Line(talk) as server, self.context.chat(server.url, "x") as task:
            task.next()
            grown = resident()
            quiet = 0
            while quiet < 20:
                before = sent[0]
                self.context.step(20)
                time.sleep(0.02)
                quiet = quiet + 1 if sent[0] == before else 0
            grown = resident() - grown
            print(f"\nslow reader: {sent[0]} bytes were sent, memory grew by {grown / 1024:.0f} KiB")
            self.assertLess(grown, (16 if not SANITIZED else 200) << 20)
            before = sent[0]
            for _ in range(20000):
                self.assertEqual(task.next().text, "again ")
            self.assertGreater(sent[0], before)
            self.assertEqual(task.text()[:12], "again again ")

    def test_a_line_that_was_used_before_and_is_cut(self):
        """HTTP libraries send again what got no answer on such a line; a question may have been heard."""
        def talk(line, method):
            if method == "GET":
                line.sendall(LIST)
            return method == "GET"

        with Line(talk) as server:
            error = self.fails(asking.NETWORK, "no answer came", self.context.chat, server.url, "x")
            self.assertTrue(error.hint)
            self.fails(asking.NETWORK, "cut", self.context.chat, server.url, "x", model="m")
            time.sleep(0.1)
            self.assertEqual(server.heard, ["GET", "POST", "POST"])

    def test_answers_that_are_no_http(self):
        for words in (b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            def talk(line, method, words=words):
                line.sendall(words)
                return False
            with self.subTest(words), Line(talk) as server:
                with self.assertRaises(TenonError) as caught:
                    self.ask(server.url, model="m")
                self.assertIn(caught.exception.status, (asking.PROTOCOL, asking.NETWORK))
                self.assertTrue(caught.exception.hint)
                self.assertEqual(server.heard, ["POST"])


def resident():
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def command_lines():
    """What every process list shows."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                    yield file.read()
            except OSError:
                pass  # it ended


class OnAJob(Case):
    """The example workload, served as a job."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.end_all)

    def end_all(self):
        for report in self.context.list(alive=1):
            self.context.open(report.id).stop(force=True)

    def test_the_example(self):
        job = self.context.submit(serve=True, recipe=RECIPE, model=TINY, environment=["PYTHONDONTWRITEBYTECODE=1"])
        address = job.wait(library.RUNNING)
        pieces, text = self.ask(job.id, "What is a tenon?", max_tokens=40)
        texts = [piece for piece in pieces if piece.kind == TEXT]
        self.assertGreater(len(texts), 5)
        self.assertEqual("".join(piece.text for piece in texts), text)
        self.assertEqual(self.ask(job.id, "What is a tenon?", max_tokens=40, flags=WHOLE)[1], text)
        self.assertEqual(pieces[-2].kind, STOP)
        self.assertEqual((pieces[-1].kind, pieces[-1].completion_tokens > 0), (USAGE, True))
        with self.context.complete(job.id, "A tenon", max_tokens=5) as task:
            list(task)
            self.assertTrue(task.text())
        self.assertEqual([model.id for model in self.context.models(job.id)], [TINY])
        # The key belongs to the job: by its address alone nobody gets in.
        error = self.fails(asking.UNAUTHORIZED, "HTTP 401", self.context.chat, address, "x")
        self.assertIn("wants a key", error.hint)
        self.fails(asking.UNAUTHORIZED, "HTTP 401", self.context.chat, job.id, "x", key="another")
        parameters = json.dumps({"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "weather", "parameters": {
            "type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}]})
        for flags in (0, WHOLE):
            pieces, _ = self.ask(job.id, "Ulm", parameters=parameters, flags=flags)
            self.assertEqual(json.loads("".join(piece.tool_arguments for piece in pieces)), {"place": "Ulm"})
            self.assertEqual("".join(piece.tool_name for piece in pieces), "weather")
        job.stop()
        self.fails(asking.BUSY, "has ended", self.context.chat, job.id, "x")
        job.remove()
        self.fails(asking.NOT_FOUND, job.id, self.context.chat, job.id, "x")

    def test_jobs_that_cannot_be_asked(self):
        recipe = json.dumps({"command": [sys.executable, SERVE], "port": 0})
        job = self.context.submit(serve=True, recipe=recipe, environment=["LATE=3"])
        error = self.fails(asking.BUSY, "is not ready", self.context.chat, job.id, "x")
        self.assertIn("tenon_job_wait", error.hint)
        self.fails(asking.BUSY, "is not ready", self.context.models, job.id)
        job.wait(library.RUNNING)
        self.assertEqual([model.id for model in self.context.models(job.id)], ["small"])
        job.stop(force=True)
        training = self.context.submit(recipe=json.dumps({"command": ["sleep", "1000"]}))
        training.wait(library.RUNNING)
        error = self.fails(asking.BUSY, "serves at no address", self.context.chat, training.id, "x")
        self.assertTrue(error.hint)
        training.stop(force=True)
        self.assertTrue(self.fails(asking.NOT_FOUND, "no job", self.context.chat, "local:0123456789ab", "x").hint)
        self.fails(asking.ARGUMENT, "is not the id", self.context.chat, "local:x", "x")
        self.fails(library.UNSUPPORTED, "mars", self.context.chat, "mars:1", "x")

    def test_the_key_is_in_no_message_and_no_list(self):
        job = self.context.submit(serve=True, recipe=json.dumps({"command": [sys.executable, SERVE], "port": 0}))
        job.wait(library.RUNNING)
        with open(os.path.join(self.scratch, "jobs", job.id.partition(":")[2], "spec.json"), encoding="utf-8") as file:
            key = json.load(file)["key"]
        self.assertEqual([line for line in command_lines() if key in line], [])
        self.assertNotIn(key, job.status().json)
        job.stop(force=True)


if __name__ == "__main__":
    suite.main()
