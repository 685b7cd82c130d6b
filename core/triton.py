"""The real Triton server, from the binaries of the nvidia-pytriton wheel: find it, start it on loopback, load, ask, stop.

    serve(data_dir) -> Triton          what was deployed, served again from the record alone

`pytriton` itself is never imported. The back ends are copied once into `<data_dir>/triton/backends`, with the stub of the running
Python. Models are loaded by name, never by themselves (explicit model control).
"""

import hashlib
import json
import os
import sysconfig
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core import pids
from core.services import Service, ServiceError, free_ports
from core.serving_record import RepositoryError, read_record, record_path, write_whole
from core.triton_wheel import SHM, backends, binaries, libraries, unavailable

ATTEMPTS = 3  # a port that was free may be taken before the server binds it


class TritonError(RuntimeError):
    """Triton refused or failed; the message names the model and gives the server's own reason."""


class Triton:
    """A server of one data folder. A context manager: started and ready on entry (without models), stopped on exit."""

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        start_timeout_s: float = 60.0,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.data_dir, self.host, self.start_timeout_s, self.progress = data_dir, host, start_timeout_s, progress
        self.asked = (grpc_port, http_port, metrics_port)
        self.grpc_url = self.http_url = self.metrics_url = ""
        self.service: Service | None = None
        self.start_seconds = 0.0

    def start(self) -> Self:
        """Start and wait until it answers; one that runs is left as it is.

        Raises `TritonError` where it cannot run here, `ServiceError` where it fails to.
        """
        if self.alive:
            return self
        if missing := unavailable():
            raise TritonError(f"Triton cannot run here: {missing}")
        if running(self.data_dir) is None:
            self._sweep()
        # In a thread while the server starts, and because Ctrl-C reaches the main thread only: gRPC half imported, then imported
        # again by whoever tidies up, aborts the process.
        client = threading.Thread(target=import_module, args=("tritonclient.grpc",), daemon=True)
        client.start()
        for attempt in range(1, ATTEMPTS + 1):
            ports = [given or free for given, free in zip(self.asked, free_ports(3, self.host), strict=True)]
            service = self.service = self._service(ports)
            try:
                pid = service.start().pid or 0
                self.start_seconds = service.wait_ready(self.start_timeout_s, self.progress)
                client.join()
                urls = {"grpc_url": self.grpc_url, "http_url": self.http_url, "metrics_url": self.metrics_url}
                write_whole(self._mark, json.dumps(urls | {"pid": pid, "started": pids.start_time(pid)}).encode())
                break
            except ServiceError as error:
                if "in use" not in str(error) or attempt == ATTEMPTS:
                    raise
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        if self.service is not None:
            self._mark.unlink(missing_ok=True)
            self.service.stop()
            self.service = None
            self._sweep()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        return self.service is not None and self.service.alive

    def load(self, model: str) -> None:
        """Load the model as its configuration says now; versions served before stay when that fails. Raises `TritonError`."""
        self._control("load", model)

    def unload(self, model: str) -> None:
        self._control("unload", model)

    def versions(self, model: str) -> list[int]:
        """Versions of the model that answer now."""
        index = self._ask(lambda client: client.get_model_repository_index(as_json=True), f"list {model}")
        return sorted(int(m["version"]) for m in index.get("models", []) if m["name"] == model and m.get("state") == "READY")

    def parameters(self, model: str, n: int) -> dict[str, str]:
        """What the loaded configuration says of version `n`: version_id, feature_set_hash, decision, sha256."""
        found = self._ask(lambda client: client.get_model_config(model, str(n), as_json=True), f"tell the configuration of {model}")
        values = found["config"].get("parameters", {})
        return {key.split(".", 1)[1]: v.get("string_value", "") for key, v in values.items() if key.startswith(f"{n}.")}

    def statistics(self, model: str, n: int) -> dict[str, Any]:
        """Triton's own figures of a version: counts, and mean queue and compute time per request in µs."""
        found = self._ask(lambda client: client.get_inference_statistics(model, str(n), as_json=True), f"tell the statistics of {model}")
        of = found["model_stats"][0]
        stats = of.get("inference_stats", {})

        def mean_us(name: str) -> float:
            ns, count = (int(stats.get(name, {}).get(key, 0)) for key in ("ns", "count"))
            return round(ns / 1e3 / max(count, 1), 1)

        def executed(infer: dict[str, str]) -> dict[str, float]:
            count, ns = (int(infer.get(key, 0)) for key in ("count", "ns"))
            return {"executions": count, "compute_infer_us": round(ns / 1e3 / max(count, 1), 1)}

        return {
            "requests": int(stats.get("success", {}).get("count", 0)),
            "failed": int(stats.get("fail", {}).get("count", 0)),
            "inferences": int(of.get("inference_count", 0)),
            "executions": int(of.get("execution_count", 0)),
            "queue_us": mean_us("queue"),
            "compute_input_us": mean_us("compute_input"),
            "compute_infer_us": mean_us("compute_infer"),
            "compute_output_us": mean_us("compute_output"),
            "total_us": mean_us("success"),
            "by_batch": {str(b["batch_size"]): executed(b["compute_infer"]) for b in of.get("batch_stats", [])},
        }

    @property
    def _shared(self) -> str:
        """What the names of this data folder's shared memory begin with."""
        return f"scalp_{hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:12]}_"

    def _sweep(self) -> None:
        """Free the shared memory of a server that was killed: it leaves 1 MiB and more for each instance."""
        for region in SHM.glob(f"{self._shared}*"):
            region.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.data_dir / "triton" / "server.json"

    def _control(self, verb: str, model: str) -> None:
        timeout = self.start_timeout_s
        self._ask(lambda client: getattr(client, f"{verb}_model")(model, client_timeout=timeout), f"{verb} {model}")

    def _ask(self, question: Callable[[Any], Any], what: str) -> Any:
        from tritonclient.grpc import InferenceServerClient
        from tritonclient.utils import InferenceServerException

        with InferenceServerClient(self.grpc_url) as client:
            try:
                return question(client)
            except InferenceServerException as error:
                if self.service is not None and not self.service.alive:
                    raise TritonError(f"Triton died while it was asked to {what}.\n{self.service.tail()}") from error
                raise TritonError(f"Triton could not {what}: {reason(error)}") from error

    def _service(self, ports: list[int]) -> Service:
        folder = binaries()
        if folder is None:
            raise TritonError("the nvidia-pytriton wheel is not installed")
        self.grpc_url, self.http_url, self.metrics_url = (f"{self.host}:{port}" for port in ports)
        models = self.data_dir / "triton" / "models"
        models.mkdir(parents=True, exist_ok=True)
        command = [str(folder / "bin" / "tritonserver"), "--model-repository", str(models)]
        command += ["--backend-config", f"python,shm-region-prefix-name={self._shared}"]
        command += ["--backend-directory", str(backends(self.data_dir)), "--model-control-mode=explicit"]
        command += ["--disable-auto-complete-config", "--exit-timeout-secs=5"]  # our configuration says it all: one process start less
        for name, port in zip(("grpc", "http", "metrics"), ports, strict=True):
            command += [f"--{name}-address", self.host, f"--{name}-port", str(port)]
        env = dict(os.environ) | {"PYTHONPATH": sysconfig.get_paths()["purelib"], "OMP_NUM_THREADS": "1"}
        env["LD_LIBRARY_PATH"] = os.pathsep.join(p for p in [*libraries(folder), os.environ.get("LD_LIBRARY_PATH", "")] if p)
        return Service("triton", command, env, self.data_dir / "logs" / "triton.log", self._ready, data_dir=self.data_dir)

    def _ready(self) -> bool:
        import http.client

        connection = http.client.HTTPConnection(self.http_url, timeout=2)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except http.client.HTTPException:
            return False
        finally:
            connection.close()


def serve(data_dir: Path, **options: Any) -> Triton:
    """Start Triton and load what the record says is served; `options` are those of `Triton`. The caller stops it.

    Raises `RepositoryError` where nothing was deployed to Triton, `TritonError` or `ServiceError` where it does not run.
    """
    serving = read_record(record_path(data_dir))
    if serving is None or not serving.versions or serving.served_by != "triton":
        raise RepositoryError(f"nothing was deployed to Triton in {data_dir}: scalp run or scalp deploy does")
    server = Triton(data_dir, **options).start()
    try:
        server.load(serving.model_name)
    except BaseException:
        server.stop()
        raise
    return server


def running(data_dir: Path) -> Triton | None:
    """The server that runs on this data folder already, whoever started it (its `stop` then does nothing), or None."""
    mark = data_dir / "triton" / "server.json"
    try:
        told = json.loads(mark.read_text())
        found = Triton(data_dir)
        found.grpc_url, found.http_url, found.metrics_url = told["grpc_url"], told["http_url"], told["metrics_url"]
        ours = pids.is_same(int(told["pid"]), float(told["started"]))
    except (OSError, ValueError, KeyError):
        return None
    return found if ours else None


def reason(error: Any) -> str:
    """The server's own reason, without the traceback of its back end."""
    return str(error.message() or error).split("\n\nAt:")[0].strip()
