import pytest

from kura.core.errors import BadRequest
from kura.queue.queues import QUEUES, queue_checked, routed


def test_there_are_thirteen_queue_classes():
    assert len(QUEUES) == len(set(QUEUES)) == 13


@pytest.mark.parametrize(
    ("base", "flags", "xl", "queue"),
    [
        ("summary", [], False, "summary"),
        ("summary", ["large"], False, "summary_xl"),
        ("summary", [], True, "summary_xl"),
        ("summary", ["penalty", "large"], True, "summary_penalty"),
        ("refresh", ["penalty"], False, "refresh_penalty"),
        ("priority", ["large"], False, "priority_xl"),
        ("default", ["penalty", "large"], True, "default"),
        ("hcs", ["large"], False, "hcs"),
    ],
)
def test_penalty_beats_xl_and_a_class_without_variants_takes_all(base, flags, xl, queue):
    assert routed(base, flags=flags, xl=xl) == queue


@pytest.mark.parametrize(
    ("former", "queue"),
    [
        ("celery", "default"),
        ("download_xl", "default"),
        ("ocp_xl", "summary_xl"),
        ("cost_model_penalty", "refresh_penalty"),
    ],
)
def test_a_queue_of_koku_means_the_class_that_does_its_work(former, queue):
    assert queue_checked(former) == queue


def test_an_unknown_queue_is_refused():
    with pytest.raises(BadRequest, match="nowhere"):
        queue_checked("nowhere")
