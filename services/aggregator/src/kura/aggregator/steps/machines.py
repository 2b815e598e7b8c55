"""Virtual machines: what they ask for and which claims they use, over a month (ocp-pipeline §10.4, P9)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps.reading import bounds
from kura.core.days import DayRange

MOST_NAMES_OF_A_POD = 10
"""A pod runs one machine. Names beyond so many would multiply with the claims of the pod."""


def vm_requests(vm_usage_hourly: Relation, month: DayRange) -> Relation:
    """W, from the report of virtual machines.

    In      hourly rows of the month; vm_cpu_request_cores [cores], vm_memory_request_bytes [bytes]
    Out     namespace, vm_name, node, claim, cpu_core_hours [core·h per day], memory_gigabyte_hours [GiB·h per day]
    Rule    the latest hour of the month decides what is asked for and where, the greatest name of several nodes;
            claims are those of the whole month
    Errors  none
    Source  ocp-pipeline §10.4, decision P9
    """
    return vm_usage_hourly.engine.compute(statement("vm_requests"), bounds(month), vm_usage_hourly=vm_usage_hourly)


def vm_claims(*, pod_usage_daily: Relation, storage_usage_daily: Relation, month: DayRange) -> Relation:
    """The claims of virtual machines, where there is no report of them.

    In      pod and storage rows by day, of the month
    Out     distinct namespace, vm_name, claim
    Rule    a claim belongs to the machine whose pod mounts it, within one namespace
    Errors  InvalidData when a label text is not JSON
    Source  ocp-pipeline §10.4, decision P9
    """
    return pod_usage_daily.engine.compute(
        statement("vm_claims"),
        bounds(month) | {"most_names": MOST_NAMES_OF_A_POD},
        pod_usage_daily=pod_usage_daily,
        storage_usage_daily=storage_usage_daily,
    )
