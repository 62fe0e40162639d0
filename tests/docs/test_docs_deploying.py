"""docs/deploying.md fits what lies in deploy/: the user, the identities, the image, and that no key gets into it."""

import re
import shlex

from orion_registry.server.access_file import read_access
from tests.docs.protos import ROOT

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
BLOCKS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")


def lines(command: str) -> list[list[str]]:
    """Words of the lines of the page's blocks that begin with a command."""
    return [shlex.split(line, comments=True) for line in BLOCKS.splitlines() if line.startswith(command)]


def test_the_unit_runs_as_the_user_that_is_made_and_owns_the_key() -> None:
    (user,) = re.findall(r"^User=(.+)$", (DEPLOY / "orion-registry.service").read_text(), re.MULTILINE)
    assert [words[-1] for words in lines("useradd ")] == [user]
    keys = [words for words in lines("install ") if "certs/registry-key.pem" in words]
    assert [words[words.index("-o") + 1] for words in keys] == [user, "6746"]


def test_the_operator_of_the_page_may_operate_by_the_access_file_of_the_page() -> None:
    (made,) = (words for words in lines("/opt/") if "certs" in words)
    rights = read_access(str(DEPLOY / "access.toml")).book.rights_of(made[made.index("--client") + 1])
    assert {role.name for grant in rights.grants for role in grant.roles} >= {"OPERATOR", "VIEWER"}


def test_the_image_that_is_built_is_the_one_that_is_run() -> None:
    (image,) = re.findall(r"image: (\S+)", (DEPLOY / "kubernetes" / "registry.yaml").read_text())
    (built,) = lines("docker build ")
    assert built[built.index("-t") + 1] == image
    assert all(image in words for words in lines("docker run "))


def test_keys_made_in_a_clone_get_neither_into_the_image_nor_into_a_commit() -> None:
    for name in (".dockerignore", ".gitignore"):
        left_out = {line.strip("/") for line in (ROOT / name).read_text().splitlines()}
        assert {"certs", "orion", "*.pem", "tls.key", "*.token", "tokens.json*"} <= left_out, name
