"""Runs a program that a model wrote, in a limited child process.

Limited: 10 s of wall clock, 5 s of CPU, 1 GiB of memory, 1 MiB a file, 64 open files, no site packages, an empty
environment, a temporary directory that is removed, a session of its own that is killed as a whole, and on Linux, where
the kernel lets us (user namespaces, or root), no network. Not limited: reading what this user may read. It stops
accidents, not an attacker, so nothing runs unless the user allows it.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile

WALL, CPU, MEMORY, FILE, FILES = 10.0, 5, 1 << 30, 1 << 20, 64

CHILD = """
import ctypes, os, resource, sys
for what, most in ((resource.RLIMIT_CPU, {cpu}), (resource.RLIMIT_AS, {memory}), (resource.RLIMIT_FSIZE, {file}),
                   (resource.RLIMIT_NOFILE, {files}), (resource.RLIMIT_CORE, 0)):
    try:
        resource.setrlimit(what, (most, most))
    except (ValueError, OSError):
        pass
NEWUSER, NEWNET = 0x10000000, 0x40000000
cut = False
if sys.platform == "linux":
    library = ctypes.CDLL(None)
    cut = library.unshare(NEWNET) == 0 or library.unshare(NEWUSER | NEWNET) == 0
source = sys.stdin.read()
said = os.dup(1)
null = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(null, number)
name, token = "answer", {token!r}
exec(compile(source, name, "exec"), {{"__name__": name}})
os.write(said, (token + (" cut" if cut else "")).encode())
os._exit(0)
"""


def supported() -> bool:
    """Whether a child can be limited on this system (Linux, macOS)."""
    return os.name == "posix"


def passes(program: str) -> bool:
    """Whether the program runs to its end without an error, within the limits."""
    return run(program)[0]


def network_is_cut() -> bool:
    """Whether such a child has no network on this machine."""
    return run("pass")[1]


def run(program: str) -> tuple[bool, bool]:
    """Whether it ended well, and whether the network was cut off. Only a run to the last line says the token, so
    leaving early with exit code 0 is no pass."""
    token = secrets.token_hex(16)
    child = CHILD.format(cpu=CPU, memory=MEMORY, file=FILE, files=FILES, token=token)
    with tempfile.TemporaryDirectory(prefix="speccas-code-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", child],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        said = b""
        try:
            said, _ = process.communicate(program.encode("utf-8", "replace"), timeout=WALL)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()  # not read to its end: a grandchild that got away would hold it open
    words = said.decode("ascii", "replace").split()
    return words[:1] == [token], words[1:] == ["cut"]
