"""What is released says one version everywhere: package, metadata, CHANGELOG."""

import re
import tomllib

import orion_registry
from tests.docs.protos import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_one_version() -> None:
    version = PROJECT["version"]
    assert orion_registry.__version__ == version
    released = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}$", CHANGELOG, re.MULTILINE)
    assert ".dev" in version or released[0] == version
    image = re.search(
        r"image: orion-registry:(\S+)", (ROOT / "deploy/kubernetes/registry.yaml").read_text(encoding="utf-8")
    )
    assert image is not None
    assert image.group(1) == released[0]


def test_the_pythons_that_are_supported_are_named() -> None:
    named = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)]
    assert named == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert (ROOT / PROJECT["license-files"][0]).read_text(encoding="utf-8").lstrip().startswith("Apache License")
