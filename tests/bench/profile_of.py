"""Where a program's processor time goes, by Linux's perf: a sample counts for the library it was taken in, or in the kernel for the
system call that it served. {} where perf is not there or may not look."""

import collections
import os
import re
import shutil
import subprocess

# What system calls are for.
KINDS = {
    "writing": ("write", "pwrite64", "writev", "ftruncate", "fallocate", "copy_file_range"),
    "making durable": ("fsync", "fdatasync", "sync_file_range", "syncfs", "io_submit", "io_getevents"),
    "files and names": ("openat", "open", "close", "rename", "renameat2", "symlink", "link", "unlink", "mkdir", "newfstatat",
                        "fstat", "stat", "lstat", "readlink", "flock", "fchmod", "getdents64", "statfs", "access", "unlinkat"),
    "network": ("recvfrom", "recvmsg", "sendto", "sendmsg", "connect", "socket", "setsockopt", "getsockopt", "getpeername",
                "getsockname"),
    "waiting": ("poll", "epoll_wait", "epoll_ctl", "futex", "rt_sigprocmask", "rt_sigtimedwait", "rt_sigpending"),
    "starting": ("execve", "mmap", "munmap", "mprotect", "brk", "exit_group"),
    "reading again": ("pread64",),
}
KIND_OF = {call: kind for kind, calls in KINDS.items() for call in calls}
LIBRARIES = {"libcrypto": "hash and encryption", "libssl": "TLS", "libcurl": "libcurl", "libnghttp2": "HTTP/2", "libtenon": "tenon",
             "libjansson": "JSON", "libc": "libc", "ld-linux-x86-64": "loading"}


def _kind(frames):
    """What a sample was taken in, its innermost frame first."""
    place = os.path.basename(frames[0][1])
    if "kernel" not in place and "vdso" not in place and not place.startswith("["):
        return LIBRARIES.get(place.split(".so")[0], place)
    for symbol, _ in frames:
        call = re.fullmatch(r"(?:__x64_|__arm64_|__se_|__do_)sys_(\w+)", symbol)
        if call:
            return KIND_OF.get(call[1], call[1])
    return "faults and interrupts" if any("exc_" in symbol or "fault" in symbol for symbol, _ in frames) else "kernel"


def _read(text):
    counts, frames = collections.Counter(), []
    for line in text.splitlines() + [""]:
        frame = re.match(r"\s+[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.+)\)$", line)
        if frame:
            frames.append((frame[1], frame[2]))
        elif frames:
            counts[_kind(frames)] += 1
            frames = []
    total = sum(counts.values())
    return {kind: count / total for kind, count in counts.items()} if total else {}


def run(bench, peer, repeat=1):
    """{what: part of the time} of what a peer does, done some times more."""
    if not shutil.which("perf"):
        return {}
    data = os.path.join(bench.folder, "perf.data")
    counts = collections.Counter()
    for _ in range(repeat):
        folder = bench.next_folder(peer)
        done = subprocess.run(["perf", "record", "-q", "-g", "-F", "999", "-o", data, "--", *peer.command(folder)], check=False,
                              env=bench.environment(folder, peer.variables), stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0 or not os.path.exists(data):
            return {}
        told = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym,dso"], check=False, capture_output=True, text=True,
                              errors="replace")
        for kind, part in _read(told.stdout).items():
            counts[kind] += part / repeat
    return dict(counts)
