"""What looks like a secret is not shown: in logs, in events, and in snapshots unless they are asked to have it.

By the name that a value has (password, api_key, authorization), or by its own shape (tokens of known makers, private
keys, the user in a URL). It is a last line of defence, not a promise: a secret in plain words has neither.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from orion_registry.core.checks.spec import CheckSpec, HttpProbe, Probe
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import ServiceSpec

MASK: Final = "***"

_NAMES: Final = re.compile(
    r"secret|passw|passphrase|apikey|accesskey|privatekey|signingkey|credential|authorization|cookie"
)
_TOKEN: Final = re.compile(r"token(?!s|iz)")
"""max_tokens and a tokenizer are none."""

_SHAPES: Final = (
    r"orion_[A-Za-z0-9]{1,64}_[A-Za-z0-9_-]{16,}",
    r"\bsk-[A-Za-z0-9_-]{16,}",
    r"\b(?:gh[oprsu]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,})",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{8,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-{5}.*?(?:-----END [A-Z ]*PRIVATE KEY-{5}|\Z)",
)
# Nothing here may be looked for from many places over a long way: what clients write must not cost its length squared.
_TEXT: Final = re.compile(
    rf"(?P<shape>{'|'.join(_SHAPES)})"
    r"|(?P<scheme>\b(?:[Bb]earer|[Bb]asic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<slashes>://)[^/\s@'\"]*@"
    r"|(?P<name>(?:[Ss]ecret|SECRET|[Pp]assw(?:or)?d|PASSW(?:OR)?D|[Tt]oken|TOKEN|[Kk]ey|KEY|[Cc]ookie|COOKIE)=)[^\s&\"']+",
    re.DOTALL,
)


_HINTS: Final = (
    *("orion_", "sk-", "ghp_", "gho_", "ghr_", "ghs_", "ghu_", "github_pat_", "glpat-", "xox", "AKIA", "ASIA", "AIza"),
    *(
        "eyJ",
        "-----BEGIN",
        "earer",
        "asic",
        "@",
        "ecret=",
        "ECRET=",
        "swd=",
        "SWD=",
        "word=",
        "WORD=",
        "oken=",
        "OKEN=",
    ),
    *("ey=", "EY=", "ookie=", "OOKIE="),
)
"""Whatever `_TEXT` finds has one of them. Nearly all texts have none, and to see that takes a hundredth of the time."""


def is_secret_name(name: str) -> bool:
    """Whether what has this name is not for showing.

    >>> is_secret_name("X-Api-Key"), is_secret_name("authToken"), is_secret_name("max_tokens")
    (True, True, False)
    """
    plain = name.lower().replace("_", "").replace("-", "").replace(".", "").replace(" ", "")
    return _NAMES.search(plain) is not None or _TOKEN.search(plain) is not None


def mask_text(text: str) -> str:
    """A text with the secrets in it masked.

    >>> mask_text("GET http://me:pass@host/?token=abc&x=1 failed")
    'GET http://***@host/?token=***&x=1 failed'
    """
    return _TEXT.sub(_masked, text) if any(hint in text for hint in _HINTS) else text


def _masked(found: re.Match[str]) -> str:
    kept = found["scheme"] or found["slashes"] or found["name"] or ""
    return kept + MASK + ("@" if found["slashes"] else "")


def mask_value(name: str, value: object, *, whole: bool = False) -> object:
    """A value as it may be shown under a name; whatever is in it, too.

    whole: a text that has a secret in it is masked as a whole, for a part is worth nothing to whoever brings it back.
    """
    match value:
        case None | bool():
            return value
        case int() | float():
            return MASK if _NAMES.search(name.lower()) else value
        case str():
            if value and is_secret_name(name):
                return MASK
            masked = mask_text(value)
            return MASK if whole and masked != value else masked
        case Mapping():
            if is_secret_name(name):
                return MASK
            return {key: mask_value(str(key), item, whole=whole) for key, item in value.items()}
        case list() | tuple():
            return [mask_value(name, item, whole=whole) for item in value]
    return value


# Services, as snapshots show them.


def masked_spec(spec: ServiceSpec) -> ServiceSpec:
    """What an agent wrote of its service, with every value masked that looks like a secret."""
    metadata_json, scalars = spec.metadata_json, spec.metadata_scalars
    plain = json.loads(metadata_json)
    masked = {name: mask_value(name, value, whole=True) for name, value in plain.items()}
    if masked != plain:
        metadata_json, scalars = canonical_metadata(masked)
    return replace(
        spec,
        metadata_json=metadata_json,
        metadata_scalars=scalars,
        health_check_url=mask_text(spec.health_check_url),
        checks=tuple(_with_probes(check, _masked_probe) for check in spec.checks),
    )


def _masked_probe(probe: Probe) -> Probe:
    if not isinstance(probe, HttpProbe):
        return probe
    headers = tuple((name, str(mask_value(name, value, whole=True))) for name, value in probe.headers)
    return replace(probe, path=mask_text(probe.path), headers=headers)


def _with_probes(check: CheckSpec, change: Any) -> CheckSpec:
    return replace(check, probes=tuple(change(probe) for probe in check.probes))


def unmasked_spec(spec: ServiceSpec) -> tuple[ServiceSpec, int]:
    """The same without what was masked, and how many values that were. So no mask is ever taken for a value."""
    if MASK not in spec.metadata_json + spec.health_check_url and not spec.checks:
        return spec, 0
    left: list[int] = []
    metadata_json, scalars = canonical_metadata(_without(json.loads(spec.metadata_json), left))
    url = _cut(spec.health_check_url, left)

    def cut_probe(probe: Probe) -> Probe:
        if not isinstance(probe, HttpProbe):
            return probe
        headers = tuple((name, value) for name, value in probe.headers if value != MASK)
        left.extend([1] * (len(probe.headers) - len(headers)))
        return replace(probe, path=_cut(probe.path, left), headers=headers)

    checks = tuple(_with_probes(check, cut_probe) for check in spec.checks)
    bare = replace(spec, metadata_json=metadata_json, metadata_scalars=scalars, health_check_url=url, checks=checks)
    return bare, len(left)


def _without(value: Any, left: list[int]) -> Any:
    kept: Any
    match value:
        case Mapping():
            kept = {key: _without(item, left) for key, item in value.items() if item != MASK}
        case list():
            kept = [_without(item, left) for item in value if item != MASK]
        case _:
            return value
    left.extend([1] * (len(value) - len(kept)))
    return kept


def _cut(place: str, left: list[int]) -> str:
    """A URL or path up to what was masked, or up to its query if that was in there; none without its host."""
    if MASK not in place:
        return place
    left.append(1)
    query, masked = place.find("?"), place.index(MASK)
    kept = place[: query if 0 <= query < masked else masked]
    return "" if kept.endswith("://") else kept
