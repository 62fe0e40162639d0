"""docs/api.md, made from the protos and the method table.

python -m tests.docs.api           writes it (scripts/gen-api does that)
python -m tests.docs.api --check   writes nothing; exit code 1 if it is not what the protos give
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from orion_registry.server.methods import METHODS, Method
from tests.docs import protos
from tests.docs.protos import ROOT, Type

PAGE = ROOT / "docs" / "api.md"
FILES = ("registry", "balancer", "monitor", "admin", "service", "heartbeat", "overlay", "events", "audit", "errors")
"""Of orion.registry.v1, in the order of the page."""
AGENT_FILE = "orion_registry_pb/agent/v1/agent.proto"
SCALARS = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}
CALLS: Mapping[str, Method] = {f"{method.service}.{method.name}": method for method in METHODS}
HEAD = """\
<!-- made from protos/ by scripts/gen-api; do not edit -->
# API reference

[Index](README.md) · How to call it from your language: [grpc.md](grpc.md) · from Python: [sdk.md](sdk.md) · over HTTP:
[http.md](http.md) · the words: [glossary.md](glossary.md) · the protos: [protos/](../protos/orion_registry_pb/v1)

Everything is in the package `orion.registry.v1`, but for what agents themselves may serve, `orion.agent.v1`. Besides
these the registry answers `grpc.health.v1.Health` (Check, List, Watch) and server reflection (v1 and v1alpha).

- **Errors** are gRPC statuses. Each carries `google.rpc.ErrorInfo` with the domain `registry.orion` and one of the
  [reasons](#errorreason); `CODE/REASON` below names both. What may be tried again carries `google.rpc.RetryInfo`: wait
  that long.
- **Who may call** counts where callers show certificates or tokens; which role is needed in which namespace:
  [security.md](security.md#what-somebody-may-do).
- **Limits** stand at the fields; those of rates, by the cost that each call names, in
  [configuration.md](configuration.md).
- Spans are `google.protobuf.Duration`; a `google.protobuf.Timestamp` is a label of the wall clock, and decides nothing.
- Fields are added, never renumbered: a client made from older protos goes on working.

"""
KINDS = {
    (False, False): "one request, one response",
    (False, True): "one request, a stream of responses",
    (True, False): "a stream of requests, one response",
    (True, True): "streams both ways",
}


@dataclass(frozen=True, slots=True)
class Words:
    """How comments of protos become Markdown: names of types and calls become links, field names code.

    Attributes:
        anchors: where on the page each name stands.
    """

    anchors: Mapping[str, str]

    def inline(self, text: str) -> str:
        """One line of Markdown."""
        return re.sub(r"`[^`]*`|[\w./]*\w", self._word, " ".join(text.split())).replace("<", "&lt;").replace("|", "\\|")

    def _word(self, found: re.Match[str]) -> str:
        word = found.group()
        if word in self.anchors and re.search("[a-z.][A-Z]", word):  # "Load" may be just a word
            return f"[{word}](#{self.anchors[word]})"
        if re.fullmatch(r"docs/\w[\w-]*\.md", word):
            return f"[{word.removeprefix('docs/')}]({word.removeprefix('docs/')})"
        if "_" in word or re.fullmatch(r"google(\.\w+)+", word):
            return f"`{word}`"
        return word

    def paragraphs(self, comment: str) -> str:
        """A comment as paragraphs; what it says of errors and of who may call is made to stand out."""
        parts = [self.inline(part) for part in re.split(r"\n\s*\n", comment.strip())]
        parts = [re.sub(r"^(Errors(?: of one)?|Who may call):", r"**\1:**", part) for part in parts]
        return "".join(f"{part}\n\n" for part in parts)


def anchor(title: str) -> str:
    """What a heading is linked by, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


class Reference:
    """The page: services first, each call with the messages that are its own, then what they share."""

    def __init__(self, files: Sequence[FileDescriptorProto]) -> None:
        by_name = {file.name: file for file in files}
        self._files = [by_name[f"orion_registry_pb/v1/{name}.proto"] for name in FILES] + [by_name[AGENT_FILE]]
        self._types = {one.full: one for file in self._files for one in protos.types_of(file)}
        calls = [call for file in self._files for service in file.service for call in service.method]
        self._own = {name for call in calls for name in (call.input_type, call.output_type)}
        titles = [one.name for one in self._types.values()]
        titles += [service.name for file in self._files for service in file.service]
        titles += [call.name for call in calls]
        self._words = Words({title: anchor(title) for title in titles})

    def render(self) -> str:
        """All of it."""
        return "".join((HEAD, *self._contents(), *self._services(), *self._shared())).rstrip("\n") + "\n"

    def _contents(self) -> Iterator[str]:
        yield "## Contents\n\n| service | for | calls |\n|---|---|---|\n"
        for file in self._files:
            for service in file.service:
                about, _, _ = protos.comments_of(file)[(protos.SERVICES, 0)].strip().partition("\n\n")
                calls = " ".join(f"[{call.name}](#{anchor(call.name)})" for call in service.method)
                yield f"| [{service.name}](#{anchor(service.name)}) | {self._words.inline(about)} | {calls} |\n"
        yield "\n| types of | |\n|---|---|\n"
        for file in self._files:
            shared = [one for one in protos.types_of(file) if one.full not in self._own]
            if shared:
                yield f"| {file.name.rpartition('/')[2]} | {' '.join(self._link(one) for one in shared)} |\n"
        yield "\n"

    def _link(self, one: Type) -> str:
        return f"[{one.name}](#{anchor(one.name)})"

    def _services(self) -> Iterator[str]:
        for file in self._files:
            comments = protos.comments_of(file)
            for at, service in enumerate(file.service):
                yield f"## {service.name}\n\n`{file.package}.{service.name}`\n\n"
                yield self._words.paragraphs(comments[protos.SERVICES, at])
                for one, call in enumerate(service.method):
                    about = comments[protos.SERVICES, at, protos.METHODS, one]
                    yield from self._call(f"{file.package}.{service.name}", service, call, about)

    def _call(
        self, owner: str, service: ServiceDescriptorProto, call: MethodDescriptorProto, about: str
    ) -> Iterator[str]:
        yield f"### {call.name}\n\n`/{owner}/{call.name}`: {KINDS[call.client_streaming, call.server_streaming]}.\n\n"
        yield self._words.paragraphs(about)
        method = CALLS.get(f"{owner}.{call.name}")
        if method is not None:
            facts = [f"Costs: {method.cost.value}."]
            facts += ["In the [audit chain](security.md#audit)."] if method.audited else []
            facts += ["Answers while the registry starts and stops, too."] if method.always else []
            yield " ".join(facts) + "\n\n"
        for name in (call.input_type, call.output_type):
            yield from self._type(self._types[name], "####")

    def _shared(self) -> Iterator[str]:
        for file in self._files:
            shared = [one for one in protos.types_of(file) if one.full not in self._own]
            if shared:
                yield f"## Types of {file.name.rpartition('/')[2]}\n\n"
                for one in shared:
                    yield from self._type(one, "###")

    def _type(self, one: Type, mark: str) -> Iterator[str]:
        yield f"{mark} {one.name}\n\n{self._words.paragraphs(one.about)}"
        if isinstance(one.descriptor, DescriptorProto):
            yield from self._fields(one, one.descriptor)
        else:
            yield "| value | number | |\n|---|---|---|\n"
            for value, comment in zip(one.descriptor.value, one.comments, strict=True):
                yield f"| `{value.name}` | {value.number} | {self._words.inline(comment)} |\n"
            yield "\n"

    def _fields(self, one: Type, message: DescriptorProto) -> Iterator[str]:
        if not message.field:
            yield "No fields.\n\n"
            return
        yield "| field | type | number | |\n|---|---|---|---|\n"
        for field, comment in zip(message.field, one.comments, strict=True):
            text = self._words.inline(comment)
            if field.HasField("oneof_index") and not field.proto3_optional:
                text = f"*One of `{message.oneof_decl[field.oneof_index].name}`.* {text}"
            yield f"| `{field.name}` | {self._kind(message, field)} | {field.number} | {text} |\n"
        yield "\n"

    def _kind(self, message: DescriptorProto, field: FieldDescriptorProto) -> str:
        entry = protos.map_entry(message, field)
        if entry is not None:
            key, value = (self._plain(part) for part in entry.field)
            return f"map of {key} to {value}"
        name = self._plain(field)
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"repeated {name}"
        return f"optional {name}" if field.proto3_optional else name

    def _plain(self, field: FieldDescriptorProto) -> str:
        if field.type_name in self._types:
            return self._link(self._types[field.type_name])
        return field.type_name.removeprefix(".google.protobuf.") or SCALARS[field.type]


def render() -> str:
    """The page as the protos give it."""
    return Reference(protos.compile_protos()).render()


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or checks it; the exit code."""
    page = render()
    if "--check" not in arguments:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/api.md is not what protos/ gives: run scripts/gen-api", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
