"""QEMU's monitor: the few commands of its JSON protocol that a snapshot and a guest's last words need."""

import json
import select
import socket
import time
from typing import Any

# Only the devices' state is written then; the memory is a file of its own.
_IGNORE_SHARED = {
    "execute": "migrate-set-capabilities",
    "arguments": {"capabilities": [{"capability": "x-ignore-shared", "state": True}]},
}


class MonitorError(Exception):
    """QEMU refused a command, has ended, or did not reply in time."""


class Monitor:
    """Our end of one QEMU's monitor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines: list[bytes] = []
        self._rest = b""
        self._is_open = False

    def close(self) -> None:
        """Close the connection to the monitor."""
        self._sock.close()

    def begin_restore(self, state: int, timeout: float) -> None:
        """Tell a QEMU that waits for a state (`-incoming defer`) to start from this descriptor of ours.

        Nothing is waited for: QEMU reads its orders when it is up.
        """
        deadline = time.monotonic() + timeout
        self._pass(state)
        incoming = {"execute": "migrate-incoming", "arguments": {"uri": "fd:state"}}
        for command in (_getfd("state"), _IGNORE_SHARED, incoming):
            self._send(command, deadline)

    def end_restore(self, timeout: float) -> None:
        """Wait until QEMU has taken the orders of `begin_restore`. Raises MonitorError when it could not."""
        deadline = time.monotonic() + timeout
        for _ in range(4):
            self._reply(deadline)

    def save(self, state: int, timeout: float) -> None:
        """Write the devices' state into a descriptor of ours; the guest stands still afterwards."""
        deadline = time.monotonic() + timeout
        self._pass(state)
        outgoing = {"execute": "migrate", "arguments": {"uri": "fd:state"}}
        for command in (_getfd("state"), _IGNORE_SHARED, outgoing):
            self._send(command, deadline)
        for _ in range(4):
            self._reply(deadline)
        while True:
            self._send({"execute": "query-migrate"}, deadline)
            status = self._reply(deadline).get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise MonitorError(f"the state was not written: {status}")
            time.sleep(0.002)

    def proceed(self, timeout: float) -> None:
        """Let a guest that stands still go on."""
        deadline = time.monotonic() + timeout
        self._send({"execute": "cont"}, deadline)
        self._reply(deadline)

    def stop(self, timeout: float) -> None:
        """Have the guest stand still, and its clock, until `proceed`."""
        self._execute("stop", time.monotonic() + timeout)

    def inject_nmi(self, timeout: float) -> None:
        """Send the guest's processor an interrupt that it can't mask. Raises MonitorError where the machine
        has none.
        """
        self._execute("inject-nmi", time.monotonic() + timeout)

    def _execute(self, what: str, deadline: float) -> None:
        for command in ("qmp_capabilities",) * (not self._is_open) + (what,):
            self._send({"execute": command}, deadline)
            self._reply(deadline)
        self._is_open = True

    def _pass(self, descriptor: int) -> None:
        """Hand over a descriptor beside a command; QEMU keeps it for the `getfd` that follows."""
        # The dialogue is opened once; later on any command will do.
        command = b'{"execute":"query-version"}' if self._is_open else b'{"execute":"qmp_capabilities"}'
        self._is_open = True
        try:
            socket.send_fds(self._sock, [command + b"\n"], [descriptor])
        except OSError as error:
            raise MonitorError(str(error)) from None

    def _send(self, command: dict[str, Any], deadline: float) -> None:
        self._sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            self._sock.sendall(json.dumps(command).encode() + b"\n")
        except OSError as error:
            raise MonitorError(str(error)) from None

    def _reply(self, deadline: float) -> dict[str, Any]:
        """The reply to the oldest unanswered command; greetings and events are passed over."""
        while True:
            while not self._lines:
                self._read(deadline)
            message = json.loads(self._lines.pop(0))
            if "error" in message:
                raise MonitorError(message["error"].get("desc", "unknown"))
            if "return" in message:
                result: dict[str, Any] = message["return"]
                return result

    def _read(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._sock], [], [], left)[0]:
            raise MonitorError("no reply in time")
        try:
            part = self._sock.recv(65536)
        except OSError as error:
            raise MonitorError(str(error)) from None
        if not part:
            raise MonitorError("QEMU has gone")
        *whole, self._rest = (self._rest + part).split(b"\n")
        self._lines += [line for line in whole if line.strip()]


def _getfd(name: str) -> dict[str, Any]:
    return {"execute": "getfd", "arguments": {"fdname": name}}
