"""The served model for as long as the stack runs: Triton with what the serving record says. `python -m scalp.up_triton`."""

import signal
import sys
import threading

from core import settings, triton
from core.services import ServiceError
from core.serving_record import RepositoryError


def main() -> None:
    """Until SIGTERM; exit code 1 where Triton does not start, or ends by itself."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    config = settings.load()
    try:
        server = triton.serve(config.data_dir, **config.triton.model_dump(exclude={"enabled"}))
    except (RepositoryError, triton.TritonError, ServiceError) as error:
        sys.exit(str(error))
    with server:
        sys.stdout.write(f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}, metrics {server.metrics_url}\n")
        sys.stdout.flush()
        while not asked.wait(0.5):
            if not server.alive:
                sys.exit(f"Triton ended by itself; its log is {config.data_dir / 'logs' / 'triton.log'}")


if __name__ == "__main__":
    main()
