"""Promise 18, in its short form; the whole: python -m tests.e2e.racing."""

import pytest

from tests.e2e.racing import race


@pytest.mark.long  # a step of .ci/run does it with more
async def test_racing_callers_never_overrun_an_agent() -> None:
    calls = 500
    assert (await race(calls)).broken(calls) == []
