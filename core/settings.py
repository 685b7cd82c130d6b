"""Every knob, in one frozen tree, read once: defaults, then `scalp.toml`, then `SCALP_…` variables.

Only entry points (flows, apps, the command line) call `load`; everything below them is handed plain values. An unknown
key or a wrong value is an error that names it. Nested keys are written `SCALP_TRAIN__SEED=7`; lists take commas or JSON.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from core import live_settings, ops_settings
from core.batch_settings import Bars, Bench, Deploy, Fees, Generator, Ingest, Labels, Prefect, Quality, Train, Triton
from core.mappings import MAPPINGS, TableMapping

PREFIX = "SCALP_"
CONFIG_FILE = "scalp.toml"
SECRET = re.compile(r"key|secret|password|token|webhook")
NOT_SETTINGS = {"SCALP_CONFIG"}  # which file to read: needed before the tree exists


class SettingsError(ValueError):
    """A key nobody knows, or a value that does not fit; the message names it."""


class Settings(BaseSettings):
    """Override with, say, `SCALP_TRAIN__SEED=3`, or `[train] seed = 3` in `scalp.toml`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid")

    data_dir: Path = Path("data")
    lake_url: str = ""  # empty: `<data_dir>/lake`; else a folder or an fsspec URL
    live: bool = False  # paper trading until someone says otherwise
    wandb_api_key: SecretStr = SecretStr("")
    ingest: Ingest = Ingest()
    quality: Quality = Quality()
    generator: Generator = Generator()
    mappings: dict[str, TableMapping] = MAPPINGS
    bars: Bars = Bars()
    labels: Labels = Labels()
    fees: Fees = Fees()
    train: Train = Train()
    deploy: Deploy = Deploy()
    triton: Triton = Triton()
    prefect: Prefect = Prefect()
    bench: Bench = Bench()
    limits: live_settings.Limits = live_settings.Limits()
    strategy: live_settings.Strategy = live_settings.Strategy()
    execution: live_settings.Execution = live_settings.Execution()
    rule: live_settings.Rule = live_settings.Rule()
    model: live_settings.Model = live_settings.Model()
    exchange: live_settings.Exchange = live_settings.Exchange()
    venue: live_settings.Venue = live_settings.Venue()
    paper: live_settings.Paper = live_settings.Paper()
    ledger: live_settings.Ledger = live_settings.Ledger()
    stream: live_settings.Stream = live_settings.Stream()
    compute: ops_settings.Compute = "threads"  # dask: batch tasks run on a Dask cluster
    dask: ops_settings.Dask = ops_settings.Dask()
    up: ops_settings.Up = ops_settings.Up()
    backfill: ops_settings.Backfill = ops_settings.Backfill()
    alerts: ops_settings.Alerts = ops_settings.Alerts()
    retention: ops_settings.Retention = ops_settings.Retention()

    @field_validator("data_dir", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if value == "":  # as a path it would be the folder one happens to be in
            raise ValueError("name a folder, or unset it for the default (data)")
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("mappings", mode="before")
    @classmethod
    def _beside_the_built_in(cls, value: Any) -> Any:
        return MAPPINGS | value if isinstance(value, dict) else value

    @property
    def lake(self) -> str:
        return self.lake_url or str(self.data_dir / "lake")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("SCALP_CONFIG", CONFIG_FILE))
        return init_settings, Environment(settings_cls), TomlConfigSettingsSource(settings_cls, toml_file=file)


class Environment(EnvSettingsSource):
    """Environment variables; a list may be written with commas."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        try:
            return json.loads(value)
        except ValueError:
            return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def known(model: type[BaseModel], prefix: str = PREFIX) -> dict[str, Any]:
    """All variable names of a settings tree, with the type each takes; a dict field ends in `__`."""
    names: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        key = f"{prefix}{name.upper()}"
        names[key] = field.annotation
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= known(field.annotation, key + "__")
        elif get_args(field.annotation) and getattr(field.annotation, "__origin__", None) is dict:
            names[key + "__"] = field.annotation
    return names


def unknown(environ: Mapping[str, str]) -> list[str]:
    """`SCALP_…` variables that no field has, each with the nearest name that one has."""
    names = known(Settings)
    open_ended = tuple(n for n in names if n.endswith("__"))
    found = []
    for key in environ:
        name = key.upper()
        if not name.startswith(PREFIX) or name in names or name in NOT_SETTINGS or name.startswith(open_ended):
            continue
        near = difflib.get_close_matches(name, names, n=1)
        found.append(f"{key}" + (f" (did you mean {near[0]}?)" if near else ""))
    return found


def read(**overrides: Any) -> Settings:
    """The tree from file and environment, with `overrides` on top. Raises `SettingsError`."""
    file = os.environ.get("SCALP_CONFIG")
    if file and not Path(file).is_file():
        raise SettingsError(f"SCALP_CONFIG names {file}, which is not a file")
    if strange := unknown(os.environ):
        raise SettingsError("unknown setting: " + ", ".join(strange))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [told(e) for e in error.errors()]
        raise SettingsError("wrong setting: " + "; ".join(lines)) from None
    except ValueError as error:  # a scalp.toml that is not TOML
        raise SettingsError(f"{file or CONFIG_FILE}: {error}") from None


def told(error: Any) -> str:
    """One error of the tree: where it stands, what is wrong, and the nearest name there is."""
    key = ".".join(str(p) for p in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg'].removeprefix('Value error, ')} (got {error['input']!r})"
    names = {name.removeprefix(PREFIX).lower().replace("__", ".") for name in known(Settings)}
    near = difflib.get_close_matches(key, names, n=1)
    return f"{key}: there is no such key in {os.environ.get('SCALP_CONFIG', CONFIG_FILE)}" + (f" (did you mean {near[0]}?)" if near else "")


def differing(config: Settings) -> dict[str, Any]:
    """What differs from the defaults, as `section.key` -> value. Secrets, and URLs that may hold one, are only said to be set."""

    def walk(now: dict[str, Any], usual: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for key, value in now.items():
            before = usual.get(key)
            if isinstance(value, dict) and isinstance(before, dict):
                yield from walk(value, before, f"{prefix}{key}.")
            elif value != before:
                hidden = SECRET.search(key) or (isinstance(value, str) and "@" in value and "://" in value)
                yield f"{prefix}{key}", "(set)" if hidden else value

    usual = Settings.model_construct(**{name: of.get_default(call_default_factory=True) for name, of in Settings.model_fields.items()})
    tell = {"exclude": {"data_dir"}, "mode": "json"}  # where it lies changes nothing
    return dict(walk(config.model_dump(**tell), usual.model_dump(**tell)))


@cache
def load() -> Settings:
    return read()
