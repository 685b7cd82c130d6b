"""Which version is served as what: `<data_dir>/triton/serving.json`, written last, whole or not at all."""

import hashlib
import time
from pathlib import Path

import msgspec

from core.configuration import Batching
from core.form import DEFAULT

MAX_EVENTS = 200


class RepositoryError(RuntimeError):
    """The record or the repository says something that cannot be served; the message names it."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One deployed version: number `n` in the repository, `version_id` in `models/`."""

    n: int
    version_id: str
    feature_set_hash: str
    decision: str  # what it was proven for: champion or shadow
    sha256: str  # of model.onnx
    window: int
    n_features: int
    generated: bool = False
    form: str = DEFAULT  # what runs it; see core.form
    form_sha256: str = ""  # of the form's own file, where it has one beside model.onnx


class Event(msgspec.Struct, frozen=True, kw_only=True):
    ts: int  # UTC ns
    what: str  # deployed, rolled back, retired
    alias: str
    n: int
    reason: str


class Serving(msgspec.Struct, kw_only=True):
    """What is served. `states` is what every alias named after each switch, newest last; going back is dropping the last."""

    model_name: str
    served_by: str = "triton"
    last_n: int = 0  # numbers are never used twice
    versions: dict[str, Version] = {}
    states: list[dict[str, int]] = []
    rolled_back: list[str] = []  # version ids that somebody turned back from
    events: list[Event] = []
    batching: Batching | None = None  # as tuned on this machine; None: as the settings say

    @property
    def aliases(self) -> dict[str, int]:
        return dict(self.states[-1]) if self.states else {}

    def serving(self, alias: str) -> Version | None:
        n = self.aliases.get(alias)
        return None if n is None else self.versions[str(n)]

    @property
    def live(self) -> tuple[str, Version] | None:
        """What answers a client who names nothing: the champion, else the shadow."""
        for alias in ("champion", "shadow"):
            if version := self.serving(alias):
                return alias, version
        return None

    def switch(self, alias: str, version: Version, reason: str) -> None:
        """Let `alias` name a version. A new champion ends the shadow's watch; a new shadow leaves the champion as it is."""
        kept = {} if alias == "champion" else self.aliases
        self.versions[str(version.n)] = version
        self.states = [*self.states, kept | {alias: version.n}]
        self.last_n = max(self.last_n, version.n)
        self.rolled_back = [v for v in self.rolled_back if v != version.version_id]
        self.note("deployed", alias, version.n, reason)

    def go_back(self) -> dict[str, int]:
        """Undo the last switch; returns what the aliases name now. `RepositoryError` where nothing was served before."""
        if len(self.states) < 2:
            raise RepositoryError("there is no version to go back to" if self.states else "nothing was deployed yet")
        left, now = self.states[-1], self.states[-2]
        self.states = self.states[:-1]
        for alias, n in left.items():
            if now.get(alias) != n:
                self.rolled_back = [*self.rolled_back, self.versions[str(n)].version_id]
                self.note("rolled back", alias, n, f"now {', '.join(f'{a} is {v}' for a, v in now.items())}")
        return now

    def retire(self, keep: int) -> list[Version]:
        """Strike all but the newest `keep` versions from the record, never one that an alias names or that `go_back` would serve."""
        needed = {n for state in self.states[-2:] for n in state.values()}
        newest = sorted((v.n for v in self.versions.values()), reverse=True)[:keep]
        gone = [v for v in self.versions.values() if v.n not in needed and v.n not in newest]
        for version in gone:
            self.strike(version.n)
            self.note("retired", "", version.n, f"more than {keep} versions")
        return gone

    def strike(self, n: int) -> None:
        """Take a version out of the record, and out of every state that named it."""
        self.versions.pop(str(n), None)
        states = [{alias: m for alias, m in state.items() if m != n} for state in self.states]
        self.states = [state for i, state in enumerate(states) if state and (i == 0 or state != states[i - 1])]

    def note(self, what: str, alias: str, n: int, reason: str) -> None:
        self.events = [*self.events, Event(ts=time.time_ns(), what=what, alias=alias, n=n, reason=reason)][-MAX_EVENTS:]


def record_path(data_dir: Path) -> Path:
    return data_dir / "triton" / "serving.json"


def read_record(path: Path) -> Serving | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Serving)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise RepositoryError(f"{path} cannot be read ({error}); delete it and deploy again") from error


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write under another name, then rename: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)
