"""A real Prometheus scrapes a real service, and what it then answers is what the ledger holds."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest
import yaml

from monitoring import (
    DEPLOY,
    ROOT,
    RULES,
    alerts,
    dashboard_expressions,
    metric_names,
    program,
    promtool,
    rules,
    scraped,
    scraped_names,
)
from system import Service, wait_until
from temwatch.domain import Reason
from temwatch.errors import FAILURE_CODES, REFUSAL_CODES, SKIP_CODES
from temwatch.ledger import Reader

pytestmark = pytest.mark.system

OPERATIONS = ROOT / "docs" / "operations.md"

# name: label, and the values that are there from the start
CONTRACT = {
    "build_info": ("version", None),
    "ready": None,
    "watch_folder_up": None,
    "gpu_healthy": None,
    "output_writable": None,
    "workers_hung": None,
    "files_detected_total": ("source", {"event", "rescan", "startup"}),
    "micrographs_processed_total": ("outcome", {"done", "failed", "refused", "duplicate"}),
    "micrographs_failed_total": ("reason", {*REFUSAL_CODES, *FAILURE_CODES}),
    "retries_total": ("reason", {"requested", *FAILURE_CODES}),
    "hook_runs_total": ("outcome", {"done", "failed"}),
    "particles_measured_total": None,
    "particles_rejected_total": ("reason", {str(reason) for reason in Reason}),
    "frames_processed_total": None,
    "out_of_memory_total": None,
    "event_overflows_total": None,
    "intake_entries_skipped_total": ("reason", set(SKIP_CODES)),
    "queue_micrographs": None,
    "micrographs_excluded": None,
    "oldest_pending_timestamp_seconds": None,
    "last_success_timestamp_seconds": None,
    "last_scan_timestamp_seconds": None,
    "spool_free_bytes": None,
    "stage_duration_seconds": ("stage", {"read", "segment", "resolve", "record", "publish"}),
    "arrival_to_result_seconds": None,
    "equivalent_diameter_meters": None,
}


@pytest.fixture(scope="module")
def service(series, tmp_path_factory):
    """A service that has finished six micrographs, one duplicate and one file that is none."""
    with Service(tmp_path_factory.mktemp("service")) as running:
        for path in sorted(series.glob("*.dm3")):
            shutil.copy(path, running.watched / f"Au_{path.stem[-2:]}.dm3")
        wait_until(lambda: len(running.micrographs()) == 6, what="six rows")
        shutil.copy(running.watched / "Au_01.dm3", running.watched / "Au_07.dm3")
        (running.watched / "Au_99.dm3").write_text("not a micrograph")
        wait_until(lambda: len(running.micrographs()) == 8, what="eight rows")
        yield running


def metrics(service):
    """Text of a scrape."""
    return service.get("metrics").decode()


def test_promtool_finds_nothing_to_lint_in_a_scrape(service):
    """Names, units, help texts."""
    assert "" == promtool("check", "metrics", input=metrics(service))


def test_every_metric_of_the_contract_is_there_with_its_labels(service):
    """Labels that are known in advance are there from the start, and none holds a file's name."""
    text = metrics(service)
    names, values = scraped_names(text), scraped(text)
    for metric, label in CONTRACT.items():
        assert f"temwatch_{metric}" in names, metric
        if label and label[1]:
            series = (f"temwatch_{metric}", f"temwatch_{metric}_count")
            found = {dict(labels)[label[0]] for name, labels in values if name in series}
            assert label[1] == found, metric
    assert ".dm3" not in text


def test_the_documentation_knows_every_metric_and_its_labels(service):
    """The table of docs/operations.md."""
    lines = re.findall(r"^\| `temwatch_(\w+)` \| ([^|]*)\|", OPERATIONS.read_text(), re.MULTILINE)
    documented = {name: {label.strip() for label in labels.split(",")} - {""} for name, labels in lines}
    found = {}
    for name, labels in scraped(metrics(service)):
        if name.startswith("temwatch_") and not name.endswith(("_bucket", "_sum", "_created")):
            metric = name.removeprefix("temwatch_").removesuffix("_count")
            found.setdefault(metric, set()).update(dict(labels))
    found.setdefault("oldest_pending_timestamp_seconds", set())  # nothing waits
    assert found == documented
    assert set(CONTRACT) <= set(documented)


def test_rules_and_dashboard_name_only_what_is_scraped(service):
    """A panel without data and an alert that can never fire look like good news."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = set().union(
        *(metric_names(rule["expr"]) for rule in rules()), *map(metric_names, dashboard_expressions())
    )
    assert len(named) > 15
    assert set() == named - recorded - scraped_names(metrics(service))
    assert len(alerts()) > 10


def test_totals_survive_a_restart(tmp_path, series):
    """They come from the ledger; nothing that counts goes down."""
    running = Service(tmp_path).start()
    for path in sorted(series.glob("*.dm3"))[:2]:
        shutil.copy(path, running.watched / path.name)

    def totals():
        return {key: value for key, value in scraped(metrics(running)).items() if key[0].endswith("_total")}

    done = ("temwatch_micrographs_processed_total", (("outcome", "done"),))
    wait_until(lambda: totals()[done] == 2, what="two micrographs")
    before = {key: value for key, value in totals().items() if key[0].startswith("temwatch_")}
    running.kill()
    running.start()
    try:
        after = totals()
    finally:
        assert 0 == running.stop()
    assert {key: value for key, value in before.items() if after[key] < value} == {}
    assert 2 == after[done]


@pytest.fixture(scope="module")
def prometheus(service, tmp_path_factory):
    """Prometheus with the shipped configuration, its target and intervals replaced; yields its address."""
    command = program("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copy(RULES, folder)
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    target = service.page().removeprefix("http://").rstrip("/")
    settings["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    options = {
        "--config.file": folder / "prometheus.yml",
        "--storage.tsdb.path": folder / "data",
        "--web.listen-address": listen,
    }
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [command, *(f"{name}={value}" for name, value in options.items())],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        address = f"http://{listen}"

        def scraping():
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            with contextlib.suppress(OSError):
                return query(address, 'up{job="temwatch"} == 1')

        wait_until(scraping, what="Prometheus to scrape the service")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def query(address, expression):
    """Result of an instant query: values by their labels."""
    question = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{address}/api/v1/query?{question}", timeout=10) as answer:
        found = json.loads(answer.read())["data"]["result"]
    return {tuple(sorted(entry["metric"].items())): float(entry["value"][1]) for entry in found}


def by(address, metric, label):
    """A metric's values by one of its labels."""
    found = query(address, f"sum by ({label}) ({metric})")
    return {dict(key)[label]: value for key, value in found.items()}


def test_prometheus_answers_what_the_ledger_holds(service, prometheus):
    """Files by outcome, particles, and regions that were rejected by reason."""
    with Reader(service.output / ".temwatch") as reader:
        receipt, samples = reader.receipt(), reader.samples()
    assert {
        "done": receipt.done,
        "refused": receipt.refused,
        "failed": receipt.failed,
        "duplicate": receipt.duplicates,
    } == by(prometheus, "temwatch_micrographs_processed_total", "outcome")
    assert (6, 1, 1) == (receipt.done, receipt.refused, receipt.duplicates)
    particles = sum(sample.particles for sample in samples)
    assert {(): particles} == query(prometheus, "sum(temwatch_particles_measured_total)")
    assert particles > 0
    rejected = {str(reason): sum(sample.rejected[reason] for sample in samples) for reason in Reason}
    assert rejected == by(prometheus, "temwatch_particles_rejected_total", "reason")
    assert sum(rejected.values()) > 0
    assert {(): receipt.done} == query(prometheus, "sum(temwatch_arrival_to_result_seconds_count)")
    assert {(): particles} == query(prometheus, "sum(temwatch_equivalent_diameter_meters_count)")


def test_prometheus_evaluates_every_rule(prometheus):
    """None has an error, none fires beside a service that is well, records have values."""

    def evaluated():
        with urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=10) as answer:
            found = [rule for group in json.loads(answer.read())["data"]["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in found) and found

    found = wait_until(evaluated, what="the rules to be evaluated")
    assert len(rules()) == len(found)
    assert ["ok"] * len(found) == [rule["health"] for rule in found]
    assert [] == [rule["name"] for rule in found if rule.get("state") == "firing"]
    record = "instance:temwatch_micrographs_failed:increase1h"
    assert [0.0] == list(wait_until(lambda: query(prometheus, record), what=record).values())


def test_every_panel_can_be_asked(prometheus):
    """Parsing is not all: a query may still name labels that do not match."""
    quiet = ("oldest_pending", "retries", "failed_total")  # nothing waits, and nothing more has failed

    def empty():
        return [
            expression
            for expression in dashboard_expressions()
            if not any(word in expression for word in quiet) and not query(prometheus, expression)
        ]

    wait_until(lambda: not empty(), seconds=20, what=f"values of {empty()}")


def test_an_alert_fires_when_the_service_dies(service, prometheus):
    """Last in this file: the service is killed, and Prometheus sees it at its next scrape."""
    service.kill()

    def pending():
        with urllib.request.urlopen(f"{prometheus}/api/v1/alerts", timeout=10) as answer:
            found = json.loads(answer.read())["data"]["alerts"]
        return [alert["labels"]["alertname"] for alert in found]

    assert ["TemwatchDown"] == wait_until(pending, what="the alert")
