"""The audit chain on the wire. A record comes out as it went in, so that its hash can be verified."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from orion_registry.core.audit import AuditFilter, AuditHead, AuditRecord
from orion_registry.core.validation import check_number, check_text
from orion_registry_pb.v1 import audit_pb2 as pb

PAGE_DEFAULT: Final = 100
PAGE_MOST: Final = 1_000

_FIELDS = tuple(field.name for field in fields(AuditRecord))
_TERMS = tuple(field.name for field in fields(AuditFilter))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Records that pass a filter. Everything up to after_seq was looked at; the chain is kept from anchor to head."""

    records: tuple[AuditRecord, ...]
    after_seq: int
    anchor: AuditHead
    head: AuditHead


def decode_audit_filter(request: pb.ListAuditRecordsRequest) -> AuditFilter:
    """What is asked for.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    check_number("after_seq", request.after_seq, 0, 2**62)
    check_number("page_size", request.page_size, 0, 2**31)
    return AuditFilter(**{name: check_text(name, getattr(request, name)) for name in _TERMS})


def encode_audit_filter(wanted: AuditFilter, after_seq: int, page_size: int) -> pb.ListAuditRecordsRequest:
    """The request for a page."""
    terms = {name: getattr(wanted, name) for name in _TERMS}
    return pb.ListAuditRecordsRequest(after_seq=after_seq, page_size=page_size, **terms)


def encode_audit_page(records: Sequence[AuditRecord], after_seq: int, anchor: AuditHead, head: AuditHead) -> bytes:
    """A ListAuditRecordsResponse."""
    return pb.ListAuditRecordsResponse(
        records=[pb.AuditRecord(**{name: getattr(record, name) for name in _FIELDS}) for record in records],
        after_seq=after_seq,
        anchor_seq=anchor.seq,
        anchor_hash=anchor.hash,
        head_seq=head.seq,
        head_hash=head.hash,
    ).SerializeToString()


def decode_audit_page(answer: pb.ListAuditRecordsResponse) -> AuditPage:
    """What a registry sent."""
    return AuditPage(
        records=tuple(AuditRecord(**{name: getattr(one, name) for name in _FIELDS}) for one in answer.records),
        after_seq=answer.after_seq,
        anchor=AuditHead(seq=answer.anchor_seq, hash=answer.anchor_hash),
        head=AuditHead(seq=answer.head_seq, hash=answer.head_hash),
    )
