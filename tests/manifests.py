"""What deploy/k8s says, as written and as kubectl renders it."""

import importlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
K8S = ROOT / "deploy/k8s"
SERVICES = ("embedder", "store", "indexer", "search")
REPLICATED = ("embedder", "search")
OVERLAYS = ("dev", "gpu", "secure")
TEMPLATED = {"Deployment", "StatefulSet", "CronJob"}


def written(path):
    """The objects of a file, by kind and name."""
    objects = filter(None, yaml.safe_load_all((K8S / path).read_text()))
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


@cache
def rendered(overlay):
    """What is applied. Skips where there is no kubectl."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on PATH: what it makes of deploy/k8s is not looked at")
    command = ["kubectl", "kustomize", K8S / "overlays" / overlay]
    return [*yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout)]


def template(made):
    """The pods that a workload makes."""
    spec = made["spec"]
    return spec["jobTemplate"]["spec"]["template"] if made["kind"] == "CronJob" else spec["template"]


def templates(objects):
    """Of all workloads, by their names."""
    return {each["metadata"]["name"]: template(each) for each in objects if each["kind"] in TEMPLATED}


def workload(name, folder="base"):
    (only,) = (each for (kind, _), each in written(f"{folder}/{name}.yaml").items() if kind in TEMPLATED)
    return only


def container(name, folder="base"):
    (only,) = template(workload(name, folder))["spec"]["containers"]
    return only


def literals(folder):
    """The variables of each ConfigMap that a kustomization makes."""
    made = yaml.safe_load((K8S / folder / "kustomization.yaml").read_text()).get("configMapGenerator", ())
    return {each["name"]: dict(literal.split("=", 1) for literal in each["literals"]) for each in made}


def settings_of(service):
    return getattr(importlib.import_module(f"services.{service}.settings"), f"{service.capitalize()}Settings")


def client_of(service):
    return getattr(importlib.import_module(f"services.common.clients.{service}"), f"{service.capitalize()}Client")


def port_of(service, field="listen"):
    return int(settings_of(service).model_fields[field].default.rpartition(":")[2])


def selects(selector, labels):
    """Whether a label selector takes something with these labels."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", ())
    )
