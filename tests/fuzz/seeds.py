"""Where the fuzz targets begin: SEEDS[TARGET] is a list of inputs, as well-behaved and as odd as we know them from the services
and from bugs of other clients. What fuzzing has found is in files beside this one, seeds/TARGET/NAME."""

import glob
import hashlib
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "0" * 63 + "1"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "torch_dtype": "float32",
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def text(value):
    return json.dumps(value).encode()


def lines(*parts):
    return "\n".join(parts).encode()


# ---- listings ----


def git_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def item(path, content, large=False):
    found = {"type": "file", "path": path, "size": len(content), "oid": git_id(content)}
    if large:
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        found["xetHash"] = SHA
    return found


TREE = [
    text(
        [
            item("config.json", b"{}"),
            item("weights/model.safetensors", b"x" * 8, True),
            {"type": "directory", "path": "weights", "oid": SHA[:40]},
        ]
    ),
    text([item("a", b""), item("a/b", b"")]),
    text([item("same", b""), item("same", b"")]),
    text([item("../outside", b"")]),
    text([item("ü/日本.txt", b"u")]),
    text([item("CON.txt", b"")]),
    text([{"type": "file", "path": "x"}]),
    b"[]",
    text(
        {
            "format_version": 1,
            "files": {
                "a.txt": {"size": 3, "blob_id": COMMIT},
                "b/c.bin": {"size": 134, "blob_id": COMMIT, "lfs_sha256": SHA, "lfs_size": 1 << 40, "xet_hash": SHA},
            },
        }
    ),
    text({"format_version": 2, "files": {}}),
    text(
        {
            "format": 1,
            "parent": "",
            "message": "first",
            "created_ms": 1,
            "files": {"a": {"size": 1, "sha256": SHA}, "b/c": {"size": 2, "sha256": SHA}},
        }
    ),
]

# ---- whole flows ----


def answers(letter, path, *given):
    """An operation of the hub, and its answers: (status, headers, body)."""
    head = f"{letter}\n{path}\n".encode()
    told = []
    for status, headers, body in given:
        fields = "".join(
            f"{name}: {value}\n" if not name.startswith(":") else f"{name} {value}".rstrip() + "\n" for name, value in headers
        )
        told.append(f"{status}\n{fields}\n".encode() + body)
    return head + b"\n====\n".join(told)


def heads(content, large=False):
    """What the hub says of a file, without its content."""
    if not large:
        return (
            200,
            [
                ("x-repo-commit", COMMIT),
                ("etag", f'"{git_id(content)}"'),
                ("content-length", len(content)),
                ("accept-ranges", "bytes"),
            ],
            b"",
        )
    return (
        302,
        [
            ("x-repo-commit", COMMIT),
            ("x-linked-etag", f'"{hashlib.sha256(content).hexdigest()}"'),
            ("x-linked-size", len(content)),
            ("location", "https://cdn.test/blob?signature=1"),
        ],
        b"",
    )


def body(content, *more):
    return 200, [("content-length", len(content)), *more], content


def part(first, last, total):
    return 206, [("content-range", f"bytes {first}-{last}/{total}"), (":fill", last - first + 1)], b""


SMALL, LARGE, FILLED = b'{"hidden_size": 64}', b"0123456789" * 7, b"x" * 1200000
INFO = text(
    {
        "id": "acme/small",
        "sha": COMMIT,
        "private": False,
        "gated": False,
        "downloads": 7,
        "tags": ["gguf"],
        "lastModified": "2026-01-01T00:00:00.000Z",
        "siblings": [
            {"rfilename": "config.json", "size": len(SMALL), "blobId": git_id(SMALL)},
            {"rfilename": "m.bin", "size": 70, "blobId": COMMIT, "lfs": {"sha256": SHA, "size": 70, "pointerSize": 134}},
        ],
    }
)
PAGE = text([item("config.json", SMALL), item("m.bin", LARGE, True)])
REFS = text(
    {
        "tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": COMMIT}],
        "converts": [],
        "pullRequests": [],
        "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}],
    }
)


def range_of(content):
    return 206, [("content-range", f"bytes 0-{len(content) - 1}/{len(content)}"), ("content-length", len(content))], content


HUB = [
    answers("i", "", (200, [], INFO)),
    answers("i", "", (404, [("x-error-code", "RepoNotFound"), ("x-request-id", "1")], b'{"error": "Repository not found"}')),
    answers("i", "", (302, [("location", "/api/models/acme/other/revision/main")], b""), (200, [], INFO)),
    answers(
        "l",
        "",
        (200, [], INFO),
        (200, [("link", '<https://hub.test/api/models/acme/small/tree/x?cursor=1>; rel="next"')], PAGE),
        (200, [], text([item("z", b"")])),
    ),
    answers("l", "weights", (200, [], INFO), (200, [], PAGE)),
    answers("r", "", (200, [], REFS)),
    answers("e", "config.json", heads(SMALL)),
    answers("e", "config.json", (404, [("x-error-code", "EntryNotFound"), ("x-repo-commit", COMMIT)], b"")),
    answers("d", "config.json", heads(SMALL), body(SMALL)),
    answers("d", "config.json", heads(SMALL), range_of(SMALL)),
    answers("d", "m.bin", heads(LARGE, True), body(LARGE)),
    answers("d", "m.bin", heads(LARGE, True), range_of(LARGE)),
    answers(
        "d", "m.bin", heads(LARGE, True), (200, [("content-length", 70), (":piece", 3), (":cut", "")], LARGE[:30]), body(LARGE)
    ),
    answers(
        "d", "m.bin", heads(FILLED, True), *(part(at, min(at + 524288, 1200000) - 1, 1200000) for at in range(0, 1200000, 524288))
    ),
    answers(
        "d",
        "m.bin",
        heads(FILLED, True),
        part(0, 524287, 1200000),
        (206, [("content-range", "bytes 524288-1048575/1200000"), (":fill", 100000), (":cut", "")], b""),
        part(624288, 1048575, 1200000),
        part(1048576, 1199999, 1200000),
    ),
    answers("d", "m.bin", heads(LARGE, True), (200, [("content-encoding", "gzip")], LARGE), body(LARGE)),
    answers("d", "../../x", heads(SMALL)),
    answers(
        "d", "config.json", (200, [("x-repo-commit", COMMIT), ("etag", '"../../evil"'), ("content-length", 2)], b""), body(b"{}")
    ),
    answers("s", "", (200, [], INFO), (200, [], PAGE), body(SMALL), body(LARGE)),
    answers("s", "", (200, [], INFO), (200, [], PAGE), range_of(SMALL), range_of(LARGE)),
    answers("h", "", (200, [], INFO), (200, [], PAGE), range_of(SMALL), range_of(LARGE)),
    answers("f", "config.json", body(SMALL, ("x-repo-commit", COMMIT))),
    answers("f", "config.json", body(b"x" * 10, (":fill", 150000), ("content-length", 150010))),
    answers(
        "f",
        "config.json",
        (200, [("content-length", len(SMALL)), (":cut", "")], SMALL[:5]),
        (206, [("content-range", "bytes 5-18/19")], SMALL[5:]),
    ),
    answers("p", "", (200, [], INFO), (200, [], text([item("config.json", text(CONFIG))])), range_of(text(CONFIG))),
]

# How many of them must be refused: no such repository, no such file, a path and an etag that lead elsewhere.
HUB_REFUSED = 4


def chunk(**delta):
    return (
        b"data: "
        + text({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        + b"\n\n"
    )


STOP = b"data: " + text({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"\n\n"
USAGE = b"data: " + text({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}) + b"\n\n"
TOOL = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}]
DONE = b"data: [DONE]\n\n"


def question(letter, status, headers, content):
    return f"{letter}\n{status}\n".encode() + "".join(f"{name}: {value}\n" for name, value in headers).encode() + b"\n" + content


EVENTS = ("content-type", "text/event-stream")
INFERENCE = [
    question("c", 200, [EVENTS], chunk(role="assistant") + chunk(content="Hä") + chunk(content="llo") + STOP + USAGE + DONE),
    question("c", 200, [EVENTS], chunk(reasoning_content="hm") + chunk(tool_calls=TOOL) + STOP + DONE),
    question(
        "c", 200, [EVENTS], b': ping\r\n\r\nevent: error\r\ndata: {"error": {"message": "out of memory", "code": 500}}\r\n\r\n'
    ),
    question("c", 200, [EVENTS], chunk(content="cut") + b'data: {"choi'),
    question(
        "c",
        200,
        [("content-type", "application/json")],
        text({"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}),
    ),
    question("c", 429, [("retry-after", "1")], text({"error": {"message": "slow down", "type": "rate", "code": "rate_limit"}})),
    question("c", 400, [], text({"object": "error", "message": "no such model", "code": 404})),
    question("p", 200, [EVENTS], b"data: " + text({"choices": [{"index": 0, "text": "abc"}]}) + b"\n\n" + DONE),
    question(
        "p", 200, [("content-type", "application/json")], text({"choices": [{"index": 1, "text": "x", "finish_reason": "length"}]})
    ),
    question(
        "m",
        200,
        [],
        text(
            {"object": "list", "data": [{"id": "tiny", "owned_by": "me", "max_model_len": 2048}, {"id": "x", "meta": {"n_ctx": 1}}]}
        ),
    ),
]

# ---- files of models ----


def gguf_text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(pairs, tensors, version=3):
    """pairs: (key, type, packed value); tensors: (name, dimensions, type, offset)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    head += b"".join(gguf_text(key) + struct.pack("<I", kind) + value for key, kind, value in pairs)
    for name, dimensions, kind, offset in tensors:
        head += gguf_text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
    return head + b"\0" * (-len(head) % 32)


def number(key, value):
    return f"llama.{key}", 4, struct.pack("<I", value)


LLAMA = [
    ("general.architecture", 8, gguf_text("llama")),
    number("block_count", 2),
    number("embedding_length", 64),
    number("attention.head_count", 4),
    number("attention.head_count_kv", 2),
    number("context_length", 2048),
    number("feed_forward_length", 128),
]
TOKENS = ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 3) + gguf_text("a") + gguf_text("b") + gguf_text("ü"))
GGUF = [
    gguf(
        [*LLAMA, TOKENS],
        [("token_embd.weight", (64, 3), 0, 0), ("blk.0.attn_q.weight", (64, 64), 2, 1024), ("output_norm.weight", (64,), 0, 8192)],
    )
    + b"x" * 64,
    gguf(
        [
            LLAMA[0],
            ("llama.attention.head_count_kv", 9, struct.pack("<IQ4I", 4, 4, 1, 2, 0, 2)),
            number("block_count", 4),
            number("expert_count", 8),
            number("expert_used_count", 2),
            ("general.alignment", 4, struct.pack("<I", 64)),
            ("f", 6, struct.pack("<f", 1)),
            ("b", 7, b"\1"),
            ("d", 12, struct.pack("<d", 2)),
        ],
        [("blk.0.ffn_gate_exps.weight", (64, 64, 8), 12, 0)],
    ),
    gguf([], [], 2),
    # Without a vocabulary, and more parameters than can be counted, of a type that is not known.
    gguf(LLAMA, [("a.weight", (64, 1 << 56), 99, 0), ("b.weight", (64, 1 << 56), 99, 1024), ("c.weight", (64,), 0, 8192)]),
    b"GGUF" + struct.pack("<IQQ", 3, 1 << 63, 1 << 63),
    b"GGUF\0\0\0\3",
    b"",
]


def safetensors(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def tensor(dtype, shape, first, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, end]}


SAFETENSORS = [
    safetensors({"__metadata__": {"format": "pt"}, "a": tensor("F32", [2, 3], 0, 24), "b": tensor("BF16", [4], 24, 32)}, b"x" * 32),
    safetensors(
        {"scalar": tensor("I64", [], 0, 8), "empty": tensor("F16", [0, 5], 8, 8), "new": tensor("F8_E4M3", [8], 8, 16)}, b"x" * 16
    ),
    safetensors({"a": tensor("F32", [1 << 40, 1 << 40], 0, 8)}),
    safetensors({"a": tensor("F32", [2], 0, 4), "b": tensor("F32", [1], 2, 6)}),
    safetensors(b'{"a\\u00e9": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}   ', b"x"),
    struct.pack("<Q", 1 << 62),
    b"\2\0\0\0\0\0\0\0{}",
    b"",
]

CONFIGS = [
    text(CONFIG),
    text(
        {
            **CONFIG,
            "model_type": "gemma3_text",
            "sliding_window": 512,
            "head_dim": 32,
            "layer_types": ["sliding_attention", "full_attention"],
        }
    ),
    text(
        {
            **CONFIG,
            "model_type": "qwen3_moe",
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [0],
        }
    ),
    text(
        {
            **CONFIG,
            "model_type": "deepseek_v3",
            "kv_lora_rank": 16,
            "q_lora_rank": 24,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 16,
            "v_head_dim": 16,
            "n_routed_experts": 8,
            "n_shared_experts": 1,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "first_k_dense_replace": 1,
        }
    ),
    text(
        {
            "text_config": CONFIG,
            "vision_config": {"hidden_size": 1},
            "model_type": "gemma3",
            "quantization_config": {"quant_method": "gptq", "bits": 4},
        }
    ),
    text(
        {
            **CONFIG,
            "hidden_size": 1 << 31,
            "num_hidden_layers": 100000,
            "vocab_size": 1 << 31,
            "intermediate_size": 1 << 31,
            "num_attention_heads": 1 << 31,
            "num_key_value_heads": 1 << 31,
            "head_dim": 1 << 31,
        }
    ),
    text(
        {
            "metadata": {"total_size": 8},
            "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
        }
    ),
    text({"weight_map": {"a": "../x.safetensors"}}),
]

# ---- a job ----


def folder(files):
    """Files as one input: each behind a line with its name. A text is where a link leads to."""
    def rest(content):
        return b"\n" + content if isinstance(content, bytes) else b" -> " + content.encode() + b"\n"
    return b"\n".join(b"==== " + name.encode() + rest(content) for name, content in files.items())


JOB = {
    "format": 1,
    "id": "local:0123456789ab",
    "mode": "train",
    "name": "try",
    "model": "acme/small",
    "accelerator": "local:cpu",
    "labels": {"a": "b"},
    "output": "/tmp/out",
    "submitted_ms": 1700000000000,
}
STATE = {
    **JOB,
    "phase": "running",
    "attempt": 1,
    "port": 8000,
    "process": {"id": 999999999, "start": 5},
    "supervisor": {"id": 999999998, "start": 6},
    "started_ms": 1700000000001,
    "peak_memory_bytes": 4096,
}
ENDED = {
    **STATE,
    "phase": "ended",
    "result": "failed",
    "cause": "memory",
    "message": "it ran out of memory",
    "hint": "Give it more.",
    "exit_code": 137,
    "signal": 9,
    "last_lines": "a\nb\n",
    "ended_ms": 1700000000002,
    "retry_helps": 1,
}
SPEC = {
    "format": 1,
    "id": "local:0123456789ab",
    "home": "/tmp",
    "output": "/tmp/out",
    "key": "secret",
    "health": "/health",
    "time_ms": 0,
    "memory_bytes": 0,
    "grace_ms": 1000,
    "port": 0,
    "command": ["echo", "$(TENON_OUTPUT)", "$$"],
    "variables": ["TENON_OUTPUT=/tmp/out"],
    "recipe_environment": [["A", "$(TENON_PORT)"]],
    "environment": ["B=c"],
    "outputs": ["model"],
}
STATES = [
    folder({"job.json": text(JOB)}),
    folder({"job.json": text(JOB), "spec.json": text(SPEC), "state.json": text(STATE),
            "log": b"loss 1\n{'loss': 0.5}\n\xff\xfe\rx"}),
    folder({"job.json": text(JOB), "spec.json": text(SPEC), "state.json": text(ENDED), "log": b"Traceback\n"}),
    folder({"job.json": text({**JOB, "mode": "serve"}), "spec.json": text({**SPEC, "port": 8000}),
            "state.json": text({**STATE, "mode": "serve"}), "ready.json": b'{"ready_ms": 5}'}),
    folder({"state.json": text({"format": 2, "phase": "dreaming"})}),
    folder({"state.json": b"[]", "job.json": b""}),
    folder({"job.json": text(JOB), "spec.json": text({**SPEC, "command": ["$(NOBODY)"]}),
            "stop.json": b'{"reason": "stop", "grace_ms": -1}'}),
]

MACHINES = [
    folder({
        "proc/cpuinfo": b"processor\t: 0\nmodel name\t: Some CPU  @ 2.0GHz\nflags\t\t: avx2 avx512f\n\nprocessor\t: 1\n",
        "proc/meminfo": b"MemTotal: 1000 kB\nMemAvailable: 500 kB\n",
        "proc/self/status": b"Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n",
        "proc/self/cgroup": b"0::/a/b\n",
        "proc/self/mountinfo": b"30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/a/b/memory.max": b"400000\n",
        "sys/fs/cgroup/a/cpu.max": b"150000 100000\n",
        "proc/sys/kernel/hostname": b"host\n",
    }),
    folder({
        "proc/cpuinfo": b"processor : 0\nCPU implementer : 0x41\n",
        "proc/self/cgroup": b"5:memory:/x\n3:cpu,cpuacct:/x\n",
        "proc/self/mountinfo": b"31 23 0:27 /x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": b"9223372036854771712\n",
        "sys/devices/system/cpu/online": b"0-3,5\n",
    }),
    folder({
        "proc/driver/nvidia/version": b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54\n",
        "sys/class/kfd/kfd/topology/nodes/1/properties":
            b"cpu_cores_count 0\nsimd_count 440\ngfx_target_version 90402\nvendor_id 4098\n",
        "sys/class/kfd/kfd/topology/nodes/1/mem_banks/0/properties": b"heap_type 1\nsize_in_bytes 68702699520\n",
        "sys/bus/pci/devices/0000:00:04.0/vendor": b"0x1ae0\n",
        "sys/bus/pci/devices/0000:00:04.0/device": b"0x0063\n",
    }),
]

MODEL = "hub/models--acme--small"
SNAPSHOT = f"{MODEL}/snapshots/{COMMIT}"
HISTORY = "repositories/acme/small/.tenon"
LISTED = {"format_version": 1, "files": {"config.json": {"size": len(SMALL), "blob_id": git_id(SMALL)}}}
OURS = hashlib.sha256(LARGE).hexdigest()
CACHES = [
    folder({
        f"{MODEL}/refs/main": COMMIT.encode(),
        f"{MODEL}/blobs/{git_id(SMALL)}": SMALL,
        f"{SNAPSHOT}/config.json": f"../../blobs/{git_id(SMALL)}",
        f"{MODEL}/trees/{COMMIT}.json": text(LISTED),
        f"{MODEL}/.no_exist/{COMMIT}/gone.txt": b"",
    }),
    folder({
        f"{MODEL}/refs/main": COMMIT.encode(),
        f"{MODEL}/refs/refs/pr/1": COMMIT.encode(),
        f"{MODEL}/blobs/{SHA}": "../../blobs/00/" + SHA,
        f"hub/blobs/00/{SHA}": b"not what its name says",
        f"hub/blobs/00/{SHA}.refs": b"models--acme--small\n",
        f"{SNAPSHOT}/a/weights.bin": f"../../../blobs/{SHA}",
        f"{SNAPSHOT}/config.json": SMALL,
        f"{MODEL}/blobs/{OURS}.0123abcd.tenon.incomplete": LARGE[:20],
        f"{MODEL}/blobs/{OURS}.j1.tenon.incomplete": b"tenon-partial 1\n",
        f"{MODEL}/blobs/{SHA}.incomplete": b"half",
        "hub/version.txt": b"1",
        "hub/datasets--x": b"",
        "hub/.locks/models--acme--small/x.lock": b"",
    }),
    folder({"repositories/acme/small/config.json": SMALL, "repositories/acme/small/a/b.txt": b"x", "here/config.json": SMALL,
            "here/.cache/huggingface/download/config.json.metadata": f"{COMMIT}\n{git_id(SMALL)}\n1700000000.5\n".encode()}),
    folder({
        f"{HISTORY}/refs/heads/main": COMMIT.encode(),
        f"{HISTORY}/refs/heads/a/b": COMMIT.encode(),
        f"{HISTORY}/commits/{COMMIT}.json": text({"format": 1, "parent": "", "message": "", "created_ms": 1,
                                                  "files": {"m.bin": {"size": len(LARGE), "sha256": OURS}}}),
        f"{HISTORY}/blobs/{OURS}": LARGE,
        f"{HISTORY}/view": COMMIT.encode(),
        "repositories/acme/small/m.bin": LARGE,
        "here/m.bin": b"another",
        "here/new/file.txt": b"new",
    }),
    folder({f"{MODEL}/refs/main": b"../../../x", f"{MODEL}/snapshots/evil": "../../..", f"{MODEL}/blobs": "../..",
            "hub/models--a--..": b""}),
]

PARTIAL = lines(
    "tenon-partial 1",
    "data BASE.0123abcd.tenon.incomplete",
    "size 100000",
    "sequence 7",
    "owner 123 456 boot-id 4026531836 host",
    "durable 0-4096 8192-100000",
    "",
)

SEEDS = {
    "json": [
        b"{}",
        b"[1, -2.5e3, 123456789012345678901234567890, true, null]",
        '{"ü": "\\ud83d\\ude00", "a": {"b": [[]]}}'.encode(),
        b'{"a": 1, "a": 2}',
        b'{"a": "\\u0000"}',
        b"[" * 101 + b"]" * 101,
        b'{"\xff": 1}',
        b"[1] x",
        b"",
        b"[1e400]",
        b"[-0.0, 0.1, 5e-324]",
    ],
    "tree": TREE,
    "hub": HUB,
    "cache": CACHES,
    "inference": INFERENCE,
    "events": [
        chunk(content="a") + STOP + DONE,
        b"\xef\xbb\xbfdata: a\r\ndata: b\r\n\r\nevent: x\rdata\r\r: note\n\nid: 7\nretry: 5\ndata:c\n\n",
        b"data: 1234567\n\ndata: no\n\n",
        b"event: " + b"n" * 300 + b"\ndata: x\n\n",
        b"data: " + b"x" * 5000 + b"\n\n",
        b"data\n\n",
        b"\xef\xbb",
        b"data: a\n",
    ],
    "headers": [
        lines(
            "content-range: bytes 0-99/1000",
            'link: <https://hub.test/api?cursor=a%3D>; rel="next", <https://hub.test/first>; rel="first"',
            'etag: W/"0123abc"',
            "x-linked-size: 99",
            "",
        ),
        lines(
            "content-range: bytes 5-*/7",
            "link: </relative?x=1>;rel=next",
            'etag: "../../etc/passwd"',
            "x-linked-size: 99999999999999999999",
            "",
        ),
        lines("content-range: bytes 99-0/1", 'link: <a>; title="rel=next; <b>"; rel="prev next"', "etag: con", ""),
        b"link: <",
        b"content-range: bytes */10\n",
        b"etag:\n",
    ],
    "url": [
        lines("http://0%7f.-1/", "http:,", "127.0.0.1"),
        lines("https://user:secret@hub.test:443/a/b?c=d#e", "../x y?z", "hub.test,.example,10.0.0.0/8"),
        lines("http://[::1]:8080/", "//other.test/x", "::1,*"),
        lines("HTTPS://HUB.test", "http://hub.test/", "*"),
        lines("http://a@b@c/", "file:///etc/passwd", ""),
        lines("https://xn--bcher-kva.test/ü", "?q", "127.0.0.0/8"),
        b"ftp://x",
        b"https:///x",
        b"http://1.2.3.4:99999/",
        b"http://0x7f.1/\nhttp:x\n127.0.0.1",
    ],
    "names": [
        lines("hf://huggingface.co/name", "x"),
        lines("owner/name@refs/pr/3", "*.json"),
        lines("hf://datasets/owner/name@a%2Fb", "[!a-z]*"),
        lines("https://huggingface.co/owner/name/tree/main/x", "a?b"),
        lines("models--owner--name", "models--*"),
        lines("hf://models/datasets/owt", "x"),
        lines("models--datasets--owt", "x"),
        lines("../../etc/passwd", "*/"),
        lines("COM1.txt", "[]"),
        lines("a\\b", "a\\b"),
        lines('W/"abc"', "**a*b"),
        lines("local:cuda:0", "x"),
        lines("cuda:GPU-1b2c", "[a-"),
        lines("base.j12.tenon.incomplete", "*"),
        lines("spaces/a/b", "spaces/*/b"),
        lines("0123456789ab", "?" * 12),
        lines("ü" * 130, "ü*"),
        b"\xbc\n\xc2\xbc",
        b"",
        b"\xff\xfe",
    ],
    "journal": [
        PARTIAL,
        PARTIAL.replace(b"owner 123 456 boot-id 4026531836 host", b"owner -"),
        PARTIAL.replace(b"0-4096 8192-100000", b""),
        PARTIAL.replace(b"BASE", b"../x"),
        PARTIAL.replace(b"8192-100000", b"4096-99"),
        PARTIAL.replace(b"100000", b"9223372036854775807"),
        b"tenon-partial 2\n",
        b"\0",
    ],
    "recipe": [
        text(
            {
                "command": ["python3", "train.py", "--model", "$(TENON_MODEL)", "$(A)$$"],
                "image": "python:3",
                "environment": {"A": "1", "B_2": "$(TENON_OUTPUT)"},
                "resources": {"cpus": 1.5, "memory_bytes": 1 << 30, "time_ms": 1000},
                "inputs": {"data": "acme/data"},
                "outputs": ["model.safetensors", "a/b"],
                "port": 0,
                "health": "/health?x=1",
            }
        ),
        text({"command": ["$(", "$()", "$(A", "$x", "$$$"]}),
        text({"command": []}),
        text({"command": [""], "TENON_X": 1}),
        text({"command": ["a"], "environment": {"TENON_A": "1"}}),
        text({"command": ["a"], "outputs": ["../x"]}),
        text({"command": ["a"], "port": 65536}),
        text({"command": ["a"], "resources": {"cpus": 1e300}}),
        b"[]",
        b"null",
    ],
    "log": [
        b"{'loss': 0.5, 'grad_norm': nan, 'epoch': 1.0}\n{\"loss\": 1e-3, \"step\": 7, \"text\": \"\\u00e9\"}\n"
        b"INFO {'a': (1, 2), 'b': None, 'c': inf, 'd': 'it\\'s'}\n",
        b"  5%|#    | 1/20\r 10%|##   | 2/20\r\n\xff\xfe\x80 line\n\x1b[31mred\x1b[0m\nno end",
        b"Traceback (most recent call last):\n  File \"x.py\", line 1\nModuleNotFoundError: No module named 'torch'\n",
        b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n",
        b"OSError: [Errno 98] Address already in use\n",
        b"x" * 70000,
        "ü".encode() * 33000,
        b"{'a': '\\x",
        b"\r\r\n\n\r",
        b"OSError: [Errno 28] No space left on device\nKilled\n",
    ],
    "settings": [
        lines(
            "hub.endpoint=https://mirror.test",
            "hub.token= hf_secret \t",
            "hub.files=64",
            "hub.offline=YES",
            "home=/home/x",
            "hub.cache=~/c",
            "",
        ),
        lines("hub.files=0", "hub.files=99999999999999999999", "nothing=1", "=", "hub.token=", ""),
        lines(
            "hub.part_bytes=4294967296",
            "transport.no_proxy=a,b",
            "job.path=:",
            "hub.home={home}",
            "home=~",
            "accelerator.root=",
            "",
        ),
    ],
    "config": CONFIGS,
    "safetensors": SAFETENSORS,
    "gguf": GGUF,
    "state": STATES,
    "machine": MACHINES,
}


def all_of(target):
    """{name: input} of a target, those that were found too."""
    found = {f"{number:02}": content for number, content in enumerate(SEEDS[target])}
    for path in sorted(glob.glob(os.path.join(HERE, "seeds", target, "*"))):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = file.read()
    return found


def write(target, folder_of_target):
    """The seeds of a target as files; their paths."""
    os.makedirs(folder_of_target, exist_ok=True)
    paths = []
    for name, content in all_of(target).items():
        paths.append(os.path.join(folder_of_target, name))
        with open(paths[-1], "wb") as file:
            file.write(content)
    return paths
