"""The inference simulator and the example workload, judged by OpenAI's own client, unmodified."""

import os
import sys
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "support"), os.path.join(TESTS, "workload")]

import environments
import suite
from programs import TINY, Service
from simulator import Simulator

try:
    sys.path.insert(0, environments.openai())  # before the system's own packages, which are older
    import openai
    absent = None
except environments.Missing as reason:
    absent = f"the client is not there: {reason}"

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather", "strict": True,
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"], "additionalProperties": False}}}
USER = [{"role": "user", "content": "one two three"}]


def client_of(url, key="a key", retries=0):
    # Nothing of the user's own comes through.
    for name in [name for name in os.environ if name.startswith("OPENAI_") or name.lower().endswith("_proxy")]:
        del os.environ[name]
    return openai.OpenAI(base_url=url, api_key=key, max_retries=retries, timeout=60)


def text_of(stream):
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


@unittest.skipIf(absent, absent)
class OnTheSimulator(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Simulator("inference")
        cls.addClassCleanup(cls.server.stop)
        cls.client = client_of(cls.server.url + "/v1")
        cls.addClassCleanup(cls.client.close)

    def setUp(self):
        self.server.clear()
        self.server.settings()
        self.answers()

    def tearDown(self):
        self.assertEqual(self.server.violations(), [])

    def answers(self, *answers):
        self.server.control("PUT", "answers", list(answers))

    def chat(self, **fields):
        return self.client.chat.completions.create(model="tenon/simulated", messages=USER, **fields)

    # Answers.

    def test_models(self):
        self.assertEqual([(model.id, model.owned_by) for model in self.client.models.list()], [("tenon/simulated", "tenon")])
        self.assertEqual(self.client.models.retrieve("tenon/simulated").id, "tenon/simulated")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("other/model")

    def test_whole_chat(self):
        self.answers({"pieces": ["Why ", "not?"], "stop": "length", "usage": [11, 5]})
        answer = self.chat()
        self.assertEqual((answer.choices[0].message.content, answer.choices[0].finish_reason), ("Why not?", "length"))
        self.assertEqual((answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens), (11, 5, 16))

    def test_streamed_chat(self):
        self.answers({"pieces": ["Why ", "not? \U0001f600"], "usage": [11, 5]})
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(text_of(chunks), "Why not? \U0001f600")
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual([chunk.choices[0].finish_reason for chunk in chunks[:-1]], [None, None, None, "stop"])
        self.assertEqual((chunks[-1].choices, chunks[-1].usage.completion_tokens), ([], 5))
        self.assertEqual(self.server.requests()[0]["json"]["stream_options"], {"include_usage": True})

    def test_usage_only_where_it_is_wanted(self):
        self.assertEqual([chunk.usage for chunk in self.chat(stream=True)], [None] * 5)

    def test_the_clients_own_accumulation(self):
        """It checks the order of the events, joins pieces, and reads tool calls by their schema."""
        self.answers({"pieces": ["It ", "rains."], "tools": [
            {"id": "call_1", "name": "weather", "arguments": ['{"pl', 'ace": "Ul', 'm"}']},
            {"id": "call_2", "name": "weather", "arguments": ['{"place": "Bern"}']}], "stop": "tool_calls"})
        with self.client.chat.completions.stream(model="tenon/simulated", messages=USER, tools=[WEATHER]) as stream:
            kinds = [event.type for event in stream]
            answer = stream.get_final_completion()
        self.assertEqual((kinds.count("content.delta"), kinds.count("content.done")), (3, 1))
        self.assertEqual(kinds.count("tool_calls.function.arguments.done"), 2)
        calls = answer.choices[0].message.tool_calls
        self.assertEqual([(call.id, call.function.parsed_arguments) for call in calls],
                         [("call_1", {"place": "Ulm"}), ("call_2", {"place": "Bern"})])
        self.assertEqual((answer.choices[0].message.content, answer.choices[0].finish_reason), ("It rains.", "tool_calls"))

    def test_whole_tool_call(self):
        self.answers({"tools": [{"id": "call_1", "name": "weather", "arguments": ['{"place": ', '"Ulm"}']}], "stop": "tool_calls"})
        message = self.chat(tools=[WEATHER]).choices[0].message
        self.assertIsNone(message.content)
        self.assertEqual(message.tool_calls[0].function.arguments, '{"place": "Ulm"}')

    def test_several_choices(self):
        self.answers({"choices": [{"pieces": ["a", "b"]}, {"pieces": ["c"], "stop": "length"}]})
        self.assertEqual([choice.message.content for choice in self.chat(n=2).choices], ["ab", "c"])
        found = {0: "", 1: ""}
        for chunk in self.chat(n=2, stream=True):
            found[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        self.assertEqual(found, {0: "ab", 1: "c"})

    def test_reasoning_beside_the_text(self):
        self.answers({"reasoning": ["It ", "is."], "pieces": ["Yes."]})
        for server, name in (("openai", "reasoning_content"), ("vllm", "reasoning")):
            self.server.settings(server=server)
            self.assertEqual(self.chat().choices[0].message.model_extra[name], "It is.")
            chunks = list(self.chat(stream=True))
            said = [(chunk.choices[0].delta.model_extra or {}).get(name, "") for chunk in chunks]
            self.assertEqual(("".join(said), text_of(chunks)), ("It is.", "Yes."))

    def test_completions(self):
        answer = self.client.completions.create(model="tenon/simulated", prompt="one two")
        self.assertEqual((answer.choices[0].text, answer.choices[0].finish_reason), ("onetwo", "stop"))
        chunks = list(self.client.completions.create(model="tenon/simulated", prompt="one two", stream=True))
        self.assertEqual([chunk.choices[0].text for chunk in chunks], ["one", "two", ""])

    def test_every_form_of_a_stream_says_the_same(self):
        forms = [{"newline": "\r"}, {"newline": "\r\n"}, {"space": False}, {"comments": True}, {"lines": True}, {"done": False},
                 {"newline": "\r\n", "comments": True, "lines": True, "space": False}]
        for form in forms:
            with self.subTest(form):
                self.server.clear()
                self.server.faults({"stream": form})
                self.assertEqual(text_of(self.chat(stream=True)), "onetwothree")

    def test_large_events(self):
        self.server.faults({"stream": {"event": 3000000}})
        self.assertEqual(len(text_of(self.chat(stream=True))), 3000011)

    def test_a_server_that_knows_no_stream(self):
        self.server.faults({"whole": True})
        self.assertEqual(text_of(self.chat(stream=True)), "")

    def test_leaving_ends_an_endless_answer(self):
        self.answers({"endless": "again "})
        with self.chat(stream=True) as stream:
            for _, chunk in zip(range(1000), stream):
                self.assertIn(chunk.choices[0].delta.content, ("again ", ""))
        self.server.wait(finished=1)

    # Errors.

    def assert_status(self, error_class, status, code=None, **fields):
        with self.assertRaises(error_class) as caught:
            self.chat(**fields)
        self.assertEqual((caught.exception.status_code, caught.exception.code), (status, code))
        self.assertRegex(caught.exception.request_id, r"req_\d+")
        return caught.exception

    def test_errors_by_their_status(self):
        classes = {400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError,
                   404: openai.NotFoundError, 409: openai.ConflictError, 422: openai.UnprocessableEntityError,
                   429: openai.RateLimitError, 500: openai.InternalServerError, 503: openai.InternalServerError}
        for status, error_class in classes.items():
            with self.subTest(status):
                self.server.clear()
                self.server.faults({"error": {"status": status, "message": "so it is", "code": "a_code"}})
                error = self.assert_status(error_class, status, "a_code")
                self.assertEqual(error.body["message"], "so it is")

    def test_errors_in_the_manner_of_other_servers(self):
        self.server.faults({"error": {"status": 429, "message": "so it is"}})
        bodies = {"vllm": {"message": "so it is", "type": "rate_limit_error", "param": None, "code": 429},
                  "llama": {"message": "so it is", "type": "rate_limit_error", "code": 429}, "tgi": "so it is"}
        for server, body in bodies.items():
            self.server.settings(server=server)
            with self.assertRaises(openai.RateLimitError) as caught:
                self.chat()
            self.assertEqual(caught.exception.body, body)

    def test_answers_in_the_manner_of_llama_cpp(self):
        self.server.settings(server="llama")
        self.answers({"pieces": ["Why ", "not?"], "usage": [11, 5]})
        answer = self.chat(extra_body={"colour": "red"})
        self.assertEqual((answer.choices[0].message.content, answer.usage.prompt_tokens_details.cached_tokens), ("Why not?", 0))
        self.assertEqual(text_of(self.chat(stream=True)), "Why not?")
        chunks = list(self.client.completions.create(model="tenon/simulated", prompt="", stream=True))
        self.assertEqual((chunks[-1].choices[0].finish_reason, chunks[-1].usage.completion_tokens), ("stop", 5))
        self.assertEqual([model.owned_by for model in self.client.models.list()], ["llamacpp"])
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("tenon/simulated")

    def test_the_key(self):
        self.server.settings(key="the right one")
        self.assert_status(openai.AuthenticationError, 401, "invalid_api_key")
        with client_of(self.server.url + "/v1", "the right one") as client:
            self.assertEqual(len(client.models.list().data), 1)
        self.assertEqual([one["headers"]["authorization"] for one in self.server.requests()], ["another", "the key"])

    def test_questions_that_are_refused(self):
        refused = [{"messages": []}, {"messages": [{"role": "king", "content": "a"}]}, {"messages": [{"role": "user", "content": None}]},
                   {"messages": [{"role": "tool", "content": "a"}]}, {"n": 0}, {"max_tokens": 0}, {"temperature": "hot"},
                   {"stream_options": {"include_usage": True}}, {"tools": [{"type": "function"}]}, {"extra_body": {"colour": "red"}}]
        for fields in refused:
            with self.subTest(fields), self.assertRaises(openai.BadRequestError):
                self.client.chat.completions.create(**{"model": "tenon/simulated", "messages": USER, **fields})
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model="other/model", messages=USER)
        with self.assertRaises(openai.BadRequestError):
            self.client.completions.create(model="tenon/simulated", prompt="")

    def test_busy_for_a_moment(self):
        self.server.faults({"error": {"status": 429}, "add_headers": {"Retry-After": "0"}, "times": 1},
                           {"error": {"status": 503}, "add_headers": {"Retry-After-Ms": "1"}, "after": 1, "times": 1})
        with client_of(self.server.url + "/v1", retries=2) as client:
            answer = client.chat.completions.create(model="tenon/simulated", messages=USER)
        self.assertEqual(answer.choices[0].message.content, "onetwothree")
        self.assertEqual([one["status"] for one in self.server.requests()], [429, 503, 200])

    def test_failures_in_the_middle(self):
        for server in ("openai", "vllm", "tgi", "llama"):
            with self.subTest(server):
                self.server.clear()
                self.server.settings(server=server)
                self.server.faults({"stream": {"error": {"at": 2, "message": "the card is gone"}}})
                found = []
                with self.assertRaises(openai.APIError) as caught:
                    found.extend(self.chat(stream=True))
                self.assertEqual(text_of(found), "one")
                if server != "tgi":  # whose error is a text, which this client does not look at
                    self.assertEqual(str(caught.exception), "the card is gone")

    def test_cut_in_the_middle(self):
        self.server.faults({"stream": {"cut": 3}})
        found = []
        with self.assertRaises(openai.APIConnectionError):
            found.extend(self.chat(stream=True))
        self.assertEqual(text_of(found), "onetwo")

    def test_nonsense_in_the_middle(self):
        for bytes_ in ({"text": "data: {\"a\n\n"}, {"hex": "646174613a207b2261223a2022ff227d0a0a"}):
            with self.subTest(bytes_):
                self.server.clear()
                self.server.faults({"stream": {"insert": {"at": 2, **bytes_}}})
                with self.assertRaises(ValueError):
                    list(self.chat(stream=True))

    def test_silence_in_the_middle(self):
        self.server.faults({"stream": {"hold": 2}})
        stream = self.chat(stream=True)
        self.assertEqual([next(stream).choices[0].delta.content for _ in range(2)], ["", "one"])
        self.server.wait(stalled=1)
        self.server.clear_faults()
        self.assertEqual(text_of(stream), "twothree")


@unittest.skipIf(absent, absent)
class OnTheWorkload(unittest.TestCase):
    """serve.py with the model that has learned nothing."""

    @classmethod
    def setUpClass(cls):
        cls.service = cls.enterClassContext(Service(TINY, TENON_MODEL_ID="tenon/tiny", TENON_API_KEY="a key"))
        cls.client = cls.enterClassContext(client_of(f"http://127.0.0.1:{cls.service.port}/v1"))

    def chat(self, **fields):
        return self.client.chat.completions.create(
            **{"model": "tenon/tiny", "messages": [{"role": "user", "content": "What is a tenon?"}], "max_tokens": 20, **fields})

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["tenon/tiny"])

    def test_streamed_and_whole_are_the_same(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertNotEqual(whole.choices[0].message.content, "")
        self.assertEqual(text_of(chunks), whole.choices[0].message.content)
        self.assertEqual(chunks[-1].usage, whole.usage)
        self.assertEqual(whole.choices[0].finish_reason, "length")
        self.assertEqual(whole.usage.completion_tokens, 20)

    def test_completions(self):
        whole = self.client.completions.create(model="tenon/tiny", prompt="A tenon", max_tokens=10)
        pieces = self.client.completions.create(model="tenon/tiny", prompt="A tenon", max_tokens=10, stream=True)
        self.assertEqual("".join(chunk.choices[0].text for chunk in pieces), whole.choices[0].text)

    def test_tools(self):
        with self.client.chat.completions.stream(
                model="tenon/tiny", messages=USER, tools=[WEATHER], tool_choice="required") as stream:
            answer = stream.get_final_completion()
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        self.assertEqual(answer.choices[0].message.tool_calls[0].function.parsed_arguments, {"place": "one two three"})

    def test_errors(self):
        for error_class, fields in ((openai.BadRequestError, {"messages": []}), (openai.BadRequestError, {"temperature": 9}),
                                    (openai.NotFoundError, {"model": "other"})):
            with self.subTest(fields), self.assertRaises(error_class):
                self.chat(**fields)
        with client_of(self.client.base_url, "another key") as stranger, self.assertRaises(openai.AuthenticationError):
            stranger.models.list()


if __name__ == "__main__":
    suite.main()
