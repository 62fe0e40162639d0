"""Members and standings as JSON: what stands under their keys.

Reading is strict in what it needs, and lenient in more: a newer member may write fields that this one does not know,
while a cluster is upgraded member by member.
"""

import json
from typing import Any

from orion_registry.core.membership import Member
from orion_registry.core.model import ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.core.standing import Standing


def member_to_json(member: Member) -> bytes:
    """A member."""
    return _line(
        {
            "name": member.name,
            "life": member.life,
            "addresses": member.addresses,
            "token": member.token,
            "version": member.version,
            "started": member.started_wall,
        }
    )


def member_from_json(data: bytes) -> Member:
    """The member of such a value.

    Raises:
        ValueError: it is none.
    """
    try:
        plain = json.loads(data)
        return Member(
            name=str(plain["name"]),
            life=str(plain["life"]),
            addresses=tuple(map(str, plain["addresses"])),
            token=str(plain["token"]),
            version=str(plain["version"]),
            started_wall=float(plain["started"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a member ({error})") from error


def standing_to_json(standing: Standing) -> bytes:
    """How a service stands at its owner."""
    return _line(
        {
            "owner": standing.owner,
            "epoch": standing.epoch,
            "used_epoch": standing.used_epoch,
            "liveness": _reason(standing.liveness),
            "conditions": [_reason(reason) for reason in standing.conditions],
            "self_report": [standing.self_report, standing.self_report_wall],
        }
    )


def standing_from_json(data: bytes) -> Standing:
    """The standing of such a value.

    Raises:
        ValueError: it is none.
    """
    try:
        plain = json.loads(data)
        reported, reported_wall = plain["self_report"]
        return Standing(
            owner=str(plain["owner"]),
            epoch=int(plain["epoch"]),
            used_epoch=int(plain["used_epoch"]),
            liveness=_reason_of(plain["liveness"]),
            conditions=tuple(map(_reason_of, plain["conditions"])),
            self_report=ServiceStatus(reported),
            self_report_wall=float(reported_wall),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a standing ({error})") from error


def _reason(reason: StatusReason) -> list[Any]:
    return [reason.code.name, reason.since_wall]


def _reason_of(plain: Any) -> StatusReason:
    code, since_wall = plain
    return StatusReason(code=StatusReasonCode[code], since_wall=float(since_wall))


def _line(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()
