"""The real server: versions beside each other, answers equal to those in-process, a clear word when something is wrong."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from core.configuration import Batching, Shape, config
from core.inference import Answers, Predictor
from core.repository import Repository
from core.serving_record import RepositoryError, Serving, Version, sha256
from core.triton import Triton, TritonError, running, serve
from core.triton_wheel import unavailable
from kernels import export, model
from tasks.export import session

NAME = "small"
needs_triton = [pytest.mark.server, pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))]


def onnx_of(path: Path, seed: int, window: int = 8) -> Path:
    """A small network with random weights, as ONNX."""
    torch.manual_seed(seed)
    shape = model.ModelConfig(n_features=3, window=window, conv_channels=8, lstm_hidden=4, heads=2)
    path.write_bytes(export.onnx(model.new(shape), shape))
    return path


def version(n: int, onnx: Path, window: int = 8) -> Version:
    return Version(
        n=n, version_id=f"{n:012x}", feature_set_hash="hash", decision="shadow", sha256=sha256(onnx), window=window, n_features=3
    )


def windows(n: int, window: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, window, 3)).astype(np.float32)


class Two:
    """A server with two versions of one model, recorded as served."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.repository = Repository(self.data_dir, NAME)
        self.onnx = {n: onnx_of(folder / f"{n}.onnx", seed=n) for n in (1, 2)}
        self.versions = [version(n, path) for n, path in self.onnx.items()]
        for v in self.versions:
            self.repository.write_version(v, self.onnx[v.n])
        self.repository.write_config(self.versions)
        record = Serving(model_name=NAME)
        for v in self.versions:
            record.switch("shadow", v, "a test")
        self.repository.write_record(record)

    def in_process(self, n: int, features: np.ndarray) -> Answers:
        return session(self.onnx[n])(features)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    return Two(tmp_path_factory.mktemp("triton"))


@pytest.fixture(scope="module")
def server(two: Two) -> Iterator[Triton]:
    with serve(two.data_dir) as triton:  # already started: entering again changes nothing
        yield triton


class TestServing:
    """Against one server for all."""

    pytestmark = needs_triton

    @pytest.mark.parametrize("protocol", ["grpc", "http"])
    @pytest.mark.parametrize("n", [1, 2, 64])
    def test_both_versions_answer_as_in_process(self, server: Triton, two: Two, n: int, protocol: Literal["grpc", "http"]):
        features = windows(n, seed=n)
        url = server.grpc_url if protocol == "grpc" else server.http_url
        for number in (1, 2):
            with Predictor(url, NAME, number, protocol=protocol) as ask:
                assert ask(features).error(two.in_process(number, features)) <= 1e-6

    def test_sixteen_clients_at_once_get_their_own_answers(self, server: Triton, two: Two):
        def client(i: int) -> float:
            features = [windows(1 + (i + k) % 5, seed=100 * i + k) for k in range(50)]
            want = [ask_here(one) for one in features]
            with Predictor(server.grpc_url, NAME, 2, priority=1 + i % 2) as ask:
                return max(ask(one).error(of) for one, of in zip(features, want, strict=True))

        ask_here = session(two.onnx[2])
        with ThreadPoolExecutor(16) as pool:
            assert max(pool.map(client, range(16))) <= 1e-5

    @pytest.mark.parametrize("priority", [1, 2], ids=["live", "batch"])
    def test_both_priorities_are_accepted(self, server: Triton, priority: int):
        with Predictor(server.grpc_url, NAME, 1, priority=priority) as ask:
            assert ask(windows(2)).direction.shape == (2, 3)

    def test_a_priority_that_is_none_is_refused_at_once(self, server: Triton):
        with pytest.raises(ValueError, match="priority 3"):
            Predictor(server.grpc_url, NAME, 1, priority=3)

    def test_statistics_count_what_was_asked(self, server: Triton):
        before = server.statistics(NAME, 1)
        with Predictor(server.grpc_url, NAME, 1) as ask:
            for n in (1, 4, 4):
                ask(windows(n))
        after = server.statistics(NAME, 1)
        assert after["requests"] - before["requests"] == 3
        assert after["inferences"] - before["inferences"] == 9
        assert after["compute_infer_us"] > 0 and after["failed"] == before["failed"]

    def test_the_configuration_tells_what_each_version_is(self, server: Triton, two: Two):
        assert server.versions(NAME) == [1, 2]
        assert server.parameters(NAME, 2) == {
            "version_id": f"{2:012x}",
            "feature_set_hash": "hash",
            "decision": "shadow",
            "sha256": sha256(two.onnx[2]),
            "form": "onnxruntime-f32",
        }

    @pytest.mark.parametrize(
        ("number", "n", "window", "reason"),
        [(9, 1, 8, "version 9 is not found"), (1, 1, 5, "unexpected shape"), (1, 65, 8, "batch-size must be <= 64")],
        ids=["no such version", "another window", "too large a batch"],
    )
    def test_a_refused_request_names_the_model_and_gives_the_reason(self, server: Triton, number: int, n: int, window: int, reason: str):
        features = windows(n, window)
        with Predictor(server.grpc_url, NAME, number) as ask, pytest.raises(TritonError, match=reason) as error:
            ask(features)
        assert f"{NAME} version {number}" in str(error.value)

    def test_the_running_server_is_found(self, server: Triton, two: Two):
        found = running(two.data_dir)
        assert found is not None and found.grpc_url == server.grpc_url
        found.stop()  # not its own
        assert server.alive

    def test_versions_answer_while_another_is_loaded_beside_them_and_after_a_corrupt_one_was_refused(
        self, server: Triton, two: Two, tmp_path: Path
    ):
        features, errors, ended = windows(1), [], threading.Event()
        want = two.in_process(2, features)

        def keep_asking() -> None:
            with Predictor(server.grpc_url, NAME, 2, priority=1) as ask:
                while not ended.is_set():
                    errors.append(ask(features).error(want))

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            longer = onnx_of(tmp_path / "3.onnx", seed=3, window=12)
            third = version(3, longer, window=12)
            two.repository.write_version(third, longer)
            two.repository.write_config([*two.versions, third])
            server.load(NAME)
            assert server.versions(NAME) == [1, 2, 3]
            with Predictor(server.grpc_url, NAME, 3) as ask:
                assert ask(windows(2, window=12)).error(session(longer)(windows(2, window=12))) <= 1e-6

            corrupt = tmp_path / "4.onnx"
            corrupt.write_bytes(longer.read_bytes()[:2000])
            two.repository.write_version(version(4, corrupt), corrupt)
            two.repository.write_config([*two.versions, third, version(4, corrupt)])
            with pytest.raises(TritonError, match=r"could not load small: .*version 4"):
                server.load(NAME)
            assert server.versions(NAME) == [1, 2, 3]
        finally:
            ended.set()
            asking.join()
            two.repository.tidy()
            server.load(NAME)
        assert errors and max(errors) <= 1e-6
        assert server.versions(NAME) == [1, 2]
        assert two.repository.numbers() == [1, 2]


class TestLife:
    pytestmark = needs_triton

    def test_a_killed_server_is_an_error_that_says_so_and_nothing_of_it_is_left(self, two: Two, tmp_path: Path):
        shutil.copytree(two.data_dir / "triton", tmp_path / "data" / "triton")
        with serve(tmp_path / "data") as triton:
            assert triton.service is not None and triton.service.pid is not None
            process = psutil.Process(triton.service.pid)
            family = [process, *process.children(recursive=True)]
            assert len(family) > 2  # the instances are processes of their own
            with Predictor(triton.grpc_url, NAME, 1) as ask:
                ask(windows(1))
                process.kill()
                process.wait()
                with pytest.raises(TritonError, match="small version 1"):
                    ask(windows(1))
            with pytest.raises(TritonError, match="Triton died while it was asked to load small"):
                triton.load(NAME)
        _, alive = psutil.wait_procs(family, timeout=20)
        assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
        assert running(tmp_path / "data") is None
        assert not list(Path("/dev/shm").glob(f"{triton._shared}*"))

    def test_nothing_is_left_after_a_stop(self, two: Two, tmp_path: Path):
        shutil.copytree(two.data_dir / "triton", tmp_path / "data" / "triton")
        with serve(tmp_path / "data") as triton:
            assert triton.service is not None and triton.service.pid is not None
            process = psutil.Process(triton.service.pid)
            family = [process, *process.children(recursive=True)]
        _, alive = psutil.wait_procs(family, timeout=20)
        assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
        assert not list((tmp_path / "data" / "pids").iterdir())


def test_nothing_deployed_is_an_error_that_says_what_to_do(tmp_path: Path):
    with pytest.raises(RepositoryError, match="scalp deploy"):
        serve(tmp_path)


@pytest.mark.parametrize("backend", ["python", "onnxruntime"])
@pytest.mark.parametrize("shapes", [{Shape(60, 16)}, {Shape(60, 16), Shape(30, 12)}], ids=["one shape", "two shapes"])
def test_the_configuration_is_what_triton_reads(backend: str, shapes: set[Shape]):
    text = config("scalper", backend, shapes, {1: {"version_id": 'a "b"'}, 4: {"version_id": "c"}}, max_batch=64, batching=Batching())
    messages: Any = model_config_pb2
    read = text_format.Parse(text, messages.ModelConfig())
    assert (read.backend, read.platform) == (("python", "") if backend == "python" else ("", "onnxruntime_onnx"))
    assert list(read.version_policy.specific.versions) == [1, 4]
    assert [(o.name, list(o.dims)) for o in read.output] == [("direction", [3]), ("confidence", [1]), ("volatility", [1])]
    assert list(read.input[0].dims) == ([60, 16] if len(shapes) == 1 else [-1, -1])
    assert [w.batch_size for w in read.model_warmup] == ([1, 64] if len(shapes) == 1 else [])
    assert read.dynamic_batching.priority_levels == 2 and read.dynamic_batching.max_queue_delay_microseconds == 100
    assert read.parameters["1.version_id"].string_value == 'a "b"'


def test_a_back_end_the_wheel_has_not_is_a_reason_not_to_start():
    assert "back end" in str(unavailable("onnxruntime")) or unavailable() is not None


def test_a_lost_model_is_restored_from_its_folder_or_struck_from_the_record(tmp_path: Path):
    two = Two(tmp_path)
    kept = tmp_path / "data" / "models" / two.versions[0].version_id
    kept.mkdir(parents=True)
    shutil.copyfile(two.onnx[1], kept / "model.onnx")
    (two.repository.folder / "1" / "model.onnx").write_bytes(b"torn")
    shutil.rmtree(two.repository.folder / "2")
    (two.repository.folder / "7").mkdir()
    done = two.repository.tidy()
    assert len(done) == 3
    assert two.repository.numbers() == [1] and two.repository.sound(two.versions[0])
    assert two.repository.read().aliases == {"shadow": 1}
    assert two.repository.tidy() == []
