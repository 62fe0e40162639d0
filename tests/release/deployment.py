"""deploy/: what strangers' tools and the daemon itself say of it."""

import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.cli.process import clean_environment
from tests.e2e.wheel import ROOT, Fault, run
from tests.release.distributions import tracked

DEPLOY = ROOT / "deploy"
SOCKET_S = 20.0


def check(place: Path, tools: Path) -> Iterator[str]:
    """A line for each thing that holds. Raises Fault."""
    run(tools / "hadolint", DEPLOY / "Dockerfile")
    yield "hadolint has nothing to say of the Dockerfile"
    yield image_builds(place)
    yield unit_is_valid(place)
    manifest = DEPLOY / "kubernetes" / "registry.yaml"
    run(tools / "kubernetes-validate", "--strict", manifest)
    yield "kubernetes-validate takes the manifests"
    for name, text in (("orion.toml", (DEPLOY / "orion.toml").read_text()), ("ConfigMap", configmap(manifest))):
        yield settings_are_known(place, name, text)


def image_builds(place: Path) -> str:
    """The build stage of the Dockerfile, run as it stands but for where it goes; then the daemon that it made."""
    image = place / "image"
    source = image / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    script = re.findall(r"^RUN (.*)$", text, re.MULTILINE)[0]
    script = script.replace("/opt/orion-registry", str(image / "opt")).replace("python -m", f"{sys.executable} -m")
    run("sh", "-ec", script, within_s=600.0, cwd=source, env=clean_environment())
    (command,) = re.findall(r"^  CMD \[(.*)\]$", text, re.MULTILINE) or re.findall(r"HEALTHCHECK.*CMD \[(.*)\]", text)
    probe = [part.strip().strip('"') for part in command.split(",")]
    socket = image / "registry.sock"
    look = [part.replace("/run/orion-registry/registry.sock", str(socket)) for part in probe]
    serve = [str(image / "opt" / "bin" / "orion-registry"), "serve", "--listen", f"unix:{socket}"]
    environment = clean_environment(ORION_DATA_DIR=str(image / "state"), ORION_HTTP="off")
    process = subprocess.Popen(serve, env=environment, stderr=subprocess.DEVNULL, cwd=image)
    try:
        give_up_at = time.monotonic() + SOCKET_S
        while not socket.exists():
            if time.monotonic() > give_up_at:
                raise Fault("the image's daemon does not listen")
            time.sleep(0.1)
        said = run(image / "opt" / "bin" / look[0], *look[1:], env=environment)
    finally:
        process.terminate()
        code = process.wait(20)
    if code:
        raise Fault(f"the image's daemon ends with exit code {code}")
    return f"the Dockerfile's build works, and its health check says: {said.splitlines()[0]}"


def unit_is_valid(place: Path) -> str:
    """What systemd says of the unit, given a command that is there."""
    unit = place / "orion-registry.service"
    text = (DEPLOY / "orion-registry.service").read_text()
    unit.write_text(text.replace("/opt/orion-registry/bin/orion-registry", "/bin/true"))
    run("systemd-analyze", "verify", unit)
    return "systemd takes the unit"


def configmap(manifest: Path) -> str:
    """The daemon's settings in the manifests."""
    block = re.search(r"^  orion\.toml: \|\n((?:    .*\n)+)", manifest.read_text(), re.MULTILINE)
    if block is None:
        raise Fault(f"{manifest.name} has no orion.toml")
    return "".join(line[4:] for line in block[1].splitlines(keepends=True))


def settings_are_known(place: Path, name: str, text: str) -> str:
    """What the daemon makes of settings."""
    path = place / "orion.toml"
    path.write_text(text)
    command = (sys.executable, "-m", "orion_registry", "serve", "--config", path, "--print-config")
    printed = tomllib.loads(run(*command, cwd=ROOT, env=clean_environment(PYTHONPATH=f"{ROOT}:{ROOT / 'generated'}")))
    for key, value in tomllib.loads(text).items():
        if printed.get(key) != value:
            raise Fault(f"{name}: {key} is {printed.get(key)!r} to the daemon, not {value!r}")
    return f"the daemon takes the settings of {name}"
