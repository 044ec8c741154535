"""What counts as alive, ready and advancing, from what the parts of the service say."""

from dataclasses import replace
from datetime import UTC, datetime

from temwatch import health

WELL = health.ServiceState(
    now_s=1000.0,
    intake_turned_s=999.5,
    engine_turned_s=999.5,
    is_listed=True,
    is_scanned=True,
    pending_call_since_s=None,
    last_scan_at=datetime(2026, 3, 2, tzinfo=UTC),
    event_overflows=2,
    entries_skipped={"link_loop": 1},
    in_hand=3,
    last_finished="Au_07: 212 particles",
    is_device_healthy=True,
    is_output_writable=True,
    output_free_bytes=10**9,
    workers_hung=0,
    hanging_s=0.0,
)


def test_a_service_that_is_well_is_all_of_it():
    """Started, ready, advancing; page and metrics see the same."""
    assert (True, True, True) == (health.has_started(WELL), health.is_ready(WELL), health.is_advancing(WELL))
    expected = health.Vitals(
        ready=True,
        watch_folder_up=True,
        gpu_healthy=True,
        output_writable=True,
        output_free_bytes=10**9,
        workers_hung=0,
        last_scan_at=WELL.last_scan_at,
        event_overflows=2,
        entries_skipped={"link_loop": 1},
    )
    assert expected == health.vitals(WELL)
    assert "3 in hand, last Au_07: 212 particles" == health.in_words(WELL)


def test_it_has_started_when_the_first_scan_was_tried_even_in_vain():
    """A folder that is missing is waited for: READY, but not ready for a micrograph."""
    unknown = replace(WELL, is_listed=None, is_scanned=False)
    missing = replace(unknown, is_listed=False)
    compiling = replace(WELL, engine_turned_s=0.0)
    assert [False, True, False] == [health.has_started(one) for one in (unknown, missing, compiling)]
    assert not any(health.is_ready(one) for one in (unknown, missing, compiling))
    assert "the watched folder is missing" == health.in_words(missing)


def test_a_share_that_hangs_is_down_but_is_not_mended_by_a_restart():
    """The watchdog is fed while a call is pending, for however long."""
    pending = replace(WELL, intake_turned_s=600.0, pending_call_since_s=990.0)
    hanging = replace(pending, pending_call_since_s=600.0)
    assert [True, False] == [health.is_folder_up(one) for one in (pending, hanging)]
    assert [True, True] == [health.is_advancing(one) for one in (pending, hanging)]
    assert "the watched folder does not answer" == health.in_words(hanging)


def test_a_loop_that_stands_still_is_not_advancing():
    """The intake soon; the engine after a time in which it may rewrite large tables."""
    intake, engine = replace(WELL, intake_turned_s=960.0), replace(WELL, engine_turned_s=600.0)
    writing = replace(WELL, engine_turned_s=800.0)
    assert [False, False, True] == [health.is_advancing(one) for one in (intake, engine, writing)]


def test_a_sick_device_is_not_ready():
    """It is told apart from everything else."""
    sick = replace(WELL, is_device_healthy=False)
    assert (False, False) == (health.is_ready(sick), health.vitals(sick).gpu_healthy)
    assert health.is_advancing(sick)


def test_results_that_cannot_be_written_and_hung_workers_are_told():
    """Not ready, in words, and the watchdog ends a service that does not replace a worker in time."""
    full, hung = replace(WELL, is_output_writable=False), replace(WELL, workers_hung=2, hanging_s=70.0)
    assert not health.is_ready(full)
    assert not health.is_ready(hung)
    assert "results cannot be written" == health.in_words(full)
    assert "2 workers hang, 3 in hand" == health.in_words(hung)
    assert ["the results cannot be written"] == health.obstacles(health.vitals(full))
    assert ["2 workers hang"] == health.obstacles(health.vitals(hung))
    assert [True, True, False] == [
        health.is_advancing(one) for one in (full, hung, replace(hung, hanging_s=190.0))
    ]
