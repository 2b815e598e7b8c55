"""Rates on virtual machines (cost-models §6.3, §7.5, §7.6)."""

from __future__ import annotations

from dataclasses import dataclass

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps.reading import bounds
from kura.core.days import DayRange


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What is known of the machines of some days."""

    groups: Relation
    days: Relation
    places: Relation
    labels: Relation


def machine_days(vm_usage_hourly: Relation, days: DayRange) -> Relation:
    """Uptime and cores of every machine and day, from the report of machines.

    In      hourly rows; vm_uptime_total_seconds [s], vm_cpu_request_cores [cores]
    Out     usage_start, vm_name, hours [h], longest_hours [h], cores [cores]
    Rule    sum and largest of uptimes, largest number of cores; machines are told apart by name
    Errors  none
    Source  cost-models §6.3, §7.6; example 10
    """
    return vm_usage_hourly.engine.compute(
        statement("costs/machine_days"), bounds(days), vm_usage_hourly=vm_usage_hourly
    )


def machine_pod_days(pod_usage_hourly: Relation, days: DayRange) -> Relation:
    """Uptime of every machine and day, where there is no report of machines.

    In      hourly rows of pods with their labels as they were sent
    Out     usage_start, vm_name, hours [h], longest_hours and cores (null)
    Rule    each row that carries the machine's name is an hour
    Errors  InvalidData when a label text is not JSON
    Source  cost-models §7.6
    """
    return pod_usage_hourly.engine.compute(
        statement("costs/machine_pod_days"), bounds(days), pod_usage_hourly=pod_usage_hourly
    )


def machine_places(vm_usage_hourly: Relation, month: DayRange) -> Relation:
    """Where every machine was last in the month.

    In      hourly rows of the month
    Out     vm_name, node, resource_id, day
    Rule    the latest interval decides
    Errors  none
    Source  cost-models §6.3
    """
    return vm_usage_hourly.engine.compute(
        statement("costs/machine_places"), bounds(month), vm_usage_hourly=vm_usage_hourly
    )


def machine_groups(base: Relation) -> Relation:
    """Pod rows of machines, grouped as their rates charge them.

    In      base rows
    Out     usage_start, node, namespace, data_source, cost_category_id, pod_labels, all_labels, vm_name, capacities,
            is_requested, is_running
    Rule    cloud rows of a machine form groups of their own where their labels differ (Q14)
    Errors  none
    Source  cost-models §6.3, §7.6
    """
    return base.engine.compute(statement("costs/machine_groups"), base=base)


def machine_labels(machine_groups: Relation, machine_places: Relation) -> Relation:
    """The labels of every machine on its latest day.

    In      groups of the latest days; where every machine was last
    Out     vm_name, pod_labels, all_labels
    Rule    all label maps of that day in one, per key the last value of the alphabet
    Errors  none
    Source  cost-models §6.3
    """
    return machine_groups.engine.compute(
        statement("costs/machine_labels"), machine_groups=machine_groups, machine_places=machine_places
    )


def machine_charges(
    machines: Machines, *, monthly_rates: Relation, hourly_rates: Relation, days_in_month: int
) -> Relation:
    """Months and hours of machines and of their cores.

    In      groups, days, places, labels; rates by metric and cost type
    Out     charges on CPU
    Rule    a month is charged whatever the uptime; of the pods of one machine only one pays for its cores
    Errors  none
    Source  cost-models §6.3, §7.6; example 10
    """
    return machines.groups.engine.compute(
        statement("costs/machine_charges"),
        {"days_in_month": days_in_month},
        machine_groups=machines.groups,
        machine_days=machines.days,
        machine_places=machines.places,
        machine_labels=machines.labels,
        monthly_rates=monthly_rates,
        hourly_rates=hourly_rates,
    )


def tag_machine_charges(
    machines: Machines, *, label_rates: Relation, tag_rates: Relation, days_in_month: int
) -> Relation:
    """The same by tag.

    In      groups, days, places; label rates; tag rates
    Out     charges on CPU, with the labels of the pod
    Rule    as without tag, but an hour of cores is charged for the longest interval of the day only; an unlisted value
            has the default's rate, without one it costs nothing; for months a key among all labels is enough for the
            default
    Errors  none
    Source  cost-models §7.5
    """
    return machines.groups.engine.compute(
        statement("costs/tag_machine_charges"),
        {"days_in_month": days_in_month},
        machine_groups=machines.groups,
        machine_days=machines.days,
        machine_places=machines.places,
        label_rates=label_rates,
        tag_rates=tag_rates,
    )
