"""The pytest plugin, as a project of its own uses it; docs/testing.md is what it tries."""

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
TRIED = dict(re.findall(r"<!-- tried: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
PLUGIN = "orion_registry.testing.plugin"

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project that sees this tree and nothing of its configuration."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'generated'}")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def test_every_block_of_the_page_passes(project: pytest.Pytester) -> None:
    """In pytest-asyncio's strict mode, which is its default."""
    assert list(TRIED) == ["first", "faults", "time"]
    assert PAGE.count("```python") == len(TRIED)
    project.makepyfile(**{f"test_{name}": text for name, text in TRIED.items()})
    project.runpytest_subprocess("-p", PLUGIN, timeout=60).assert_outcomes(passed=len(TRIED))


def test_the_plugin_loads_nothing_before_a_test_asks(project: pytest.Pytester) -> None:
    project.makepyfile(
        f"""
        import sys

        def test_nothing_is_loaded():
            loaded = {{name for name in sys.modules if name.startswith(("orion_registry", "grpc", "google.protobuf"))}}
            assert loaded == {{"orion_registry", "orion_registry.testing", {PLUGIN!r}}}
        """
    )
    project.runpytest_subprocess("-p", PLUGIN, timeout=30).assert_outcomes(passed=1)


def test_the_plugin_is_there_once_the_package_is_installed() -> None:
    """Of this tree: what is installed may be an older one. `python -m tests.e2e.wheel` installs the wheel."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
    assert importlib.import_module(PLUGIN) is sys.modules[PLUGIN]
