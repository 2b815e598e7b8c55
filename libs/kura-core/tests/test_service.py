"""The connections a service accepts."""

import asyncio
import socket
from typing import Any

from starlette.applications import Starlette

from kura.core.service import Running, Service
from kura.core.wire import LimitedHttp


async def test_answers_leave_at_once_and_do_not_wait_for_more_to_send(monkeypatch):
    accepted: list[Any] = []
    connection_made = LimitedHttp.connection_made

    def made(self: LimitedHttp, transport: asyncio.Transport) -> None:
        accepted.append(transport.get_extra_info("socket"))
        connection_made(self, transport)

    monkeypatch.setattr(LimitedHttp, "connection_made", made)

    async def called(running: Running) -> None:
        _, writer = await asyncio.open_connection(*running.http.removeprefix("http://").rsplit(":", 1))
        while not accepted:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.001)
        without_delay.append(accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        service.stop()

    without_delay: list[Any] = []
    service = Service(name="test", app=Starlette(), on_ready=called)
    await service.run()

    assert without_delay == [1]
