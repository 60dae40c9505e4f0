"""A long-lived child process for code that may crash, hang or eat the memory.

Requests and answers are one JSON object per line. The child is started when it is first asked
and again after it died, so a native crash is an answer and not the end of the caller.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tfsparse.errors import one_line

_ROOT = Path(__file__).resolve().parents[2]
_BOOTSTRAP = "import sys; sys.path.insert(0, {root!r}); from {module} import main; main()"


class Worker:
    """A child process that answers requests.

    Args:
        module: a module with `main()`, which calls `serve`.
        timeout: seconds the child may take for one answer, its start included.
    """

    def __init__(self, module: str, *, timeout: float = 120.0) -> None:
        self.module = module
        self.timeout = timeout
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, request: dict[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
        """The child's answer to `request`.

        Returns:
            What the child answered; `{"error": line}` when it raised, and `{"error": line,
            "crashed": True}` when it died, hung or answered no JSON.
        """
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = _read_line(process.stdout.fileno(), timeout or self.timeout)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self.close()
            return _crash(f"gave no answer within {timeout or self.timeout:g} s")
        if not line.endswith(b"\n"):
            return _crash(self._obituary())
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            self.close()
            return _crash("gave an answer that is no JSON object")
        return answer

    def close(self) -> None:
        """End the child; asking again starts a new one."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
        if self._stderr is not None:
            self._stderr.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the child
        code = _BOOTSTRAP.format(root=str(_ROOT), module=self.module)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self.starts += 1
        return self._process

    def _obituary(self) -> str:
        """How the child ended, with the last thing it said."""
        assert self._process is not None and self._stderr is not None
        code = self._process.wait()
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 2000))
        said = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        self.close()
        end = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                end = signal.Signals(-code).name
        # Only an abort says why; before any other end the last line is about something else.
        why = _printable(said[-1]) if said and code in (1, -signal.SIGABRT) else ""
        return f"crashed ({end})" + (f": {why}" if why else "")


def serve(answer: Any, *, memory_limit: int | None = None) -> None:
    """The child's side: answer every line of stdin until it ends.

    Args:
        answer: function from request to answer, both JSON objects; what it raises becomes
            `{"error": line}`.
        memory_limit: bytes of address space, where the system can limit it.
    """
    # Native code prints to file descriptor 1; answers must not be mixed with that.
    channel = os.dup(1)
    os.dup2(2, 1)
    if memory_limit is not None:
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        try:
            result = answer(json.loads(line))
        except Exception as error:  # the caller gets the line, whatever it was
            result = {"error": f"{_printable(one_line(error))}"}
        data = json.dumps(result).encode() + b"\n"
        while data:
            data = data[os.write(channel, data) :]


def _read_line(descriptor: int, timeout: float) -> bytes:
    """Bytes up to a newline or the end of the stream."""
    deadline = time.monotonic() + timeout
    received = b""
    while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            break
        received += chunk
    return received


def _crash(text: str) -> dict[str, Any]:
    return {"error": text, "crashed": True}


def _printable(text: str) -> str:
    """One short line without control characters: the text may come from a hostile file."""
    clean = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return clean if len(clean) <= 300 else clean[:297] + "..."
