"""The images and their examples keep in step with the package; nothing is built here."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tfsparse import cli
from tfsparse.config import RunConfig, load_config
from tfsparse.config.distribution import read_cluster

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.gpu"]
PINS = dict(
    line.split("==")
    for line in (DOCKER / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
)


def instructions(path):
    """(word, rest) of every instruction, continued lines joined."""
    text = re.sub(r"\\\n", " ", path.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image(path):
    found = instructions(path)
    words = [word for word, _ in found]
    known = {"FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "VOLUME", "HEALTHCHECK",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    assert set(words) <= known
    bases = [rest.split()[0] for word, rest in found if word == "FROM"]
    for base in bases:
        version = re.fullmatch(r"python:(3\.\d+\.\d+)-slim-bookworm", base).group(1)
        assert version in SpecifierSet(PROJECT["requires-python"])
    assert len(set(bases)) == 1
    for word, rest in found:
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
        if word in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list)
        assert "--no-cache-dir" in rest or "pip install" not in rest
    users = [rest for word, rest in found if word == "USER"]
    assert users == ["10001"], "not root, and by number so that Kubernetes can tell"
    assert words.index("USER") < words.index("HEALTHCHECK") < words.index("ENTRYPOINT")
    (extras,) = re.findall(r"\"\.\[([a-z,]+)\]\"", path.read_text())
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert json.loads(next(rest for word, rest in found if word == "ENTRYPOINT")) == ["tfsparse"]
    assert "tfsparse" in PROJECT["scripts"]


def test_every_dependency_is_pinned_within_what_the_package_allows():
    extras = PROJECT["optional-dependencies"]
    for line in (*PROJECT["dependencies"], *extras["dashboard"], *extras["deploy"]):
        wanted = Requirement(line)
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        assert name in PINS, f"{name}: not in constraints.txt"
        assert PINS[name] in wanted.specifier, f"{line}: pinned to {PINS[name]}"


def check_command(words):
    """A tfsparse command whose config is there and loads."""
    assert words[0] in cli.COMMANDS
    config = ROOT / words[words.index("--config") + 1]
    assert config.is_file()
    if words[0] == "train":
        sets = words[words.index("--set") + 1 :] if "--set" in words else []
        return load_config(config, RunConfig, sets)
    return None


def test_the_compose_file():
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"trainer", "dashboard", "worker-0", "worker-1"}
    for service in services.values():
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["volumes"] == ["runs:/work/runs"]
        if "entrypoint" not in service:
            config = check_command(service["command"])
            assert config.run_dir == "runs"
    assert (ROOT / services["dashboard"]["entrypoint"][2]).is_file()
    workers = [services[f"worker-{index}"] for index in range(2)]
    clusters = [read_cluster(worker["environment"]["TF_CONFIG"]) for worker in workers]
    assert [cluster.index for cluster in clusters] == [0, 1]
    for cluster in clusters:
        assert [address.split(":")[0] for address in cluster.workers] == ["worker-0", "worker-1"]
    assert check_command(workers[0]["command"]).distribution.strategy == "multi_worker"
    assert all(worker["profiles"] == ["workers"] for worker in workers)


def test_the_kubernetes_job():
    path = DOCKER / "kubernetes" / "reproduce.yaml"
    claim, job = yaml.safe_load_all(path.read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed")
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    (text,) = container["args"]
    share = re.search(r"--shard \$\(\(JOB_COMPLETION_INDEX \+ 1\)\)/(\d+)", text)
    assert int(share.group(1)) == spec["completions"]
    words = shlex.split(text.replace(share.group(), ""))
    assert words[:2] == ["exec", "tfsparse"]
    check_command(words[2:])
    config = json.loads((ROOT / words[words.index("--config") + 1]).read_text())
    assert words[words.index("--preset") + 1] in config["presets"]
