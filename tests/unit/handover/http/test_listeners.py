"""HTTP on the agent's own Unix socket: the same socket, for whoever speaks it."""

from pathlib import Path

from credagent.handover.http.listeners import unix_http
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, refusal, text
from credagent.handover.unix.server import SocketServer
from tests.unit.handover.unix.test_server import Client, tell, until


class Face:
    """Answers two paths."""

    def answer(self, request: HttpRequest) -> HttpResponse:
        return text("alive\n") if request.path == "/healthz" else refusal(404, "not-found", "there is /healthz")


def test_http_on_the_agents_socket_is_answered_beside_lines(tmp_path: Path) -> None:
    async def story(server: SocketServer, client: Client) -> None:
        other = await client.another()
        client.writer.write(b"GET /healthz HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n")
        answered = await client.reader.read()
        assert answered.count(b"HTTP/1.1 200 OK") == answered.count(b"HTTP/1.1 404 Not Found") == 1
        client.writer.close()
        await until(lambda: len(server.connections) == 1)
        assert (await other.ask(op="status"))["ok"]

    tell(story, tmp_path, http=unix_http(Face().answer, lambda _face, _outcome: None))
