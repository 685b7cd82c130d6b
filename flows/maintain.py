"""Maintain: what is older than the policy keeps is taken away, or, as a dry run, only told.

lake, models, runs, sessions, logs, Prefect's runs -> fewer of them
"""

import time

from prefect import flow

from core import runs, settings
from core.store import Store
from tasks.hooks import HOOKS
from tasks.maintain import find_old, page, take_away, told
from tasks.run_record import run_of


@flow(name="maintain", flow_run_name="maintain", **HOOKS)
async def maintain(dry_run: bool = True, even_needed: bool = False) -> runs.Stage:
    """Take away what is older than the settings under `retention` keep.

    Args:
        dry_run: Only tell what would go, how many bytes, and why.
        even_needed: Also what a kept model was made of: it can then not be made again.
    """
    async with run_of("maintain", {"dry_run": dry_run, "even_needed": even_needed}) as folder:
        config, began = settings.load(), time.monotonic()
        store = Store(config.lake)
        found = await find_old(store, config, even_needed=even_needed)
        troubles = {} if dry_run else await take_away(store, config, found)
        stage = told(found, troubles, dry_run=dry_run, began=began)
        runs.save(folder, stage)
        (folder / "maintain.md").write_text(page(stage))
        return stage
