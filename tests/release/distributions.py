"""The sdist and the wheel: what they hold, and that a stranger's tool takes them."""

import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.wheel import ROOT, Fault, clean, run

PACKAGES = ("orion_etcd_pb/", "orion_registry/", "orion_registry_pb/")


def check(place: Path, tools: Path) -> Iterator[str]:
    """A line for each thing that holds. Raises Fault."""
    sdist = build_sdist(place)
    wheel = build_wheel(place, sdist)
    run(tools / "twine", "check", "--strict", sdist, wheel)
    yield f"twine takes {sdist.name} ({sdist.stat().st_size:,} bytes) and {wheel.name} ({wheel.stat().st_size:,} bytes)"
    committed = tracked()
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if missing := sorted(name for name in committed if name not in names and not _is_of_git(name)):
        raise Fault(f"the sdist lacks {missing[:5]} ({len(missing)} files)")
    yield f"the sdist holds the {len(committed):,} files that are committed"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = set(in_wheel(committed))
    if difference := sorted(wanted ^ {name for name in names if ".dist-info/" not in name}):
        raise Fault(f"the wheel and the packages differ in {difference[:5]} ({len(difference)} files)")
    yield f"the wheel holds the {len(wanted):,} files of its packages, and nothing else"


def build_sdist(place: Path) -> Path:
    """The sdist of what is checked out."""
    tree = place / "tree"
    for name in tracked():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", place, cwd=tree, env=clean())
    return next(place.glob("*.tar.gz"))


def build_wheel(place: Path, sdist: Path) -> Path:
    """The wheel, built from the sdist alone."""
    shutil.unpack_archive(sdist, place / "unpacked")  # our own: tarfile's filters are not in every 3.11
    (tree,) = (place / "unpacked").iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place, cwd=tree, env=clean())
    return next(place.glob("*.whl"))


def tracked() -> list[str]:
    """Files that are, or are about to be, committed."""
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    return [name for name in files if name and (ROOT / name).is_file()]


def in_wheel(committed: list[str]) -> Iterator[str]:
    """Where the wheel has the files of the packages: both, and the protos beside the stubs."""
    for name in committed:
        for beginning in ("", "generated/", "protos/"):
            inside = name.removeprefix(beginning)
            if name.startswith(beginning) and inside.startswith(PACKAGES):
                yield inside


def _is_of_git(name: str) -> bool:
    return name in {".gitignore", ".gitattributes"}
