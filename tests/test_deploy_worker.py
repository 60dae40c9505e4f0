"""The child process that may crash."""

import os
import time

import pytest

from tfsparse.deploy.worker import Worker

CHILD = """
import ctypes, os, sys, time
from tfsparse.deploy.worker import serve

def answer(request):
    what = request["what"]
    if what == "raise":
        raise ValueError("line one\\nline two\\x07")
    if what == "segfault":
        ctypes.string_at(0)
    if what == "abort":
        sys.stderr.write("terminate called\\n"); sys.stderr.flush(); os.abort()
    if what == "exit":
        os._exit(3)
    if what == "sleep":
        time.sleep(60)
    if what == "print":
        os.write(1, b"native noise\\n"); print("python noise")
    if what == "memory":
        return {"size": len(bytearray(8 << 30))}
    return {"pid": os.getpid(), "echo": request.get("text")}

def main():
    serve(answer, memory_limit=2 << 30)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    (tmp_path / "child_of_test.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Worker("child_of_test", timeout=30) as child:
        yield child


def test_one_child_answers_many_questions(worker):
    first, second = worker.ask({"what": "pid"}), worker.ask({"what": "pid"})
    assert first["pid"] == second["pid"] != os.getpid()
    assert worker.starts == 1


def test_long_answers_arrive_whole(worker):
    text = "x" * 1_000_000
    assert worker.ask({"what": "echo", "text": text})["echo"] == text


def test_an_exception_is_one_printable_line(worker):
    assert worker.ask({"what": "raise"}) == {"error": "line one line two?"}


@pytest.mark.parametrize(
    ("what", "words"),
    [("segfault", "SIGSEGV"), ("abort", "SIGABRT): terminate called"), ("exit", "exit code 3")],
)
def test_a_crash_is_an_answer_and_the_next_question_a_new_child(worker, what, words):
    answer = worker.ask({"what": what})
    assert answer["crashed"] and words in answer["error"]
    assert "pid" in worker.ask({"what": "pid"})
    assert worker.starts == 2


def test_a_hanging_child_is_ended(worker):
    worker.ask({"what": "pid"})
    start = time.monotonic()
    answer = worker.ask({"what": "sleep"}, timeout=0.5)
    assert answer["crashed"] and "0.5 s" in answer["error"]
    assert time.monotonic() - start < 10
    assert "pid" in worker.ask({"what": "pid"})


def test_noise_on_stdout_is_no_answer(worker):
    assert "pid" in worker.ask({"what": "print"})


def test_memory_is_limited(worker):
    assert "error" in worker.ask({"what": "memory"})
