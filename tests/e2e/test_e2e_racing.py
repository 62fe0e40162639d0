"""Promise 18, in its short form; the whole: python -m tests.e2e.racing."""

from tests.e2e.racing import race


async def test_racing_callers_never_overrun_an_agent() -> None:
    calls = 500
    assert (await race(calls)).broken(calls) == []
