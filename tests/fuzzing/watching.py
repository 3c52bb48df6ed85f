"""What reading a file must not do: write, connect, start or load anything, take long or much memory."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

SECONDS = 60
"""No file takes more of the processor's time than this; the command line gives an architecture as much."""

GIBIBYTES = 6
"""More address space than this takes no file: it would be a MemoryError."""

FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "socket.connect"),
    *("pickle.find_class", "ctypes.dlopen", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link"),
    *("os.chmod", "os.chown", "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile"),
)


class Caught(BaseException):
    """Something happened that must not; no handler of ours takes it for an error."""


_allowed: list[str] = []
_watching = False


def _audit(event: str, given: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in FORBIDDEN:
        raise Caught(f"{event} {given!r:.200}")
    if event == "open":
        path, mode, flags = given
        writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes and not any(str(path).startswith(place) for place in _allowed):
            raise Caught(f"{path} is written")
    if event == "exec" and not Path(given[0].co_filename).exists():  # what is imported stands in a file
        raise Caught(f"code is run: {given[0]!r}")


def _too_long(*_: object) -> NoReturn:
    raise Caught(f"it took longer than {SECONDS} s")


def start() -> None:
    """Watch this process from now on, once what is loaded late has been loaded."""
    import_module("scipy.special")
    sys.addaudithook(_audit)
    signal.signal(signal.SIGPROF, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTES << 30, resource.RLIM_INFINITY))


@contextmanager
def watched(*writable: str) -> Iterator[None]:
    """Raise :class:`Caught` at whatever is forbidden within; only what begins with ``writable`` may be written."""
    global _watching
    _allowed[:] = writable
    _watching = True
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _watching = False
