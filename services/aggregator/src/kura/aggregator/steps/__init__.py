"""The steps of the pipelines: functions from relations to a relation, each one SQL statement."""
