"""Who reaches whom under the network policies, as Kubernetes reads them."""

from itertools import product

import pytest

from services.common.settings import EMBEDDER_PORT, INDEXER_PORT, SEARCH_PORT, STORE_PORT
from tests.manifests import SERVICES, port_of, selects, written

POLICIES = [each["spec"] for (kind, _), each in written("base/network.yaml").items() if kind == "NetworkPolicy"]
HERE, FRIENDS, ELSEWHERE, MONITORING = (
    {"kubernetes.io/metadata.name": "videosearch"},
    {"kubernetes.io/metadata.name": "web", "videosearch/callers": "true"},
    {"kubernetes.io/metadata.name": "other"},
    {"kubernetes.io/metadata.name": "monitoring"},
)
PORTS = {"embedder": EMBEDDER_PORT, "store": STORE_PORT, "indexer": INDEXER_PORT, "search": SEARCH_PORT}
CALLS = {"indexer": {"embedder", "store"}, "search": {"embedder", "store"}}
CALLERS = {"client": {"indexer", "search"}, "admin": {"store", "indexer", "search"}}


def named(name):
    return {"app.kubernetes.io/name": name}


def caller(role):
    return {"videosearch/caller": role}


def is_peer(peer, pod, namespace):
    namespaces = peer.get("namespaceSelector", {"matchLabels": HERE})
    return selects(namespaces, namespace) and selects(peer.get("podSelector", {}), pod)


def permitted(direction, of, peer, namespace, port):
    """Whether a pod of ours may be called by, or call, a peer: by some policy, if one is about it."""
    about = [
        policy
        for policy in POLICIES
        if selects(policy["podSelector"], of)
        and direction in policy.get("policyTypes", ["Ingress", *(["Egress"] if "egress" in policy else [])])
    ]
    key, end = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return not about or any(
        port in {each["port"] for each in rule["ports"]}
        and (end not in rule or any(is_peer(each, peer, namespace) for each in rule[end]))
        for policy in about
        for rule in policy.get(key, ())
    )


def reaches(source, target, port, namespace=HERE):
    ours = namespace is HERE
    return permitted("Ingress", target, source, namespace, port) and (
        not ours or permitted("Egress", source, target, HERE, port)
    )


@pytest.mark.parametrize(("source", "target"), [*product(SERVICES, SERVICES)])
def test_a_service_reaches_those_that_it_calls_and_no_other(source, target):
    assert reaches(named(source), named(target), PORTS[target]) == (target in CALLS.get(source, ()))


@pytest.mark.parametrize(
    ("role", "namespace", "target"), [*product(("client", "admin", "guest"), (HERE, FRIENDS, ELSEWHERE), SERVICES)]
)
def test_callers_are_let_in_by_their_labels_and_from_elsewhere_by_that_of_their_namespace_too(role, namespace, target):
    welcome = namespace is not ELSEWHERE and target in CALLERS.get(role, ())
    assert reaches(caller(role), named(target), PORTS[target], namespace) == welcome


@pytest.mark.parametrize("target", SERVICES)
def test_prometheus_reaches_metrics_and_nothing_else_and_nobody_else_does(target):
    metrics = port_of(target, "metrics_listen")
    assert reaches(named("prometheus"), named(target), metrics, MONITORING)
    assert not reaches(named("prometheus"), named(target), PORTS[target], MONITORING)
    assert not reaches(named("prometheus"), named(target), metrics, ELSEWHERE)
    assert not any(reaches(caller("admin"), named(target), metrics, namespace) for namespace in (HERE, FRIENDS))


@pytest.mark.parametrize("source", SERVICES)
def test_every_pod_may_ask_for_names_and_none_reaches_the_world(source):
    resolver, world = {"k8s-app": "kube-dns"}, {}
    assert permitted("Egress", named(source), resolver, {"kubernetes.io/metadata.name": "kube-system"}, 53)
    assert not permitted("Egress", named(source), world, {}, 443)
