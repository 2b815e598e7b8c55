import io
import json
import logging

import pytest

from kura.core.telemetry import bound, configure_logging, get_logger, span, traceparent


@pytest.fixture
def logs():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    written = io.StringIO()
    configure_logging(service="test", level="INFO", log_format="json", stream=written)
    (ours,) = root.handlers
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = [*before, *(h for h in root.handlers if h is not ours and h not in before)]
    root.setLevel(level)


def test_an_event_is_one_json_line_with_its_facts_and_what_the_door_bound(logs):
    with bound(org_id="42"):
        get_logger("somewhere").info("day_summarised", rows=3)

    (line,) = logs()
    assert (line["event"], line["rows"], line["org_id"], line["service"]) == ("day_summarised", 3, "42", "test")


def test_a_newline_in_a_name_cannot_forge_a_second_line(logs):
    get_logger("somewhere").info("project_seen", project='shop\n{"event":"forged"}\x1b[2J')

    (line,) = logs()
    assert line["project"] == 'shop\\x0a{"event":"forged"}\\x1b[2J'


def test_a_password_in_a_url_is_masked(logs):
    get_logger("somewhere").info("connecting", url="postgresql://kura:hidden@db/kura")

    (line,) = logs()
    assert line["url"] == "postgresql://kura:***@db/kura"


def test_without_an_endpoint_spans_are_free_and_have_no_traceparent():
    with span("work"):
        assert traceparent() is None
