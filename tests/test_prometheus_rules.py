"""deploy/prometheus: promtool accepts it, every alert is tested, explained and has its page."""

import re

import pytest
import yaml

from monitoring import (
    CASES,
    DEPLOY,
    ROOT,
    RULES,
    alerts,
    dashboard_expressions,
    metric_names,
    promtool,
    rules,
)

RUNBOOK = ROOT / "docs" / "runbook.md"
PAGE = "https://github.com/temwatch/temwatch/blob/main/docs/runbook.md"
NAMES = [alert["alert"] for alert in alerts()]


def test_promtool_accepts_the_scrape_configuration():
    """With the rules that it names."""
    assert "is valid" in promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_promtool_accepts_the_rules_and_finds_nothing_to_lint():
    """Duplicate rules are fatal here."""
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert f"{len(rules())} rules found" in said


def test_every_alert_fires_when_it_should_and_only_then():
    """The cases beside the rules."""
    assert "SUCCESS" in promtool("test", "rules", CASES)


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(alert):
    """Counted, because promtool does not mind an alert without a case."""
    cases = [
        case
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("alert", alerts(), ids=NAMES)
def test_every_alert_says_what_it_means_and_where_to_read_on(alert):
    """Severity, summary, description, and a section of the runbook."""
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
    assert f"{PAGE}#{alert['alert'].lower()}" == alert["annotations"]["runbook_url"]
    assert alert["alert"].startswith("Temwatch")


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    """Headings of the second level are anchors of the same name in lower case."""
    assert NAMES == re.findall(r"^## (Temwatch\w+)$", RUNBOOK.read_text(), re.MULTILINE)


def test_every_section_of_the_runbook_says_what_to_look_at():
    """Three parts each."""
    for section in RUNBOOK.read_text().split("\n## ")[1:]:
        if section.startswith("Temwatch"):
            for part in ("**Meaning.**", "**Look.**", "**Do.**"):
                assert part in section, section.splitlines()[0]


def test_every_recorded_series_is_used():
    """By an alert or by the dashboard."""
    used = set().union(
        *map(metric_names, [alert["expr"] for alert in alerts()]), *map(metric_names, dashboard_expressions())
    )
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert recorded == {name for name in used if ":" in name}
