"""What a hostile server may do to an answer, by chance: `mutate(chance, answer, outside)` spoils it and says how."""

import gzip
import json
import struct

LARGE = 3 << 20
NUMBERS = ("0", "-1", "1", "2", "-0", "+5", " 7", "7 ", "0x10", "1e3", "007", "2147483647", "2147483648", "4294967295",
           "4294967296", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
           "18446744073709551616", "9" * 400, "", "seven", "1.5", "NaN", "1,2", "1;2")
NAMES = ("..", ".", "", "/", "//", "../escaped", "../../escaped", "../../../../escaped", "a/../../escaped",
         "a/../../../../../escaped", "./escaped", "a//b", "a/./b", "a/", "@OUTSIDE@/escaped", "..\\escaped",
         "a\\..\\..\\escaped", "C:\\escaped", "C:escaped", "CON", "nul.txt", "aux", "COM1.bin", "a:stream", "a\0b", "a\nb", "a\rb",
         "a\tb", "\x7f", "~", "~/escaped", "$HOME/escaped", "%2e%2e/escaped", "..%2fescaped", "\u2025/escaped", "e\u0301", "\u00e9",
         "\u202egnp.exe", "\ufeff", "a" * 255, "a" * 256, "a" * 5000, "a/" * 300 + "b", "-rf", ".git/config",
         ".cache/huggingface/download/config.json.metadata", ".cache/x", ".tenon/refs/heads/main", "config.json/below",
         "config.json", "CONFIG.JSON", "model.bin.incomplete", "refs/main", "blobs/x", "snapshots/x", ".no_exist/x", ".locks/x",
         "x.lock", "x.tmp")
CLIMBING = tuple(name for name in NAMES if "../" in name or name.startswith("@OUTSIDE@"))
IDS = ("0" * 40, "f" * 40, "0" * 64, "A" * 40, "a" * 39, "a" * 41, "a" * 63, "a" * 65, "../" + "a" * 37, "main", "refs/heads/main",
       "a" * 300, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
       "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
ETAGS = ('""', '"', "W/", 'W/""', 'W/"x"', '"a" "b"', '"../../escaped"', '"@OUTSIDE@"', '"x/y"', '"a\\b"', '".."', '"."',
         '".lock"', '"x.incomplete"', '"' + "a" * 255 + '"', '"' + "a" * 300 + '"', '"a:b"', '"CON"', '"\x01"', '"a-2"', '"a"b"')
RANGES = ("bytes 0-0/0", "bytes */*", "bytes */5", "bytes 0-9", "bytes 9-0/10", "bytes 0-18446744073709551615/18446744073709551616",
          "items 0-9/10", "bytes -1-5/10", "bytes 0-9223372036854775806/9223372036854775807", "bytes 5-9/7", "bytes 0-99/",
          "bytes  0-1/2", "0-1/2", "bytes 1-2/*")
ADDRESSES = ("", "/", "//", "?", "#", "x", "//127.0.0.1:9/x", "http://127.0.0.1:9/x", "http://[::1]:9/x", "https://127.0.0.1:9/",
             "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:9/_x", "javascript:alert(1)", "data:,x", "http://",
             "http:///x", "http://127.0.0.1:0/x", "http://127.0.0.1:99999/x", "http://user:secret@127.0.0.1:9/x",
             "http://127.0.0.1:9@127.0.0.1:9/", "http://[::1/x", "http://[/x", "../../../x", "/../../x", "/a b", "/a\tb", "/%",
             "/%zz", "/%00", "/\u00fc", "/" + "a" * 5000, "/" + "a" * 100000, "?" + "a=b&" * 2000, "HTTP://127.0.0.1:9/x",
             "http:127.0.0.1:9", "\\\\127.0.0.1\\x", "/resolve/main/config.json", "/api/models/acme/small")
LINKS = ("", "<", ">", "<>", "<>; rel=next", '<{}>; rel="next"', '<{}>; rel="prev", <{}>; rel="next"', "<{}>; rel=next; rel=prev",
         '<{}', '{}; rel="next"', '<{}>; rel="next' + "x" * 3000, "<{}>;" * 500 + 'rel="next"', '<{}>; title="<>;,"; rel="next"',
         ", , ,", '<{}>;rel=next,' * 100)
TYPES = ("", "text/html", "text/html; charset=utf-16", "application/json", "text/event-stream", "application/json;" + "x" * 2000,
         "a", "/", "multipart/byteranges")
CODES = ("RepoNotFound", "RevisionNotFound", "EntryNotFound", "GatedRepo", "DisabledRepo", "x" * 3000, "\u00ff", "")
HEADERS = {
    "content-length": NUMBERS, "x-linked-size": NUMBERS,
    "retry-after": NUMBERS + ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"),
    "ratelimit": ('"api";r=0;t=1', '"api";r=-1;t=99999999999', "x", ";;;", '"api";r=0;t=0', "a" * 3000),
    "ratelimit-policy": ("", "x", '"x";q=1;w=1'), "etag": ETAGS + IDS, "x-linked-etag": ETAGS + IDS, "x-repo-commit": IDS + NAMES,
    "x-xet-hash": IDS, "content-range": RANGES, "location": ADDRESSES, "link": LINKS, "content-type": TYPES,
    "content-encoding": ("gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "x", ""),
    "transfer-encoding": ("chunked", "gzip", "chunked, chunked", "identity", "x", "gzip, chunked"), "x-error-code": CODES,
    "x-error-message": NAMES + CODES, "accept-ranges": ("none", "bytes", "x"), "x-request-id": NAMES,
    "connection": ("close", "keep-alive", "upgrade", "x" * 3000), "set-cookie": ("a=b", "x" * 9000),
    "www-authenticate": ("Basic", "Bearer", "Negotiate", "Digest realm=x, nonce=y", "NTLM"),
    "content-disposition": ('attachment; filename="../../escaped"', "inline; filename=@OUTSIDE@/x"),
    "alt-svc": ('h3=":9"', "clear"), "strict-transport-security": ("max-age=99999999",), "x-linked-hash": IDS, "date": ("x", ""),
    "upgrade": ("h2c", "websocket"), "trailer": ("etag",),
}
ODD_HEADERS = ((b"Folded", b"a\r\n b\r\n\tc"), (b"ETag", b'"a\r\n b"'), (b"Link", b"</x>;\r\n rel=next"), (b"", b"no name"),
               (b"With space", b"x"), (b"Nul\0", b"a\0b"), (b"\xff\xfe", b"\xff\xfe"), (b"A" * 3000, b"x"), (b"Long", b"x" * 90000),
               (b"Huge", b"x" * 400000), (b"X", b"\x01\x02\x7f"), (b"no colon\r\nX", b"y"), (b"ETag ", b'"x"'), (b" ETag", b'"x"'),
               (b"Bare\nETag", b'"x"'), (b"X-Repo-Commit", b"\xff" * 40), (b"Location", b"/\xff\x00x"))
STATUSES = (0, 1, 99, 100, 101, 102, 103, 199, 200, 201, 202, 203, 204, 205, 206, 207, 299, 300, 301, 302, 303, 304, 305, 306, 307,
            308, 399, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 412, 413, 416, 418, 422, 425, 429, 451, 499, 500, 501,
            502, 503, 504, 505, 511, 599, 600, 700, 999)
FIRST_LINES = (b"", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 abc OK", b"HTTP/1.1 -1 OK", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK",
               b"HTTP/1.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/2 200", b"HTTP/9.9 200 OK", b"HTTP/1.1 200 " + b"x" * 9000,
               b"HTTP/1.1 200 \xff\x00\xfe", b"ICY 200 OK", b"<html>", b"\x00" * 40, b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0",
               b"SSH-2.0-x")
ODD_EVENTS = (b"data: [DONE]", b"event: error\ndata: {}", b"event: " + b"x" * 9000, b"id: \x00", b"retry: -1", b": " + b"x" * 9000,
              b"data",
              b"data:" * 3000, b"\xef\xbb\xbfdata: {}", b"\xff\xfe", b"data: {\"error\": 7}", b"data: null\ndata: 7", b"x" * 200000,
              b"data: " + b"[" * 100000, b"data: \"" + b"x" * LARGE)
# Texts that no value stands for: what a parser must refuse or survive.
RAW = ("1e400", "-1e400", "-0", "0.0", "1e3", "0x10", "NaN", "Infinity", "nul", "tru", "'x'", "\"\\u0000\"", "\"\\ud800\"",
       "\"\\udc00\\ud800\"", "\"a\\u0000b\"", "\"\\x\"", "\"\\", "\"", "[", "{", "]", "}", ",", ":", "[" * 100000,
       "[" * 3000 + "]" * 3000, '{"a":' * 5000 + "1" + "}" * 5000, '{"path":"a","path":"../escaped"}', "9" * 5000,
       "18446744073709551616", "-9223372036854775809", "[1,]", "{,}", "[" + "0," * 20000 + "0]", "//x", "/*x*/1")
RAW_BYTES = (b'"\xff\xfe"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b"\x00", b'"a\x00b"', b"\xef\xbb\xbf",
             b'"\xe2\x82"', b'"\x01"', b'"\n"')
NEVER = object()


def _text(chance, old=None):
    kind = chance.random()
    if kind < 0.6:
        return chance.choice(NAMES)
    if kind < 0.8:
        return chance.choice(IDS)
    if kind < 0.9 and old:
        return chance.choice((old + "/..", "../" + old, old * 2, old[:-1], old.upper(), old + "\0", old.replace("/", "//"),
                              "/" + old, old + "/" + old))
    return chance.choice(NUMBERS + ADDRESSES + CODES)


def _integer(chance, old=None):
    numbers = (0, -1, 1, 2, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, -(1 << 63), 1 << 20, 5 << 40)
    if type(old) is int:
        numbers += (old - 1, old + 1, -old, old * 2, old // 2, old + (1 << 32), old << 20) * 2
    return chance.choice(numbers)


def _value(chance, old):
    kind = chance.random()
    if kind < 0.35:
        return _text(chance, old if isinstance(old, str) else None)
    if kind < 0.65:
        return _integer(chance, old)
    return chance.choice((None, True, False, [], {}, 0.5, -1.5, 1e308, [None], [[]], {"": None}, [old], {"a": old}, [old] * 50))


# ---- JSON ----

def _spots(value, found, holder=None, key=None):
    """Every (holder, key) of a value, itself included."""
    found.append((holder, key))
    for inner, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _spots(child, found, value, inner)
    return found


def _spoil_value(chance, whole):
    """Another value, another member or none at one place; (the whole, texts that stand for others in what is written)."""
    holder, key = chance.choice(_spots(whole, []))
    old = whole if holder is None else holder[key]
    kind, raw = chance.random(), []
    new = _value(chance, old)
    if kind < 0.15:
        raw.append(chance.choice(RAW).encode() if chance.random() < 0.7 else chance.choice(RAW_BYTES))
        new = "@RAW0@"
    if holder is None:
        return new, raw
    if kind > 0.9:
        del holder[key]
    elif kind > 0.8 and isinstance(holder, dict):
        holder[_text(chance, key)] = holder.pop(key)
    elif kind > 0.75 and isinstance(holder, list):
        holder.extend([old] * chance.choice((1, 2, 300)))
    elif kind > 0.7 and isinstance(old, (list, dict)):
        holder[key] = type(old)()
    else:
        holder[key] = new
    return whole, raw


def spoil_json(chance, body):
    """The same JSON with one or a few places spoilt; NEVER where it is none."""
    try:
        whole, raw = json.loads(body), []
    except (ValueError, RecursionError):
        return NEVER
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        whole, more = _spoil_value(chance, whole)
        raw = more or raw
    text = json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    return text.replace(b'"@RAW0@"', raw[0]) if raw else text


def _json(chance, answer):
    body = spoil_json(chance, answer.body)
    if body is NEVER:
        return NEVER
    answer.body = body
    return None


def _json_names(chance, answer):
    """Hostile names just where names stand that become paths."""
    try:
        whole = json.loads(answer.body)
    except (ValueError, RecursionError):
        return NEVER
    spots = [(holder, key) for holder, key in _spots(whole, []) if key in ("path", "rfilename")]
    if not spots:
        return NEVER
    for holder, key in chance.sample(spots, min(len(spots), chance.choice((1, 1, 3)))):
        name = chance.choice(NAMES if chance.random() < 0.5 else CLIMBING)
        holder[key] = name if chance.random() < 0.7 else f"{holder[key]}/{name}"
    answer.body = json.dumps(whole).encode()
    return None


def _deep_json(chance, answer):
    depth = chance.choice((100, 2048, 2049, 100000, 600000))
    answer.body = chance.choice((b"[", b'{"a":', b'[{"siblings":')) * depth
    return depth


def _large_json(chance, answer):
    size = chance.choice((1 << 20, (1 << 20) - 40, LARGE))
    answer.body = chance.choice((b" " * size, b'{"a":"' + b"x" * size + b'"}', b"[" + b"0," * (size // 2) + b"0]",
                                 b"[" + b'{"":0},' * (size // 7) + b"0]"))
    return size


# ---- events ----

def _events(chance, answer):
    """One event spoilt, doubled, dropped, moved, or written otherwise."""
    events = answer.body.split(b"\n\n")
    if len(events) < 3:
        return NEVER
    at = chance.randrange(len(events) - 1)
    kind = chance.randrange(12)
    if kind < 5 and events[at].startswith(b"data:"):
        body = spoil_json(chance, events[at][5:])
        events[at] = b"data: " + (b"{}" if body is NEVER else body)
    elif kind < 6:
        events.insert(at, events[at])
    elif kind < 7:
        del events[at]
    elif kind < 8:
        chance.shuffle(events)
    elif kind < 9:
        events.insert(at, chance.choice(ODD_EVENTS))
    elif kind < 10:
        answer.body = answer.body.replace(b"\n", chance.choice((b"\r", b"\r\n", b"\n\r", b"\n\n", b"")))
        return "lines"
    elif kind < 11:
        events = events[:at]
    else:
        start = chance.choice((b"data:", b"data:  ", b"Data: ", b"dat: ", b"data : "))
        events = [event.replace(b"data: ", start) for event in events]
    answer.body = b"\n\n".join(events)
    return kind


# ---- bytes of the body ----

def _flip(chance, answer):
    if not answer.body:
        return NEVER
    data = bytearray(answer.body)
    most = chance.choice((len(data), 64, 4096))
    for _ in range(chance.choice((1, 1, 3, 100))):
        data[chance.randrange(min(most, len(data)))] ^= 1 << chance.randrange(8)
    answer.body = bytes(data)
    return None


def _numbers(chance, answer):
    """Other numbers in the first kilobytes, where the headers of models have lengths and counts."""
    if len(answer.body) < 16:
        return NEVER
    data = bytearray(answer.body)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.choice((0, 4, 8, 16, chance.randrange(min(2048, len(data)))))
        size = chance.choice((4, 8))
        value = chance.choice((0, 1, 7, 8, 9, 12, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
                               0xffffffffffffffff, 1 << 40))
        data[at:at + size] = struct.pack("<Q", value)[:size]
    answer.body = bytes(data[:len(answer.body)])
    return None


def _cut_body(chance, answer):
    answer.body = answer.body[:chance.randrange(len(answer.body) + 1)]
    return len(answer.body)


def _insert(chance, answer):
    at = chance.randrange(len(answer.body) + 1)
    some = chance.choice((b"\0", b"\xff" * 9, b"\r\n", b"\n\n", b"{", b'"', b"0" * 70000, answer.body[:at],
                          bytes(chance.randrange(256) for _ in range(50))))
    answer.body = answer.body[:at] + some + answer.body[at:]
    return at


def _replace(chance, answer):
    size = len(answer.body)
    answer.body = chance.choice((b"", b"\0" * size, bytes(chance.randrange(256) for _ in range(min(size, 3000))),
                                 b"<!DOCTYPE html><html></html>", answer.body * 2,
                                 answer.body[size // 2:] + answer.body[:size // 2], b"x" * LARGE))
    return len(answer.body)


def _compress(chance, answer):
    """Compressed, and rightly so, cut, broken, not at all, or into a bomb."""
    packed = gzip.compress(chance.choice((answer.body, answer.body, b"\0" * (8 << 20), b"[" * (4 << 20))), 1)
    answer.body = chance.choice((packed, packed, packed[:-1], packed[:len(packed) // 2], packed + packed,
                                 packed[:30] + b"\xff" + packed[30:], answer.body))
    answer.set(b"Content-Encoding", chance.choice((b"gzip", b"gzip", b"gzip", b"deflate", b"gzip, gzip", b"br")))
    return len(answer.body)


# ---- the head ----

def _header_value(chance, name, answer):
    choices = HEADERS.get(name) or NAMES + NUMBERS
    value = chance.choice(choices)
    if name == "link":
        value = value.replace("{}", chance.choice(ADDRESSES + ("/api/models/acme/small/tree/main?cursor=" + "x" * 10,)))
    if name in ("content-length", "x-linked-size") and chance.random() < 0.3:
        value = str(len(answer.body) + chance.choice((-1, 1, -100, 100, 70000)))
    if name in ("etag", "x-linked-etag") and chance.random() < 0.5:
        value = f'"{value}"'
    if chance.random() < 0.97:
        value = value.replace("\n", "").replace("\r", "")
    return value.encode()


def _header(chance, answer):
    """Another value of a header that is there, or that means something."""
    there = [name.decode("latin-1").lower() for name, _ in answer.headers]
    name = chance.choice(there) if there and chance.random() < 0.5 else chance.choice(list(HEADERS))
    value = _header_value(chance, name, answer)
    if name in ("content-length", "transfer-encoding"):
        answer.framing, answer.closes = "kept", True
    answer.set(name.encode(), value)
    return name


def _header_twice(chance, answer):
    name = chance.choice(list(HEADERS))
    value = answer.get(name.encode()) or _header_value(chance, name, answer)
    answer.headers.insert(chance.randrange(len(answer.headers) + 1), (name.encode(), _header_value(chance, name, answer)))
    answer.headers.append((name.upper().encode(), value))
    if name in ("content-length", "transfer-encoding"):
        answer.framing, answer.closes = "kept", True
    return name


def _header_gone(chance, answer):
    if not answer.headers:
        return NEVER
    gone = chance.choice(answer.headers)[0].lower()
    answer.drop(gone)
    if gone in (b"content-length", b"transfer-encoding"):
        answer.framing, answer.closes = "none", True
    return gone.decode("latin-1")


def _header_odd(chance, answer):
    """What is no header, or hardly one."""
    answer.headers.insert(chance.randrange(len(answer.headers) + 1), chance.choice(ODD_HEADERS))
    return None


def _header_many(chance, answer):
    count = chance.choice((200, 2000, 6000))
    answer.headers += [(b"X-%d" % number, b"x" * 40) for number in range(count)]
    return count


def _status(chance, answer):
    answer.status = b"%d" % chance.choice(STATUSES)
    answer.closes = True
    return answer.status.decode()


def _first_line(chance, answer):
    line = chance.choice(FIRST_LINES)
    answer.version, answer.status, answer.reason = (line.split(b" ", 2) + [b"", b""])[:3]
    answer.closes = True
    return line[:20].decode("latin-1")


def _redirect(chance, answer):
    answer.status = b"%d" % chance.choice((301, 302, 303, 307, 308, 300, 304))
    answer.set(b"Location", chance.choice(ADDRESSES).encode())
    return answer.get(b"location")[:40].decode("latin-1")


# ---- the line ----

def _length(chance, answer):
    """A length that is not the body's, and then the end of the line."""
    near = b"%d" % (len(answer.body) + chance.choice((-1, 1, 1000, -10, 1 << 32)))
    answer.drop(b"content-length", b"transfer-encoding")
    answer.headers.append((b"Content-Length", chance.choice((near, chance.choice(NUMBERS).encode()))))
    answer.framing, answer.closes = "kept", True
    return answer.headers[-1][1][:30].decode()


def _chunks(chance, answer):
    """Chunks as nobody should send them."""
    body = answer.body
    answer.set(b"Transfer-Encoding", b"chunked")
    answer.drop(b"content-length")
    if chance.random() < 0.2:
        answer.headers.append((b"Content-Length", b"%d" % len(body)))
    size = chance.choice((b"%x" % len(body), b"%X" % len(body), b"0%x" % len(body), b"-1", b"ffffffffffffffff",
                          b"7fffffffffffffff", b"g", b"", b"0x5", b"%x" % (len(body) + 5),
                          b"%x" % max(0, len(body) - 5), b"%x;a=b" % len(body), b"%x;" % len(body) + b"x" * 30000,
                          b" %x" % len(body), b"+%x" % len(body), b"0" * 40 + b"1"))
    end = chance.choice((b"\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", b"\n0\n\n", b"\r\n", b"",
                         b"\r\n0\r\nETag: \"x\"\r\nX: " + b"y" * 5000 + b"\r\n\r\n", b"0\r\n\r\n", b"\r\n0\r\n"))
    answer.body = size + b"\r\n" + body + end
    answer.framing, answer.closes = "kept", True
    return size[:20].decode()


def _cut_line(chance, answer):
    answer.most = chance.randrange(len(answer.bytes()) + 1)
    if chance.random() < 0.3:
        answer.most = min(answer.most, chance.randrange(400))
    answer.closes = True
    answer.resets = chance.random() < 0.3
    return answer.most


def _pieces(chance, answer):
    answer.piece = chance.choice((1, 2, 7, 100)) if len(answer.body) < 3000 else chance.choice((1000, 4096))
    return answer.piece


def _interim(chance, answer):
    count = chance.choice((1, 3, 100))
    answer.closes = True
    answer.before = chance.choice((b"HTTP/1.1 100 Continue\r\n\r\n",
                                   b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=next\r\nETag: \"x\"\r\n\r\n", b"\r\n", b"\0",
                                   b"HTTP/1.1 102 Processing\r\nX: " + b"x" * 3000 + b"\r\n\r\n",
                                   b"HTTP/1.1 101 Switching Protocols\r\n\r\n")) * count
    return count


def _behind(chance, answer):
    """A second answer that nobody asked for, on a line that stays open."""
    other = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Repo-Commit: " + b"0" * 40 + b"\r\nETag: \"x\"\r\n\r\n{}"
    answer.behind = chance.choice((b"x", b"\r\n\r\n", other, b"\0" * 5000))
    return len(answer.behind)


GENERAL = (_header,) * 5 + (_status, _redirect) * 2 + (_header_twice, _header_gone, _header_odd, _header_many, _first_line, _length,
                                                       _chunks, _cut_line, _pieces, _interim, _behind)
OF_BODY = (_flip, _flip, _numbers, _cut_body, _insert, _replace, _compress)


def _choices(answer):
    kind = answer.get(b"content-type") or b""
    if answer.method == "HEAD":
        return GENERAL
    if kind.startswith(b"application/json"):
        return GENERAL + OF_BODY + (_json,) * 20 + (_json_names,) * 10 + (_deep_json, _large_json)
    if kind.startswith(b"text/event-stream"):
        return GENERAL + OF_BODY + (_events,) * 20
    return GENERAL + OF_BODY * 2


def mutate(chance, answer, outside):
    """Spoil an answer once or a few times; what was done. `outside` is a folder that nobody should write to, though they could."""
    done = []
    while not done or chance.random() < 0.2:
        change = chance.choice(_choices(answer))
        told = change(chance, answer)
        if told is not NEVER:
            done.append(change.__name__[1:] + ("" if told is None else f"({told})"))
    answer.body = answer.body.replace(b"@OUTSIDE@", outside.encode())
    answer.headers = [(name, value.replace(b"@OUTSIDE@", outside.encode())) for name, value in answer.headers]
    return done
