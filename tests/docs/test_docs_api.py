"""docs/api.md is what the protos give, and has all of them: each call with its errors and who may call."""

import re

from orion_registry.server.methods import METHODS
from tests.docs import api, protos
from tests.docs.links import anchors

PAGE = api.PAGE.read_text(encoding="utf-8")


def test_it_is_what_the_protos_give() -> None:
    assert api.render() == PAGE, "run: scripts/gen-api"


def test_every_call_is_there_with_its_errors_and_who_may_call() -> None:
    for method in METHODS:
        if not method.service.startswith("orion."):
            continue
        _, _, section = PAGE.partition(f"\n### {method.name}\n")
        section, _, _ = section.partition("\n### ")
        assert f"`{method.path}`" in section, method.path
        about, _, _ = section.partition("\n#### ")
        assert "**Who may call:**" in about, method.path
        assert "**Errors:**" in about or "**Errors of one:**" in about, method.path


def test_every_type_is_there_once_and_every_part_of_it_has_words() -> None:
    once = anchors(PAGE)
    assert [title for title, times in once.items() if times != 1] == []
    for file in protos.compile_protos():
        if file.package not in ("orion.registry.v1", "orion.agent.v1"):
            continue
        for one in protos.types_of(file):
            assert one.about.strip(), one.name
            assert all(comment.strip() for comment in one.comments), one.name
            assert once[api.anchor(one.name)] == 1, one.name


def test_words_of_comments_become_links_and_code() -> None:
    words = api.Words({"ServiceInfo": "serviceinfo", "Load": "load"})
    told = words.inline("Load of a\n ServiceInfo: max_concurrency | <none>; docs/balancing.md, NOT_FOUND/NO_MATCH")
    assert told == (
        "Load of a [ServiceInfo](#serviceinfo): `max_concurrency` \\| &lt;none>; [balancing.md](balancing.md), "
        "`NOT_FOUND/NO_MATCH`"
    )
    assert words.paragraphs("Does.\n\nErrors: none.\n") == "Does.\n\n**Errors:** none.\n\n"
    assert not re.search(r"\*\*Errors", words.paragraphs("Errors are many."))
