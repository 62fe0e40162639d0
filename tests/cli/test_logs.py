"""Every line on stderr is one JSON object, whatever happens; text cannot be forged by a client."""

import io
import json
import logging
import subprocess
import sys

import pytest

from orion_registry.cli.logs import JsonLines, StderrHandler, TextLines, make_handler
from tests.cli.process import clean_environment


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("orion_registry", logging.INFO, __file__, 1, message, arguments, None)
    made.__dict__.update(fields)
    return made


MESSY = """
import asyncio, gc, logging, sys, threading, warnings
from orion_registry.cli import logs
logs.configure("debug", "json")
log = logging.getLogger("orion_registry")
log.info("fields", extra={"text": "two\\nlines", "odd": object(), "bytes": b"\\xff", "surrogate": "\\udc80"})
log.info("bad arguments %d %d", "one")
warnings.warn("a warning")
logging.getLogger("grpc._cython.cygrpc").error("from grpc", exc_info=ValueError("x\\ny"))
threading.Thread(target=lambda: 1 / 0).start()
class Gone:
    def __del__(self): raise RuntimeError("in a finaliser")
Gone(); gc.collect()
async def main():
    logs.watch_loop(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    async def forgotten(): raise KeyError("never awaited")
    task = asyncio.create_task(forgotten())
    await asyncio.sleep(0.05)
    del task
    gc.collect()
asyncio.run(main())
raise SystemError("the last word")
"""


def test_whatever_is_written_to_stderr_is_a_json_line() -> None:
    result = subprocess.run(
        [sys.executable, "-c", MESSY], capture_output=True, text=True, env=clean_environment(), check=False
    )
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert result.returncode == 1
    text = json.dumps(lines)
    expected = (
        "two\\nlines", "a log line could not be written", "UserWarning: a warning", "from grpc", "in a thread",
        "in a finaliser", "event loop: Exception in callback", "never awaited", "the last word",
    )  # fmt: skip
    assert [part for part in expected if part not in text] == []
    assert all(line["timestamp"].endswith("Z") and line["level"] and line["logger"] for line in lines)
    assert len(lines) == 9


def test_json_has_the_fields_beside_the_message() -> None:
    line = json.loads(JsonLines().format(record("ready", address="127.0.0.1:1", addresses=["a", "b"])))
    assert (line["message"], line["address"], line["addresses"]) == ("ready", "127.0.0.1:1", ["a", "b"])
    assert line["level"] == "info"


def test_text_shows_fields_and_escapes_what_could_forge_a_line() -> None:
    text = TextLines(colour=False).format(record("hello %s", "a\nb\x1b[31m", agent="x\ny", note="two words", n=5))
    assert "\n" not in text
    assert "\x1b" not in text
    assert r"hello a\nb\x1b[31m" in text
    assert text.endswith(r"agent=x\ny note='two words' n=5")


def test_colour_only_on_a_terminal_and_not_against_the_users_wish() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def line(log_format: str, stream: io.StringIO, **environ: str) -> str:
        make_handler(log_format, stream, environ).handle(record("x"))
        return stream.getvalue()

    assert "\x1b[32m" in line("auto", Terminal())
    assert "\x1b" not in line("auto", Terminal(), NO_COLOR="1")
    assert "\x1b" not in line("text", io.StringIO())
    assert json.loads(line("auto", io.StringIO()))["message"] == "x"
    assert json.loads(line("json", Terminal()))["message"] == "x"


def test_a_stderr_that_is_gone_is_no_failure() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    handler = StderrHandler(Gone())
    handler.setFormatter(JsonLines())
    handler.handle(record("x"))


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels(level: str) -> None:
    code = f"""
import logging
from orion_registry.cli import logs
logs.configure({level!r}, "json")
for name in ("debug", "info", "warning", "error"):
    getattr(logging.getLogger("orion_registry"), name)(name)
    getattr(logging.getLogger("somebody.else"), name)("other " + name)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean_environment(), check=True
    )
    said = [json.loads(line)["message"] for line in result.stderr.splitlines()]
    levels = ["debug", "info", "warning", "error"]
    assert [word for word in said if word in levels] == levels[levels.index(level) :]
    assert [word for word in said if word not in levels] == ["other warning", "other error"]


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines(colour=False)], ids=["json", "text"])
def test_what_looks_like_a_secret_is_masked_whoever_logs_it(formatter: logging.Formatter) -> None:
    token = "orion_k7Qd2Fh9_" + "a" * 43
    made = record(
        "refused %s",
        token,
        password="hunter2",
        deep={"api_key": "deep-key"},
        error=f"no Bearer {token}",
        service_id="sk-1",
    )
    try:
        raise ValueError(f"http://me:hunter2@host/?token={token}")
    except ValueError:
        made.exc_info = sys.exc_info()
    text = formatter.format(made)
    assert not [secret for secret in (token, "a" * 43, "hunter2", "deep-key") if secret in text]
    assert text.count("***") >= 5
    assert "sk-1" in text


RESETS = """
import logging
from orion_registry.cli import logs
logs.configure("info", "json")
grpc = logging.getLogger("grpc._cython.cygrpc")
grpc.error("ExecuteBatchError raised in core by servicer method [/a/B]", exc_info=ValueError("x"))
grpc.error("something else")
"""


def test_a_client_that_resets_its_calls_cannot_fill_the_log() -> None:
    """grpc tells of each answer that it could not send, with a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", RESETS], capture_output=True, text=True, check=True, env=clean_environment()
    )
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["something else"]
