"""`scalp maintain`: what is too old goes, by the policy of the settings; as a dry run it is only told."""

import json

from rich.markup import escape
from rich.table import Table

from scalp.console import counted, err, out
from scalp.failures import FAILED, OK, guarded

SHOWN = 40  # of a kind


def maintain(*, dry_run: bool, even_needed: bool, as_json: bool) -> int:
    def verb() -> int:
        from core import runs
        from scalp.running import attempt
        from scalp.session import Session

        async def flow(_: Session) -> object:
            from flows.maintain import maintain as of

            return await of(dry_run=dry_run, even_needed=even_needed)

        now, failure = attempt("scalp maintain", flow, as_json=as_json)
        stage = runs.load(now.run_folder).get("maintain")
        facts = stage.facts if stage else {"gone": [], "held": [], "n_bytes": 0}
        if as_json:
            print(json.dumps({"run_id": now.run_id, "failed": failure, **facts}))
        else:
            show(facts, dry_run=dry_run)
        if failure and not as_json:
            err.print(f"[red]failed:[/red] {escape(failure)}", soft_wrap=True)
        troubles = any(row.get("trouble") for row in facts["gone"])
        return FAILED if failure or troubles else OK

    return guarded(verb)


def show(facts: dict, *, dry_run: bool) -> None:
    """Print what goes and what is held back, by kind."""
    for title, rows in (("would go" if dry_run else "gone", facts["gone"]), ("held back", facts["held"])):
        if not rows:
            continue
        table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False)
        table.add_column("kind", no_wrap=True)
        table.add_column("what")
        table.add_column("bytes", justify="right", no_wrap=True)
        table.add_column("why")
        for kind in dict.fromkeys(row["kind"] for row in rows):
            of = [row for row in rows if row["kind"] == kind]
            for row in of[:SHOWN]:
                why = f"{row['why']}; NOT REMOVED: {row['trouble']}" if row.get("trouble") else row["why"]
                table.add_row(kind, escape(row["name"]), f"{row['n_bytes']:,}", escape(why))
            if len(of) > SHOWN:
                table.add_row(kind, f"and {len(of) - SHOWN:,} more", f"{sum(row['n_bytes'] for row in of[SHOWN:]):,}", "")
        out.print(table)
    n = len(facts["gone"])
    verb = "would go" if dry_run else "gone"
    out.print(
        f"{counted(n, 'thing')}, {counted(facts['n_bytes'], 'byte')} {verb}; {len(facts['held']):,} held back."
        if n or facts["held"]
        else "Nothing is too old."
    )
    if dry_run and n:
        out.print("[dim]Nothing was touched; scalp maintain --yes takes them away.[/dim]")
