"""Running the viewer: a socket of this machine alone, uvicorn on it."""

import errno
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette

from hage_transfer.errors import ConfigError

HOST = "127.0.0.1"
_BACKLOG = 256
_GRACE_S = 2
_LOOK_S = 0.5


@contextmanager
def listening(port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that takes connections from this machine, and the page's address.

    Args:
        port: 0: one that is free.

    Raises:
        ConfigError: the port is taken, or not allowed to this user.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        if os.name != "nt":  # there it would share a port that is taken
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            why = "taken" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
            raise ConfigError(f"port={port}: {why}; give another, or 0 for a free one") from None
        sock.listen(_BACKLOG)
        yield sock, f"http://{HOST}:{sock.getsockname()[1]}/"


class BackgroundServer:
    """Answers requests in a thread of its own until it is stopped."""

    def __init__(self, app: Starlette, sock: socket.socket) -> None:
        import uvicorn

        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([sock],), name="viewer", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until it is stopped, or Ctrl-C comes (KeyboardInterrupt)."""
        while self._thread.is_alive():
            self._thread.join(_LOOK_S)

    def stop(self) -> None:
        """Ends what is being answered and the thread."""
        self._server.should_exit = True
        self._thread.join(2 * _GRACE_S)


def open_browser(address: str) -> bool:
    """Opens the page where there is a screen; whether it could."""
    screen = sys.platform in ("darwin", "win32") or any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY"))
    return screen and webbrowser.open(address)
