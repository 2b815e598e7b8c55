"""Counters of what happens to tasks, by queue and type; gauges of what waits, set by the status reconciler."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

STARTED = Counter("kura_tasks_started_total", "Attempts begun.", ["queue", "type"])
SUCCEEDED = Counter("kura_tasks_succeeded_total", "Tasks done.", ["queue", "type"])
FAILED = Counter("kura_tasks_failed_total", "Tasks that failed for good.", ["queue", "type", "code"])
REQUEUED = Counter("kura_tasks_requeued_total", "Tasks put back to their queue.", ["queue", "type", "code"])
ZOMBIES = Counter(
    "kura_tasks_zombies_total", "Attempts whose result was refused because their lease had moved on.", ["queue", "type"]
)
SECONDS = Histogram(
    "kura_task_seconds",
    "Duration of one attempt.",
    ["queue", "type", "outcome"],
    buckets=(0.01, 0.05, 0.2, 1, 5, 15, 60, 300, 900, 3600),
)
WAITED_SECONDS = Histogram(
    "kura_task_wait_seconds",
    "Time from when a task could start to when it did.",
    ["queue"],
    buckets=(0.01, 0.05, 0.2, 1, 5, 15, 60, 300, 900, 3600),
)
REFUSED_MESSAGES = Counter(
    "kura_messages_refused_total", "Messages that went to the dead-letter queue unread, by reason.", ["queue", "reason"]
)
PUBLISHED = Counter("kura_messages_published_total", "Messages confirmed by the broker.", ["queue"])
PUBLISH_FAILURES = Counter("kura_publish_failures_total", "Publishing that failed and will be tried again.")

BACKLOG = Gauge("kura_queue_backlog", "Tasks that may start now and have no worker.", ["queue"])
DELAYED = Gauge("kura_queue_delayed", "Tasks that wait for their time.", ["queue"])
RUNNING = Gauge("kura_queue_running", "Tasks with a worker.", ["queue"])
DEAD = Gauge("kura_queue_dead", "Tasks that failed for good and wait for a decision.", ["queue"])
OLDEST_SECONDS = Gauge("kura_queue_oldest_seconds", "Age of the oldest task that may start now.", ["queue"])
DEAD_LETTERS = Gauge("kura_dead_letters", "Messages in the dead-letter queue of the broker.", ["queue"])
EXPIRED = Counter("kura_tasks_lease_expired_total", "Tasks whose worker fell silent.", ["outcome"])
PUBLISHED_AGAIN = Counter("kura_tasks_published_again_total", "Tasks whose message was lost and is sent again.")
