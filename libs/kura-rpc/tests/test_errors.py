import pytest
from grpc import StatusCode, aio

import kura.rpc.errors
from kura.core import errors
from kura.core.errors import Deadline, KuraError, ParameterErrors, PayloadRefused, Unavailable, ValidationErrors
from kura.rpc.errors import DETAILS, from_rpc, status_details

SPECIAL = {
    ParameterErrors: ParameterErrors({"filter": ["bad"]}),
    ValidationErrors: ValidationErrors([("rates[0]", "missing")]),
    PayloadRefused: PayloadRefused("no manifest", reason_code="no_manifest"),
}
KINDS = [kind for kind in kura.rpc.errors.error_types() if kind.__module__ == errors.__name__]


def on_the_wire(error: KuraError) -> aio.AioRpcError:
    return aio.AioRpcError(
        error.grpc, aio.Metadata(), aio.Metadata((DETAILS, status_details(error))), details=str(error)
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_the_type_that_was_raised(kind: type[KuraError]):
    raised = SPECIAL.get(kind) or kind("it broke", field="start_date")
    arrived = from_rpc(on_the_wire(raised))

    assert type(arrived) is type(raised)
    assert str(arrived) == str(raised)
    assert arrived.field == raised.field
    assert vars(arrived) == vars(raised)


def test_a_code_this_version_does_not_know_keeps_its_retry():
    class FromTheFuture(Unavailable):
        code = "from_the_future"

    sent = on_the_wire(FromTheFuture("later"))
    FromTheFuture.code = "renamed"

    assert from_rpc(sent).retry


@pytest.mark.parametrize(
    ("status", "kind"), [(StatusCode.UNAVAILABLE, Unavailable), (StatusCode.DEADLINE_EXCEEDED, Deadline)]
)
def test_a_status_of_grpc_itself_has_a_meaning_too(status: StatusCode, kind: type[KuraError]):
    assert type(from_rpc(aio.AioRpcError(status, aio.Metadata(), aio.Metadata(), details="x"))) is kind
