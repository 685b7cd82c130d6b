"""One attempt to deploy a model: its steps in order, and the way back from each."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from core import form, machine, settings
from core.configuration import Batching
from core.inference import Floats, Predictor, in_process
from core.repository import Repository
from core.serving_record import Serving, Version, sha256
from core.triton import Triton, TritonError, running
from tasks import export, forms, proving, registry, tuned, tuning

LIVE = 1  # priority
ELSEWHERE = "Triton's ONNX Runtime back end serves model.onnx as it is"


@dataclass
class Deployment:
    """One attempt: what it works on, and what must be undone if it fails."""

    trained: Mapping[str, Any]
    data_dir: Path
    deploy: settings.Deploy
    triton: settings.Triton
    expected_hash: str
    code: str
    tracking_uri: str = ""
    steps: proving.Steps = field(default_factory=proving.Steps)
    facts: dict[str, Any] = field(default_factory=dict)
    written: Version | None = None
    registered: str | None = None
    server: Triton | None = None
    batching: Batching | None = None  # as tuned; None: as recorded, or as the settings say

    def __post_init__(self) -> None:
        self.folder = Path(self.trained["folder"])
        self.version_id = str(self.trained["version_id"])
        self.repository = repository(self.data_dir, self.deploy)

    def prove(self, serving: Serving, started: contextlib.ExitStack, *, by_triton: bool) -> Version:
        """Everything before the switch; raises at the first thing that is not as it must be."""
        from kernels import promotion

        step, facts, name = self.steps.step, self.facts, self.deploy.model_name
        with step("features") as seen:
            seen.append(f"feature set {proving.same_features(self.trained, self.expected_hash)}")
        with step("export") as seen:
            exported = export.export(self.folder, max_error=self.deploy.max_error)
            facts["max_error_export"] = exported["max_error_export"]
            seen.append("largest error against torch: " + ", ".join(f"{k} {v:.2g}" for k, v in exported["errors"].items()))
        chosen = self.choose_form()
        with step("write") as seen:
            champion = serving.serving("champion")
            decision = promotion.decide(
                evidence=bool(self.trained.get("evidence")),
                verdict=str(self.trained.get("verdict", "no verdict")),
                generated=bool(self.trained.get("generated")),
                champion=f"version {champion.n}" if champion else None,
                champion_generated=bool(champion and champion.generated),
            )
            facts |= {"alias": decision.alias, "reason": decision.reason}
            version = self.written = Version(
                n=max([serving.last_n, *self.repository.numbers()]) + 1,
                version_id=self.version_id,
                feature_set_hash=str(self.trained["feature_set_hash"]),
                decision=decision.alias,
                sha256=sha256(self.folder / export.MODEL),
                window=exported["window"],
                n_features=exported["n_features"],
                generated=bool(self.trained.get("generated")),
                form=chosen.form,
                form_sha256=chosen.sha256,
            )
            facts |= {"version": version.n}
            self.repository.write_version(version, self.folder / export.MODEL)
            self.repository.write_config([*serving.versions.values(), version])
            seen.append(f"version {version.n} in {self.repository.folder}, as {decision.alias}")
        recorded, _ = export.read_recorded(self.folder)
        warm: dict[str, Any] = {}
        if by_triton:
            with step("start") as seen:
                self.server = running(self.data_dir) or started.enter_context(Triton(self.data_dir, **server_options(self.triton)))
                facts["triton_start_s"] = round(self.server.start_seconds, 2)
                seen.append(f"Triton at {self.server.grpc_url} (gRPC) and {self.server.http_url} (HTTP)")
            with step("load") as seen:
                begun = time.monotonic()
                try:
                    self.server.load(name)
                except TritonError as error:
                    if version.form == form.DEFAULT:
                        raise
                    version = self.fall_back(serving, version, chosen, str(error))
                    seen.append(self.facts["form_reason"])
                    self.server.load(name)
                seen.append(f"{time.monotonic() - begun:.1f} s; versions {', '.join(map(str, self.server.versions(name)))} answer")
                told = self.server.parameters(name, version.n)
                if (told.get("feature_set_hash"), told.get("sha256")) != (version.feature_set_hash, version.sha256):
                    raise proving.NotProven(f"Triton loaded something else as version {version.n}: {told}")
            if self.deploy.tune:
                self.tune(serving, version, recorded)
            warm = self.server.statistics(name, version.n)
            ask = started.enter_context(Predictor(self.server.grpc_url, name, version.n, priority=LIVE))
        else:
            with step("load") as seen:
                ask = in_process(self.repository.path(version.n).parent)
                seen.append("into this process")
        with step("compare") as seen:
            here = in_process(self.folder, version.form)
            errors = proving.same_answers(ask, here, recorded, max_error=self.deploy.max_error)
            facts["max_error_served"] = max(errors.values())
            seen.append(f"{len(recorded)} recorded windows; largest error: " + ", ".join(f"{k} {v:.2g}" for k, v in errors.items()))
        with step("latency") as seen:
            facts["latency_ms"] = proving.in_time(ask, recorded, max_latency_ms=self.deploy.max_latency_ms)
            seen.append(f"batch 1: p50 {facts['latency_ms']['p50']:.2f} ms, p99 {facts['latency_ms']['p99']:.2f} ms")
        if self.server:
            facts["statistics"] = proving.since(warm, self.server.statistics(name, version.n))
        return version

    def choose_form(self) -> forms.Chosen:
        """The form to serve, measured here where there is more than one to choose from."""
        with contextlib.ExitStack() as measured:
            if set(self.deploy.forms) <= {form.DEFAULT}:
                chosen = forms.Chosen(form.DEFAULT, "no other is allowed (deploy.forms)", [], again=False, sha256="")
            else:
                seen = measured.enter_context(self.steps.step("forms"))
                only = ELSEWHERE if self.repository.backend == "onnxruntime" else ""
                chosen = forms.choose(self.folder, deploy=self.deploy, data_dir=self.data_dir, only_onnxruntime=only)
                seen.append(f"{chosen.form}: {chosen.why}" + ("; times as measured before for this shape" if chosen.again else ""))
            self.tell(chosen)
        return chosen

    def tell(self, chosen: forms.Chosen) -> None:
        self.facts |= {"form": chosen.form, "form_reason": chosen.why, "forms": chosen.table, "machine": machine.machine()}

    def fall_back(self, serving: Serving, version: Version, chosen: forms.Chosen, reason: str) -> Version:
        """Serve the default form instead of one that would not load."""
        self.tell(forms.fell_back(chosen, reason))
        version = self.written = msgspec.structs.replace(version, form=form.DEFAULT, form_sha256="")
        self.repository.remove_version(version.n)
        self.repository.write_version(version, self.folder / export.MODEL)
        self.repository.write_config([*serving.versions.values(), version])
        return version

    def tune(self, serving: Serving, version: Version, recorded: Floats) -> None:
        """Batch as is best on this machine for this shape and form: measured once, on a server that nobody else uses."""
        if self.server is None or self.server.service is None:
            self.facts["batching"] = {"why": "not tuned: the server is in use, and a load would be in its way", "table": []}
            return
        own = msgspec.to_builtins(self.repository.batching) | {"max_batch": self.repository.max_batch}
        key = tuned.key(self.repository.path(version.n), {"tuning": tuning.FORM, "form": version.form, "own": own})
        try:
            with self.steps.step("tune") as seen:
                found = tuned.read(self.data_dir, key).get("batching")
                again = found is not None
                if found is None:
                    found = tuning.tune(self.server, self.repository, version, self.folder / export.MODEL, recorded)
                    tuned.write(self.data_dir, key, batching=found)
                self.facts["batching"] = found | {"again": again}
                self.batching = msgspec.convert(found["batching"], Batching)
                if self.batching != (serving.batching or self.repository.batching):
                    self.repository.write_config([*serving.versions.values(), version], self.batching)
                    self.server.load(self.deploy.model_name)
                seen.append(f"{self.batching}: {found['why']}" + ("; as measured before for this shape" if again else ""))
        except (OSError, TritonError) as error:  # a version is not refused for want of a better batching
            self.batching = None
            self.facts["batching"] = {"why": f"not tuned: {error}", "table": []}
            self.repository.write_config([*serving.versions.values(), version])
            self.server.load(self.deploy.model_name)

    def switch(self, serving: Serving, version: Version) -> None:
        """Write the card, register, move the aliases. The record is written last: until then nothing has changed."""
        before = serving.aliases
        with self.steps.step("register") as seen:
            told = registry.card(self.trained, version, {k: v for k, v in self.facts.items() if k != "steps"}, self.code)
            registry.write_card(self.folder, told)
            book = registry.Registry(self.data_dir, self.deploy.model_name, self.tracking_uri)
            tracking = self.trained.get("tracking") or {}
            self.registered = book.register(version, self.folder, tracking.get("run_id") if tracking.get("kind") == "mlflow" else None)
            seen.append(f"MLflow version {self.registered}")
        with self.steps.step("switch") as seen:
            serving.switch(version.decision, version, self.facts["reason"])
            serving.served_by = self.facts["served_by"]
            serving.batching = self.batching or serving.batching
            try:
                book.move(before, serving.aliases)
                self.repository.write_record(serving)
            except BaseException:
                if self.repository.read().aliases != serving.aliases:
                    book.move(serving.aliases, before)
                raise
            seen.append(", ".join(f"{alias} is version {n}" for alias, n in serving.aliases.items()))

    def retire(self, serving: Serving) -> list[str]:
        """Stop serving what is too old. It is after the switch: a failure is a warning."""
        gone = serving.retire(self.deploy.keep_versions)
        if not gone:
            return []
        try:
            with self.steps.step("retire") as seen:
                self.repository.write_record(serving)
                self.repository.write_config(list(serving.versions.values()))
                if self.server:
                    self.server.load(self.deploy.model_name)
                for version in gone:
                    self.repository.remove_version(version.n)
                seen.append(f"versions {', '.join(str(v.n) for v in gone)} are gone; {self.deploy.keep_versions} are kept")
        except (OSError, TritonError) as error:
            return [f"the new version serves, but an old one could not be retired: {error}"]
        return []

    def undo(self, serving: Serving) -> list[str]:
        """Take back what was written and loaded, so that exactly what is recorded serves; returns what could not be done."""
        if self.written is not None and str(self.written.n) in serving.versions:
            return []  # stopped just after the switch: it serves
        troubles = []
        if self.registered is not None:
            try:
                registry.Registry(self.data_dir, self.deploy.model_name, self.tracking_uri).withdraw(self.registered)
            except Exception as error:  # the failure that brought us here is the one to report
                troubles.append(f"MLflow still has version {self.registered}: {error}")
        if self.written is not None:
            self.repository.remove_version(self.written.n)
            try:
                self.repository.write_config(list(serving.versions.values()))
                if self.server is not None:
                    (self.server.load if serving.versions else self.server.unload)(self.deploy.model_name)
            except (OSError, TritonError) as error:
                troubles.append(str(error))
        return troubles


def repository(data_dir: Path, deploy: settings.Deploy) -> Repository:
    backend = "onnxruntime" if deploy.backend == "onnxruntime" else "python"
    return Repository(data_dir, deploy.model_name, backend=backend, max_batch=deploy.max_batch, queue_delay_us=deploy.queue_delay_us)


def server_options(triton: settings.Triton) -> dict[str, Any]:
    """What `core.triton.Triton` and `serve` take."""
    return triton.model_dump(exclude={"enabled"})
