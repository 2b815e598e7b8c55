"""Who calls a gRPC service that serves users: the same identity as over HTTP."""

from __future__ import annotations

from grpc import aio

from kura.core.identity import Identity, IdentityProvider
from kura.rpc.server import metadata_of


async def caller_of(context: aio.ServicerContext, identity: IdentityProvider) -> Identity:
    """The caller by the metadata of a call. Unauthorised, Forbidden, DependencyFailed."""
    return await identity.identify(metadata_of(context), client=client_of(context.peer()))


def client_of(peer: str) -> str | None:
    """The caller's address in gRPC's `ipv4:127.0.0.1:4711` or `ipv6:%5B::1%5D:4711`; None for a local socket."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return rest.rpartition(":")[0].removeprefix("%5B").removesuffix("%5D").strip("[]")
