"""A client that asks for runs while the daemon comes and goes, and never asks for one twice."""

import itertools
import random
import threading
from typing import Any, Self

import httpx
from tests.fixtures.daemon import DaemonProcess

_PAUSE_S = 0.01


class Load:
    """Asks for `count` runs, each under an Idempotency-Key of its own, until all are accepted.

    It asks for no more than it is allowed by `allow`, so that the runs are spread over a test;
    it ends with its `with` block.
    """

    def __init__(
        self, daemon: DaemonProcess, *, count: int, seed: int, askers: int = 3, longest_ms: int = 80
    ) -> None:
        self.accepted: dict[str, tuple[str, dict[str, Any]]] = {}
        """The runs that were answered with 202: id → the pipeline and the params."""
        self.refused: list[str] = []
        self.count = count
        self._daemon, self._seed, self._longest_ms = daemon, seed, longest_ms
        self._key = daemon.key
        self._allowed = threading.Condition()
        self._limit = 0
        self._numbers = itertools.count()
        self._stopped = False
        self._threads = [threading.Thread(target=self._ask_all) for _ in range(askers)]
        for thread in self._threads:
            thread.start()

    def allow(self, count: int) -> None:
        """Let it ask for that many in all."""
        with self._allowed:
            self._limit = min(count, self.count)
            self._allowed.notify_all()

    def is_done(self) -> bool:
        return len(self.accepted) == self.count or bool(self.refused)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        with self._allowed:
            self._allowed.notify_all()
        for thread in self._threads:
            thread.join()

    def _ask_all(self) -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while (number := next(self._numbers)) < self.count:
                with self._allowed:
                    self._allowed.wait_for(lambda n=number: self._stopped or n < self._limit)
                while not self._stopped and not self._ask(client, number):
                    threading.Event().wait(_PAUSE_S)

    def _ask(self, client: httpx.Client, number: int) -> bool:
        """Whether the run of this number has been accepted or refused for good."""
        chance = random.Random(f"{self._seed} {number}")
        name = chance.choice(["patient", "patient", "once"])
        failures = chance.choice([0, 0, 0, 1]) if name == "patient" else 0
        params = {"ms": chance.randrange(self._longest_ms), "failures": failures, "number": number}
        info, process = self._daemon.info(), self._daemon.process
        if info is None or process is None or info["pid"] != process.pid:
            return False
        try:
            answer = client.post(
                f"{info['url']}/api/v1/pipelines/{name}/runs",
                json={"params": params},
                headers={
                    "Authorization": f"Bearer {self._key}",
                    "Idempotency-Key": f"{self._seed}-{number}",
                },
            )
        except httpx.TransportError:
            return False
        if answer.status_code == 503:
            return False
        if answer.status_code == 202:
            self.accepted[answer.json()["id"]] = (name, params)
        else:
            self.refused.append(answer.text)
        return True
