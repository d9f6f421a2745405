"""A host that answers every doveadm request with success, its tag echoed, and closes the connection.

nginx does it when it is installed with the echo module (`echo_read_request_body`, then a regular expression on the body);
else a few Python processes do. Only loopback addresses are listened on.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from measure import BenchmarkError, children_of, cpu_of

ADDRESSES = tuple(f"127.0.71.{number}" for number in range(1, 5))
ECHO_MODULES = ("/usr/lib/nginx/modules/ngx_http_echo_module.so", "/usr/lib64/nginx/modules/ngx_http_echo_module.so")

_NGINX = """
{module}
daemon off; pid nginx.pid; error_log error.log; worker_processes {workers};
events {{ worker_connections 8192; }}
http {{
  map $request_method $other {{ default 1; POST 0; }}
  access_log other.log combined if=$other; keepalive_timeout 0; server_tokens off;
  client_body_in_single_buffer on; client_body_buffer_size 64k;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  map $request_body $tag {{ "~\\"(?<found>[^\\"]+)\\"\\]\\]\\s*$" $found; }}
  server {{
    {listen}
    location / {{ echo_read_request_body; echo_exec @answer; }}
    location @answer {{ default_type application/json; return 200 '[["doveadmResponse",[],"$tag"]]'; }}
  }}
  server {{ listen {status}; access_log off; location / {{ stub_status; }} }}
}}
"""


@dataclass
class Stub:
    """Running hosts.

    Attributes:
        name: what answers, in words.
        addresses: of the hosts.
        port: of all of them.
    """

    name: str
    addresses: tuple[str, ...]
    port: int
    pids: tuple[int, ...]
    status_url: str
    other_log: Path | None = None
    questions: int = 0  # asked at `status_url`

    @property
    def urls(self) -> list[str]:
        """Where requests go."""
        return [f"http://{address}:{self.port}/doveadm/v1" for address in self.addresses]

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return cpu_of(self.pids)

    def posts(self) -> int | None:
        """POST requests answered so far, or None when they are not counted; a look at the host (GET) is no operation."""
        if self.other_log is None:
            return None
        self.questions += 1
        with urlopen(self.status_url) as answer:
            requests = int(answer.read().decode().splitlines()[2].split()[2])
        return requests - self.questions - len(self.other_log.read_text(encoding="utf-8").splitlines())


@contextlib.contextmanager
def running(folder: Path, *, kind: str = "auto", workers: int = 1) -> Iterator[Stub]:
    """Hosts that run until the block ends.

    Args:
        folder: for its files.
        kind: nginx, python, or auto for the first of them that can be had.
        workers: processes.

    Raises:
        BenchmarkError: nginx was asked for and cannot be had.
    """
    if kind == "nginx" and not nginx_usable():
        raise BenchmarkError(
            "the nginx stub needs nginx and its echo module: apt-get install nginx-light libnginx-mod-http-echo"
        )
    use_nginx = kind == "nginx" or (kind == "auto" and nginx_usable())
    with _nginx(folder, workers) if use_nginx else _python(workers) as stub:
        yield stub


def nginx_usable() -> bool:
    """Whether nginx and its echo module are installed."""
    return _nginx_path() is not None and _echo_module() is not None


def _nginx_path() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _echo_module() -> str | None:
    return next((path for path in ECHO_MODULES if Path(path).exists()), None)


def _free_port() -> int:
    """A port below the range that outgoing connections use, free on all addresses."""
    for port in range(18080, 18180):
        with contextlib.ExitStack() as stack:
            try:
                for address in ADDRESSES:
                    trial = stack.enter_context(socket.socket())
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    trial.bind((address, port))
            except OSError:
                continue
            return port
    raise BenchmarkError("no free port between 18080 and 18179")


@contextlib.contextmanager
def _nginx(folder: Path, workers: int) -> Iterator[Stub]:
    folder.mkdir(parents=True, exist_ok=True)
    port, status = _free_port(), f"{ADDRESSES[0]}:{_free_port() + 1000}"
    listen = " ".join(f"listen {address}:{port} backlog=4096;" for address in ADDRESSES)
    text = _NGINX.format(module=f"load_module {_echo_module()};", workers=workers, listen=listen, status=status)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [_nginx_path() or "nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", "nginx.conf"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for(ADDRESSES, port, server)
        pids = (server.pid, *children_of(server.pid))
        yield Stub(f"nginx, {workers} worker(s)", ADDRESSES, port, pids, f"http://{status}/", folder / "other.log")
    finally:
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def _python(workers: int) -> Iterator[Stub]:
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_serve, args=(port,), daemon=True) for _ in range(max(2, workers))]
    try:
        for process in processes:
            process.start()
        _wait_for(ADDRESSES, port, None)
        pids = tuple(process.pid for process in processes if process.pid)
        yield Stub(f"Python, {len(processes)} processes", ADDRESSES, port, pids, "")
    finally:
        for process in processes:
            process.terminate()
            process.join(10)


def _wait_for(addresses: Sequence[str], port: int, server: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + 20
    for address in addresses:
        while True:
            try:
                socket.create_connection((address, port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or (server is not None and server.poll() is not None):
                    raise BenchmarkError("the stub does not start") from None
                time.sleep(0.05)


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TAG = re.compile(rb'"([^"]+)"\]\]\s*$')


class _Answerer(asyncio.Protocol):
    """One request, one answer, closed."""

    def connection_made(self, transport: Any) -> None:
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or len(body) < int(length[1] if length else 0):
            return
        tag = _TAG.search(body)
        content = b'[["doveadmResponse",[],"%s"]]' % (tag[1] if tag else b"")
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
            % (len(content), content)
        )
        self._transport.close()


def _serve(port: int) -> None:
    """Answer for ever, in a process of its own."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - where it is installed

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_listen(port))


async def _listen(port: int) -> None:
    loop = asyncio.get_running_loop()
    for address in ADDRESSES:
        await loop.create_server(_Answerer, address, port, reuse_port=True, backlog=4096)
    await asyncio.Event().wait()
