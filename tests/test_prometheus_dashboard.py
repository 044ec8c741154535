"""deploy/grafana/temwatch.json: variables, rows, and expressions that Prometheus can parse."""

import json

import yaml

from monitoring import DASHBOARD, dashboard_expressions, panels, promtool

BOARD = json.loads(DASHBOARD.read_text())


def test_the_data_source_and_the_microscope_are_variables():
    """No panel is tied to one Prometheus."""
    assert ["datasource", "instance"] == [variable["name"] for variable in BOARD["templating"]["list"]]
    for panel in panels():
        assert "${datasource}" == panel["datasource"]["uid"]
        for target in panel["targets"]:
            assert "${datasource}" == target["datasource"]["uid"]
            assert 'instance=~"$instance"' in target["expr"]


def test_what_can_be_down_has_a_panel_in_the_first_row():
    """Every gauge that an alert on the state of the service looks at."""
    last = next(number for number, panel in enumerate(BOARD["panels"]) if panel["title"] == "Throughput")
    health = " ".join(
        target["expr"] for panel in BOARD["panels"][:last] for target in panel.get("targets", ())
    )
    for name in ("ready", "watch_folder_up", "output_writable", "workers_hung", "gpu_healthy"):
        assert f"temwatch_{name}{{" in health


def test_every_topic_has_its_row():
    """In the order in which one asks."""
    titles = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert ["Health", "Throughput", "Latency", "Failures", "Particles", "Disk"] == titles


def test_panels_have_their_own_place():
    """No two overlap, none leaves the 24 columns, and numbers are not given twice."""
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_prometheus_parses_every_expression(tmp_path):
    """As rules of a file of their own."""
    expressions = dashboard_expressions()
    entries = [
        {"record": f"panel:temwatch_{number}", "expr": expr} for number, expr in enumerate(expressions)
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": entries}]}))
    assert f"{len(expressions)} rules found" in promtool("check", "rules", file)
