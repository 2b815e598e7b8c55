"""Names of constraints and indexes, the same in every schema so that a clone of the template is recognised."""

from typing import Final

CONVENTION: Final = {
    "pk": "%(table_name)s_pk",
    "fk": "%(table_name)s_%(column_0_N_name)s_fk",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_ix",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}
