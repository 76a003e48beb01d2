"""Faults: which requests they meet, and what they do to the answer. README.md lists them for the writer of a test."""

import gzip
import itertools
import json
import os
import re
import threading

from _content import Altered, Bytes, Generated

MATCHERS = {"method", "path", "query", "origin", "range", "after", "times"}
EFFECTS = {
    "status", "headers", "body", "html", "redirect",
    "json", "set", "items", "other_content", "corrupt", "gzip", "etag",
    "ignore_range", "wrong_range", "length", "drop_headers", "add_headers",
    "stall_headers", "stall", "cut", "slow",
}
FORMS = {  # the members of an effect that is an object
    "redirect": {"to", "loop", "chain", "status"}, "json": {"value", "text", "hex", "deep", "huge", "keep", "types"},
    "other_content": {"text", "size", "seed"}, "etag": {"changing"}, "wrong_range": {"shift", "total"},
    "stall": {"after", "at", "seconds"}, "cut": {"after", "at", "reset"},
}
HTML = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Please sign in to the network</h1></body></html>"


class Fault:
    def __init__(self, number, description, known_effects):
        self.number = number
        self.description = description
        self.effects = {key: value for key, value in description.items() if key in known_effects}
        self._check(set(description) - MATCHERS - known_effects)
        self.path = re.compile(description.get("path", ""))
        self.query = re.compile(description.get("query", ""))
        self.methods = re.compile(description.get("method", ".*"))
        self.matched = 0
        self.fired = 0

    def _check(self, unknown):
        """A fault that does nothing would make a test that cannot fail."""
        for key, value in self.effects.items():
            if key in FORMS and isinstance(value, dict):
                unknown |= set(value) - FORMS[key]
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        if not self.effects or (not {"headers", "body"}.isdisjoint(self.effects) and "status" not in self.effects):
            raise ValueError("a fault without an effect")

    def meets(self, request):
        """Whether this request is one of those the fault is for; counts it."""
        wanted = self.description
        if (not self.methods.fullmatch(request.method) or not self.path.search(request.plain_path)
                or not self.query.search(request.query_text)
                or wanted.get("origin", request.origin) != request.origin
                or wanted.get("range", bool(request.range)) != bool(request.range)):
            return False
        self.matched += 1
        if self.matched <= wanted.get("after", 0) or self.fired >= wanted.get("times", self.matched):
            return False
        self.fired += 1
        return True

    def report(self):
        return {"number": self.number, "matched": self.matched, "fired": self.fired, **self.description}


class Faults:
    """All faults that are set. Several may meet one request: their effects add up, and of two alike the later one holds."""

    def __init__(self, more_effects=()):
        self._known = EFFECTS | set(more_effects)
        self._faults = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._cleared = threading.Event()

    def add(self, descriptions):
        if isinstance(descriptions, dict):
            descriptions = [descriptions]
        made = [Fault(next(self._numbers), one, self._known) for one in descriptions]
        with self._lock:
            self._faults.extend(made)
        return [fault.number for fault in made]

    def clear(self):
        """Forget all faults and let go whoever is stalled by one."""
        with self._lock:
            self._faults = []
            self._cleared.set()
            self._cleared = threading.Event()

    def meeting(self, request):
        """The effects for this request, and the event that says the faults were cleared."""
        effects = {}
        with self._lock:
            for fault in self._faults:
                if fault.meets(request):
                    effects.update(fault.effects)
            return effects, self._cleared

    def report(self):
        with self._lock:
            return [fault.report() for fault in self._faults]


# What an effect does to the whole answer, before a range is cut out of it.

def _refuse(answer, request, effects):
    status = effects["status"]
    text = effects.get("body", json.dumps({"error": f"The simulator was told to answer {status}"}))
    answer.replace(status, Bytes(text.encode()), "application/json")
    for name, value in effects.get("headers", {}).items():
        answer.set(name, value)


def _show_page(answer, request, effects):
    text = effects["html"] if isinstance(effects["html"], str) else HTML
    answer.replace(200, Bytes(text.encode()), "text/html; charset=utf-8")


def _redirect(answer, request, effects):
    """{"to": ADDRESS}, {"loop": true} or {"chain": N}; {path} and {query} in the address are those of the request."""
    wanted = effects["redirect"]
    if "chain" in wanted:
        if request.hop >= wanted["chain"]:
            return
        separator = "&" if request.query_text else "?"
        target = f"{request.path}{'?' if request.query_text else ''}{request.query_text}{separator}_hop={request.hop + 1}"
    elif wanted.get("loop"):
        target = request.target
    else:
        target = wanted["to"].replace("{path}", request.path).replace("{query}", request.query_text)
    answer.replace(wanted.get("status", 302), Bytes(f"Found. Redirecting to {target}".encode()), "text/plain")
    answer.set("Location", target)


_OTHER_TYPE = {dict: [], list: {}, str: 7, int: "7", float: "0.5", bool: "no", type(None): 0}


def _swap_types(value):
    if isinstance(value, dict) and value:
        return {key: _swap_types(item) for key, item in value.items()}
    if isinstance(value, list) and value:
        return [_swap_types(item) for item in value]
    return _OTHER_TYPE[type(value)]


def _absurd_json(answer, request, effects):
    """Another text in place of the JSON: see README.md for the forms."""
    wanted = effects["json"]
    text = answer.content.bytes()
    if "value" in wanted:
        text = json.dumps(wanted["value"]).encode()
    elif "text" in wanted:
        text = wanted["text"].encode()
    elif "hex" in wanted:
        text = bytes.fromhex(wanted["hex"])
    elif "deep" in wanted:
        text = b"[" * wanted["deep"] + b"]" * wanted["deep"]
    elif "huge" in wanted:
        text = b'{"filler": "' + b"x" * wanted["huge"] + b'"}'
    elif "keep" in wanted:
        text = text[:wanted["keep"]]
    elif "types" in wanted:
        text = json.dumps(_swap_types(json.loads(text))).encode()
    answer.content = Bytes(text)


def _set_members(answer, request, effects):
    value = json.loads(answer.content.bytes())
    value.update(effects["set"])
    answer.content = Bytes(json.dumps(value).encode())


def _set_item_members(answer, request, effects):
    value = json.loads(answer.content.bytes())
    for item in value if isinstance(value, list) else value.get("siblings", []):
        item.update(effects["items"])
    answer.content = Bytes(json.dumps(value).encode())


def _other_content(answer, request, effects):
    wanted = effects["other_content"]
    if "text" in wanted:
        answer.content = Bytes(wanted["text"].encode())
    else:
        answer.content = Generated(wanted.get("size", answer.content.size), wanted.get("seed", "other"))


def _corrupt(answer, request, effects):
    offsets = effects["corrupt"]
    answer.content = Altered(answer.content, offsets if isinstance(offsets, list) else [offsets])


def _compress(answer, request, effects):
    answer.content = Bytes(gzip.compress(answer.content.bytes(), 1))
    answer.ranged = False
    answer.chunked = True
    answer.set("Content-Encoding", "gzip")


def _other_etag(answer, request, effects):
    for name in ("ETag", "X-Linked-Etag"):
        present = answer.get(name)
        if present:
            digits = len(present.strip('"'))
            text = os.urandom(digits).hex()[:digits] if effects["etag"] == {"changing": True} else effects["etag"]
            answer.set(name, f'"{text}"')


ON_ANSWER = (
    ("status", _refuse), ("html", _show_page), ("redirect", _redirect),
    ("json", _absurd_json), ("set", _set_members), ("items", _set_item_members),
    ("other_content", _other_content), ("corrupt", _corrupt), ("gzip", _compress), ("etag", _other_etag),
)
_NEEDS_JSON = {"json", "set", "items"}
_NEEDS_CONTENT = {"other_content", "corrupt", "gzip"}


def change_answer(answer, request, effects):
    for name, change in ON_ANSWER:
        if name not in effects or effects[name] is False:
            continue
        if name in _NEEDS_JSON and not (answer.status == 200 and answer.is_json):
            continue
        if name in _NEEDS_CONTENT and answer.status != 200:
            continue
        change(answer, request, effects)


# What an effect does to the status line and the headers, after the range was cut out.

def _wrong_range(answer, wanted):
    if answer.status != 206:
        return
    start, end, total = answer.start, answer.end, answer.content.size
    if "shift" in wanted:
        start, end = start + wanted["shift"], end + wanted["shift"]
    answer.set("Content-Range", f"bytes {start}-{end - 1}/{wanted.get('total', total)}")


def change_headers(answer, effects):
    if "wrong_range" in effects:
        _wrong_range(answer, effects["wrong_range"])
    for name in effects.get("drop_headers", []):
        answer.drop(name)
    for name, value in effects.get("add_headers", {}).items():
        answer.set(name, value)


def position(wanted, answer):
    """After how many body bytes a cut or a stall comes: {"after": N} of the body, or {"at": N} of the file; None: never."""
    if wanted is None:
        return None
    if isinstance(wanted, int):
        return wanted
    if "at" in wanted:
        return wanted["at"] - answer.start if answer.start <= wanted["at"] < answer.end else None
    return wanted.get("after", 0)
