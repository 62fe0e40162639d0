"""A small checker of linearizability (Wing and Gong, with Lowe's memo of states seen): one register for each key.

The register holds the generation of a service, or nothing. Operations and what they may be answered:

    register   made(1): it was absent, now 1; updated(G): one more than before, which is G at most: changes made before
               the answer was written show in it
    update     done(G): it was what the update was based on, now G; stale(G): it is G, another; absent: it is not there
    remove     done: it was there, now it is not; absent: it is not there

An operation without an answer may take place at any time after it began, or never.
"""

from collections.abc import Iterable
from dataclasses import dataclass

ABSENT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a client asked for and was answered.

    Attributes:
        key: of which service.
        what: register, update or remove.
        argument: of an update the generation that it is based on.
        answer: (word, generation); None = there was none, or it is open.
        began, ended: monotonic seconds.
    """

    key: str
    what: str
    argument: int = 0
    answer: tuple[str, int] | None
    began: float
    ended: float


def step(state: int, operation: Operation) -> int | None:
    """The state after an operation with the answer that it got; None = it could not be answered so."""
    word, generation = operation.answer or ("", 0)
    match operation.what, word:
        case "register", "made":
            return generation if state == ABSENT and generation == 1 else None
        case "register", "updated":
            return state + 1 if state != ABSENT and state < generation else None
        case "update", "done":
            return generation if state == operation.argument and generation == state + 1 else None
        case "update", "stale":
            return state if state == generation != operation.argument else None
        case "remove", "done":
            return ABSENT if state != ABSENT else None
        case _, "absent":
            return state if state == ABSENT else None
    raise ValueError(f"no such answer: {operation}")


def open_steps(state: int, operation: Operation) -> set[int]:
    """The states after an operation of which nobody knows what came of it."""
    match operation.what:
        case "register":
            return {state + 1}
        case "update":
            return {state + 1} if state == operation.argument else {state}
        case _:
            return {ABSENT}


def is_linearizable(operations: Iterable[Operation]) -> bool:
    """Whether there is an order of these operations, of one key, that explains all answers and respects time."""
    waiting = sorted(operations, key=lambda operation: operation.began)
    bits = {id(operation): 1 << place for place, operation in enumerate(waiting)}
    answered = sum(bits[id(one)] for one in waiting if one.answer is not None)
    seen: set[tuple[int, int]] = set()
    stack = [(0, ABSENT)]
    while stack:
        done, state = stack.pop()
        if done & answered == answered:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        left = [one for one in waiting if not done & bits[id(one)]]
        horizon = min((one.ended for one in left if one.answer is not None), default=float("inf"))
        for one in left:
            if one.began > horizon:
                break  # something that has ended before it began is not done yet
            if one.answer is None:
                after = open_steps(state, one)
                stack += [(done | bits[id(one)], next_state) for next_state in after if next_state != state]
                continue
            next_state = step(state, one)
            if next_state is not None:
                stack.append((done | bits[id(one)], next_state))
    return False


def violations(history: Iterable[Operation]) -> list[str]:
    """The keys whose operations no order explains, with what they were."""
    by_key: dict[str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    return [
        f"{key}: {len(operations)} operations, the last {operations[-3:]}"
        for key, operations in by_key.items()
        if not is_linearizable(operations)
    ]
