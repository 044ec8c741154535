"""What the tests of deploy/ share: its files, the programs that check them, and the metrics of a scrape."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "temwatch_rules.yml"
CASES = DEPLOY / "prometheus" / "temwatch_rules_test.yml"
DASHBOARD = DEPLOY / "grafana" / "temwatch.json"


def program(name, package):
    """Path of a program; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (package {package})")
    return found


def promtool(*arguments, **options):
    """Run promtool; returns what it said, and fails with it."""
    command = [program("promtool", "prometheus"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    said = done.stdout + done.stderr
    assert 0 == done.returncode, said
    return said


def rules():
    """Every rule of the rule file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts():
    """The alert rules."""
    return [rule for rule in rules() if "alert" in rule]


def panels():
    """Panels of the dashboard that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    """PromQL of the dashboard, its variables replaced as Grafana does."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    variables = {"$__rate_interval": "1m", "$__range": "6h", "$instance": ".+"}
    for variable, value in variables.items():
        found = [expression.replace(variable, value) for expression in found]
    return found


def metric_names(expression):
    """Series that an expression names, recorded ones included."""
    without_labels = re.sub(r"\{[^}]*\}", "", expression)
    return set(re.findall(r"\b(?:\w+:)?(?:temwatch|process)_\w+(?::\w+)?", without_labels))


def scraped(text):
    """Values of a scrape, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped_names(text):
    """Every series name of a scrape; one whose moment has not come yet is known by its HELP line."""
    helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    return helped | {name for name, _ in scraped(text)}
