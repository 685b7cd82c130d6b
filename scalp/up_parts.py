"""What `scalp up` starts, in order. A part more is a function here and its name in `PARTS`.

server -> pool -> worker, watch;  triton;  venue -> live
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core import alive, orchestrator
from core.services import Service, answers, free_ports
from core.serving_record import RepositoryError, read_record, record_path
from core.settings import CONFIG_FILE, Settings
from core.stack_marks import marks
from core.stack_parts import Part
from scalp.up_runs import worker_name
from scalp.up_server import well

WORKER_GRACE_S = 45.0  # the worker gives the flow runs in progress 30 s to end
LIVE_GRACE_S = 30.0  # orders are cancelled, all is written down
LOCAL = "local"


@dataclass(frozen=True)
class Ground:
    """What all parts stand on: the settings, and the ports that have to be the same after a restart."""

    config: Settings
    server_port: int
    venue_port: int

    @classmethod
    def of(cls, config: Settings, port: int) -> "Ground":
        """`port`: of Prefect's UI, 0 for a free one."""
        server, venue = free_ports(2, config.prefect.host)
        return cls(config, port or server, config.venue.port or venue)

    @property
    def prefect_url(self) -> str:
        return f"http://{self.config.prefect.host}:{self.server_port}"

    def environment(self, **more: str) -> dict[str, str]:
        """Ours, with the folder and the file of settings wherever the part runs, and the mark by which it is found again."""
        kept = os.environ | {"SCALP_DATA_DIR": str(self.config.data_dir), "PYTHONUNBUFFERED": "1", "COLUMNS": "160", "NO_COLOR": "1"}
        if "SCALP_CONFIG" not in kept and Path(CONFIG_FILE).is_file():
            kept["SCALP_CONFIG"] = str(Path(CONFIG_FILE).resolve())
        return kept | marks(self.config.data_dir) | more

    def prefect(self) -> dict[str, str]:
        return orchestrator.environment(self.config.data_dir, self.config.prefect.host, self.server_port)

    def service(self, name: str, command: list[str], env: dict[str, str], ready: Callable[[], bool], grace_s: float = 10.0) -> Service:
        data_dir = self.config.data_dir
        return Service(name, command, env, data_dir / "logs" / "up" / f"{name}.log", ready, data_dir=data_dir, grace_s=grace_s)


def server(ground: Ground) -> Part:
    config = ground.config

    def made() -> tuple[Service, str]:
        env = ground.environment(**ground.prefect() | orchestrator.server_environment(config.prefect.database_url.get_secret_value()))
        command = orchestrator.server_command(config.prefect.host, ground.server_port)
        auth = f"{orchestrator.USER}:{orchestrator.password(config.data_dir)}"
        return ground.service("server", command, env, well(ground.prefect_url, auth)), ground.prefect_url

    return Part("server", "Prefect's server and UI", made, essential=True)


def pool(ground: Ground) -> Part:
    def made() -> tuple[Service, str]:
        command = [sys.executable, "-m", "scalp.up_pool"]
        return ground.service("pool", command, ground.environment(**ground.prefect()), lambda: False), ""

    return Part("pool", "work pool, deployments, automations", made, needs=("server",), once=True)


def worker(ground: Ground) -> Part:
    host = ground.config.prefect.host

    def made() -> tuple[Service, str]:
        (port,) = free_ports(1, host)
        health = f"http://{host}:{port}/health"
        env = ground.environment(**ground.prefect() | orchestrator.worker_environment(host, port))
        command = orchestrator.worker_command(orchestrator.POOL, worker_name(), ground.config.up.worker_limit)
        return ground.service("worker", command, env, lambda: answers(health), WORKER_GRACE_S), health

    def farewell() -> Service:
        return ground.service("ended", [sys.executable, "-m", "scalp.up_runs"], ground.environment(**ground.prefect()), lambda: False)

    return Part("worker", "runs what is scheduled or started from the UI", made, needs=("server", "pool"), farewell=farewell)


def watch(ground: Ground) -> Part:
    data_dir = ground.config.data_dir

    def made() -> tuple[Service, str]:
        command = [sys.executable, "-m", "tasks.watch"]
        return ground.service("watch", command, ground.environment(**ground.prefect()), lambda: alive.seen(data_dir)), ""

    return Part("watch", "tells of runs that crashed unheard, or are late", made, needs=("server", "pool"))


def triton(ground: Ground) -> Part:
    config = ground.config

    def made() -> tuple[Service, str]:
        of = config.triton
        free = free_ports(3, of.host)
        grpc, http, metrics = (given or port for given, port in zip((of.grpc_port, of.http_port, of.metrics_port), free, strict=True))
        ports = {"SCALP_TRITON__GRPC_PORT": str(grpc), "SCALP_TRITON__HTTP_PORT": str(http), "SCALP_TRITON__METRICS_PORT": str(metrics)}
        record = read_record(record_path(config.data_dir))
        url = f"http://{of.host}:{http}/v2/models/{record.model_name if record else ''}/ready"
        command = [sys.executable, "-m", "scalp.up_triton"]
        return ground.service("triton", command, ground.environment(**ports), lambda: answers(url)), f"gRPC {of.host}:{grpc}"

    return Part("triton", "the served model", made, skipped=lambda: no_triton(config))


def no_triton(config: Settings) -> str | None:
    """Why there is no Triton to start, or None."""
    from core import triton
    from core.triton_wheel import unavailable

    try:
        record = read_record(record_path(config.data_dir))
    except RepositoryError as error:
        return str(error)
    if record is None or record.live is None:
        return "no model deployed yet; scalp run deploys one"
    if not config.triton.enabled:
        return "switched off (triton.enabled); the model is served in-process"
    if record.served_by != "triton":
        return "the model was deployed in-process"
    if reason := unavailable(config.deploy.backend):
        return f"the model is served in-process: {reason}"
    if found := triton.running(config.data_dir):
        return f"one serves this folder already ({found.grpc_url})"
    return None


def venue(ground: Ground) -> Part:
    config = ground.config
    url = f"http://{config.venue.host}:{ground.venue_port}"

    def made() -> tuple[Service, str]:
        command = [sys.executable, "-m", "scalp", "venue", "--generated", "--loop", "--port", str(ground.venue_port)]
        return ground.service("venue", command, ground.environment(), lambda: answers(f"{url}/venue")), url

    def skipped() -> str | None:
        if config.exchange.name != LOCAL:
            return f"the exchange is {config.exchange.name} (exchange.name), which has a market of its own"
        return f"exchange.rest_url names one ({config.exchange.rest_url})" if config.exchange.rest_url else None

    return Part("venue", "a local exchange on a generated market", made, skipped=skipped)


def live(ground: Ground) -> Part:
    config = ground.config
    ours = config.exchange.name == LOCAL and not config.exchange.rest_url
    needs = ("venue",) if ours else ()

    def made() -> tuple[Service, str]:
        host = config.stream.host
        port = config.stream.port or free_ports(1, host)[0]
        more = {"SCALP_STREAM__PORT": str(port)}
        if ours:
            more["SCALP_EXCHANGE__REST_URL"] = f"http://{config.venue.host}:{ground.venue_port}"
        command = [sys.executable, "-m", "scalp", "live", "--venue", config.exchange.name]
        url = f"http://{host}:{port}"
        return ground.service("live", command, ground.environment(**more), lambda: answers(f"{url}/healthz"), LIVE_GRACE_S), url

    # The first start on a machine compiles the engine. A feed that is silent comes back by itself, and a restart would cost the position's
    # quotes; a worker that hangs is ended by its guard, one whose task failed ends itself.
    patience_s = 2 * config.up.start_timeout_s
    return Part("live", "the live worker", made, needs=needs, tied=needs, mends_itself=True, start_timeout_s=patience_s)


PARTS: tuple[Callable[[Ground], Part], ...] = (server, pool, worker, watch, triton, venue, live)


def parts(ground: Ground) -> list[Part]:
    return [part(ground) for part in PARTS]
