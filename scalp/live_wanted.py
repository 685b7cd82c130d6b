"""The settings as the plain values that a worker is launched with."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalp.live_paper import PAPER, on_paper

if TYPE_CHECKING:
    from core.settings import Settings
    from serving.launch import Model, Wanted
    from serving.reach import Reach

LOCAL = "local"


def api_key(config: "Settings") -> str:
    """The key of /execute: the one of the settings, else one made once and kept where only we read it."""
    given = config.stream.api_key.get_secret_value()
    path = key_path(config)
    if given:
        return given
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text().strip():
            return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    made = secrets.token_urlsafe(24)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(made + "\n")
    return made


def key_path(config: "Settings") -> Path:
    return config.data_dir / "api.key"


def reach_of(config: "Settings", account: str, kind: Any) -> "Reach":
    """How others get to the venue of this account."""
    from serving.reach import Reach

    of = config.exchange
    return Reach(
        account=account,
        name=of.name,
        kind=kind,
        rest_url=of.rest_url,
        ws_url=of.ws_url,
        ws_api_url=of.ws_api_url,
        symbols=of.symbols,
        paper=account.startswith(PAPER),
    )


def wanted_of(config: "Settings", account: str, models: "tuple[Model, ...]", kind: Any = "usdm") -> "Wanted":
    """The settings as plain values. `kind`: what the local venue is."""
    from core.ledger import url_of
    from kernels.execution import Handling
    from kernels.fusion import Weights
    from kernels.risk_limits import pack
    from kernels.rule_signals import Rule
    from serving.launch import Wanted
    from serving.worker import Rules

    ms = 1_000_000
    return Wanted(
        data_dir=config.data_dir,
        account=account,
        ledger_url=url_of(config.data_dir, config.ledger.url),
        synchronous=config.ledger.synchronous,
        lease_s=config.ledger.lease_s,
        symbols=config.exchange.symbols,
        capital=config.execution.capital,
        weights=dict(config.execution.weights),
        limits=pack(config.limits.model_dump()),
        rule=Rule(**config.rule.model_dump()),
        fusion=Weights(config.model.rule_weight, config.model.model_weight, config.model.min_confidence),
        models=models,
        deadline_ns=round(config.model.deadline_ms * ms),
        max_age_ns=round(config.model.max_age_ms * ms),
        strategy=config.strategy.name,
        params=dict(config.strategy.params),
        handling=Handling(
            reprice_ns=config.execution.reprice_ms * ms,
            patience_ns=config.execution.patience_ms * ms,
            ioc_slip_bps=config.execution.ioc_slip_bps,
            venue_stop_bps=config.execution.venue_stop_bps if config.execution.venue_stop else 0.0,
        ),
        lateness_ns=config.bars.lateness_ms * ms,
        gap_ns=round(config.quality.gap_s * 1e9),
        rules=Rules(
            queue=config.stream.queue,
            timer_ms=config.stream.timer_ms,
            rehearse_ms=config.stream.rehearse_ms,
            reconcile_s=config.stream.reconcile_s,
            answer_timeout_s=config.exchange.answer_timeout_s,
            mute_s=config.stream.mute_s,
            horizon_s=config.exchange.recv_window_ms / 1_000 + 10.0,
            dead_man_s=float(config.exchange.dead_man_s),
            keep_orders_on_stop=config.execution.keep_orders_on_stop,
            lease_s=config.ledger.lease_s,
        ),
        journal=config.stream.journal,
        rotate_mb=config.stream.rotate_mb,
        paper=config.exchange.name == LOCAL or on_paper(config),
        reach=reach_of(config, account, kind),
        key=config.exchange.api_key.get_secret_value(),
        secret=config.exchange.api_secret.get_secret_value(),
    )
