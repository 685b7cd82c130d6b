"""Predictions for the engine: asked beside it, answered by its inputs, never waited for.

Ask -> a thread -> Triton (asked again where it does not answer soon) -> Prediction;  Triton down -> in-process, where the setting says so
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from core.configuration import LIVE
from core.events import Ask, Input, Prediction, PredictionFailed
from core.inference import Answers, Predictor, in_process
from core.triton import TritonError
from monitoring import metrics

log = logging.getLogger(__name__)
AGAIN_S = 0.02  # Triton's batcher can miss a wake-up: a second request wakes it
RETRY_TRITON_NS = 10_000_000_000


class Predicting:
    """One served version. `put` takes the answers. `url` is Triton's gRPC address, empty for in-process from `folder`.

    `where`: the address of the Triton that runs now, empty where none does; asked after the one at `url` was down: one that is started
    again may have another.
    """

    def __init__(
        self,
        put: Callable[[Input], None],
        clock: Callable[[], int],
        *,
        version_id: str,
        alias: str,
        number: int,
        model: str,
        folder: Path,
        url: str = "",
        fallback: bool = True,
        where: Callable[[], str] = str,
    ) -> None:
        self.put, self.clock, self.version_id, self.alias = put, clock, version_id, alias
        self.url, self.model, self.number, self.folder, self.fallback = url, model, number, folder, fallback
        self.where = where
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="predict")
        self.local_thread = ThreadPoolExecutor(1, thread_name_prefix="predict-local")
        self._clients: list[Predictor] = []
        self._local: Callable[..., Answers] | None = None
        self._down_since = 0
        self._nothing: np.ndarray | None = None
        self.doing: set[asyncio.Task[None]] = set()

    def warm(self, window: int, n_features: int) -> str:
        """Ask once before it counts; returns who serves. Raises `FormError` or `TritonError` where nobody does."""
        nothing = self._nothing = np.zeros((1, window, n_features), np.float32)
        if self.url:
            try:
                self._ask_triton(nothing, 5.0)
            except TritonError:
                if not self.fallback:
                    raise
                self._down_since = self.clock()
        if self.fallback or not self.url:
            self._ask_local(nothing)
        return "triton" if self.url and not self._down_since else "in-process"

    def rehearse(self) -> None:
        """Ask about nothing, whatever the answer: Triton and the way to it are awake when it counts. Not while something is asked, and not
        where Triton is down."""
        if self.url and not self._down_since and not self.doing and self._nothing is not None:
            self.threads.submit(self._ask_triton, self._nothing, AGAIN_S)

    def ask(self, asked: Ask) -> None:
        task = asyncio.get_running_loop().create_task(self._ask(asked), name=f"predict {asked.symbol}")
        self.doing.add(task)
        task.add_done_callback(self.doing.discard)

    async def _ask(self, asked: Ask) -> None:
        window = np.asarray(asked.window, np.float32)[None]
        served_by = "triton"
        try:
            with metrics.span("predict"):
                if self.url and (not self._down_since or self.clock() - self._down_since > RETRY_TRITON_NS):
                    if self._down_since:
                        self._move(self.where())
                    answers = await self._by_triton(window, asked)
                else:
                    answers = None
                if answers is None:
                    served_by = "in-process"
                    if self.url and not self.fallback:
                        raise TritonError("Triton does not answer, and nothing else may")
                    answers = await asyncio.get_running_loop().run_in_executor(self.local_thread, self._ask_local, window)
        except (TritonError, ValueError, OSError, RuntimeError) as error:
            metrics.PREDICTIONS.labels(served_by, "failed").inc()
            failed = PredictionFailed(ts=self.clock(), symbol=asked.symbol, as_of=asked.as_of, reason=str(error), version=self.version_id)
            self.put(failed)
            return
        metrics.PREDICTIONS.labels(served_by, "answered").inc()
        down, flat, up = (float(p) for p in answers.direction[0])
        told = Prediction(
            ts=self.clock(), symbol=asked.symbol, as_of=asked.as_of, version=self.version_id, alias=self.alias, down=down, flat=flat, up=up,
            confidence=float(answers.confidence[0, 0]), volatility=float(answers.volatility[0, 0]), served_by=served_by,
        )  # fmt: skip
        self.put(told)

    async def _by_triton(self, window: np.ndarray, asked: Ask) -> Answers | None:
        """The first of two requests to answer; None where neither does in time."""
        loop, left = asyncio.get_running_loop(), max(0.001, (asked.deadline_ns - (self.clock() - asked.ts)) / 1e9)
        first = loop.run_in_executor(self.threads, self._ask_triton, window, left)
        done, waits = await asyncio.wait({first}, timeout=min(AGAIN_S, left))
        if not done:
            waits = {first, loop.run_in_executor(self.threads, self._ask_triton, window, left)}
            done, waits = await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for request in waits:  # nobody waits for it any more: what it ends with is nobody's surprise
            request.add_done_callback(lambda late: late.cancelled() or late.exception())
        for request in done:
            if request.exception() is None:
                self._down_since = 0
                return request.result()
        if not self._down_since:
            log.warning("Triton does not answer; %s", "in-process from here on" if self.fallback else "no predictions from here on")
        self._down_since = self.clock()
        return None

    def _move(self, url: str) -> None:
        """To the Triton that runs now."""
        if url and url != self.url:
            self.url = url
            while self._clients:
                self._clients.pop().close()

    def _ask_triton(self, window: np.ndarray, timeout_s: float) -> Answers:
        """In a thread of its own; a client serves one request at a time."""
        url = self.url
        try:
            client = self._clients.pop()
        except IndexError:
            client = Predictor(url, self.model, self.number, priority=LIVE)
        try:
            answers = client(window, timeout_s=timeout_s)
        except BaseException:
            client.close()
            raise
        if url == self.url:
            self._clients.append(client)
        else:
            client.close()
        return answers

    def _ask_local(self, window: np.ndarray) -> Answers:
        if self._local is None:
            self._local = in_process(self.folder)
        return self._local(window)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.local_thread.shutdown(wait=False, cancel_futures=True)
        for client in self._clients:
            client.close()
