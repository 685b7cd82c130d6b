"""The folder Triton serves from, and the record of which version is served as what.

    <data_dir>/triton/models/<model_name>/{config.pbtxt, config.onnxruntime.pbtxt, <n>/{model.py, form.py, form.json, model.onnx}}
    <data_dir>/triton/serving.json        the record: written last, whole or not at all, and right where the two differ

A version is *written* (its folder, and a configuration that names it) before it is proven, and *recorded* once it serves.
Whatever is written but not recorded is what a killed run left, and `tidy` removes it.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core import form
from core.configuration import Batching, Shape, config
from core.serving_record import RepositoryError, Serving, Version, read_record, record_path, sha256, write_whole

MODEL, SCRIPT, CONFIG = "model.onnx", "model.py", "config.pbtxt"
TEMPLATE = Path(__file__).with_name("triton_model.py")
TRIAL = "--trial-"  # in the name of a model that is only there to be measured


class Repository:
    """The model repository of one data folder and one model name."""

    def __init__(self, data_dir: Path, model_name: str, *, backend: str = "python", max_batch: int = 64, queue_delay_us: int = 100) -> None:
        self.data_dir = data_dir
        self.root = data_dir / "triton" / "models"
        self.folder = self.root / model_name
        self.models = data_dir / "models"
        self.record = record_path(data_dir)
        self.model_name, self.backend, self.max_batch = model_name, backend, max_batch
        self.batching = Batching(queue_delay_us=queue_delay_us, preferred=(8, 32, max_batch))

    def read(self) -> Serving:
        """The record; an empty one where nothing was deployed."""
        found = read_record(self.record)
        if found is None or found.model_name != self.model_name:
            return Serving(model_name=self.model_name, last_n=max(self.numbers(), default=0))
        return found

    def write_record(self, serving: Serving) -> None:
        """Replace the record at once. This is the switch."""
        write_whole(self.record, msgspec.json.format(msgspec.json.encode(serving), indent=1))

    def numbers(self) -> list[int]:
        """Versions that have a folder."""
        return sorted(int(p.name) for p in self.folder.glob("[0-9]*") if p.name.isdigit()) if self.folder.is_dir() else []

    def path(self, n: int) -> Path:
        return self.folder / str(n) / MODEL

    def write_version(self, version: Version, onnx: Path) -> None:
        """Put a version's folder in place, whole; a file of its form stands beside `onnx`. `RepositoryError` where its number is taken."""
        final = self.folder / str(version.n)
        if final.exists():
            raise RepositoryError(f"{final} is there already")
        partial = self.root.parent / f"version-{version.n}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        shutil.copyfile(onnx, partial / MODEL)
        if (own := form.of(version.form).file) != MODEL:
            shutil.copyfile(onnx.with_name(own), partial / own)
        self._write_scripts(partial, version)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial.rename(final)

    def _write_scripts(self, folder: Path, version: Version) -> None:
        """Those of the code that runs now."""
        shutil.copyfile(TEMPLATE, folder / SCRIPT)
        shutil.copyfile(form.__file__, folder / "form.py")
        write_whole(folder / form.MARK, json.dumps({"form": version.form}).encode())

    def write_config(self, versions: Sequence[Version], batching: Batching | None = None) -> None:
        """Name these versions, and no other, as those to serve. Both back ends' files are written; the chosen one is `config.pbtxt`.

        `batching` is the recorded one unless it is given, and that of the settings where none is recorded.
        """
        if not versions:
            (self.folder / CONFIG).unlink(missing_ok=True)
            return
        shapes = {Shape(v.window, v.n_features) for v in versions}
        of = {v.n: {key: getattr(v, key) for key in ("version_id", "feature_set_hash", "decision", "sha256", "form")} for v in versions}
        batching = batching or self.read().batching or self.batching
        for backend, name in (("onnxruntime", "config.onnxruntime.pbtxt"), (self.backend, CONFIG)):
            text = config(self.model_name, backend, shapes, of, max_batch=self.max_batch, batching=batching)
            write_whole(self.folder / name, text.encode())

    def remove_version(self, n: int) -> None:
        shutil.rmtree(self.folder / str(n), ignore_errors=True)

    def tidy(self) -> list[str]:
        """Make the repository and the record agree again after a killed run or a lost file; returns what was done, in words.

        Versions that are not recorded are removed. A recorded one that is missing or changed is restored from its model
        folder, or else struck from the record.
        """
        serving, done = self.read(), []
        for trial in self.root.glob(f"{self.model_name}{TRIAL}*"):  # what a killed run was measuring
            shutil.rmtree(trial, ignore_errors=True)
        for n in self.numbers():
            if str(n) not in serving.versions:
                self.remove_version(n)
                done.append(f"removed version {n}, which a run left unproven when it was killed")
        for version in list(serving.versions.values()):
            if self.sound(version):
                self._write_scripts(self.folder / str(version.n), version)
                continue
            self.remove_version(version.n)
            kept = self.models / version.version_id / MODEL
            if whole(kept, version):
                self.write_version(version, kept)
                done.append(f"restored version {version.n} from {kept}")
            else:
                serving.strike(version.n)
                done.append(f"version {version.n} is no longer served: its model is missing or changed")
        if done:
            self.write_record(serving)
        self.write_config(list(serving.versions.values()))
        return done

    def sound(self, version: Version) -> bool:
        """Whether the version's model is there, byte for byte."""
        return whole(self.path(version.n), version)


def whole(onnx: Path, version: Version) -> bool:
    """Whether this is the version's model, with the file of its form beside it."""
    own = onnx.with_name(form.of(version.form).file)
    wanted = {onnx: version.sha256} | ({own: version.form_sha256} if own != onnx else {})
    return all(path.is_file() and sha256(path) == hashed for path, hashed in wanted.items())
