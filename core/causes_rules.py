"""The kinds of failure there are: each rule knows one by its words, names the thing at fault, and what to type next."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

PART = (
    r"(?P<table>_?[a-z0-9]+(?:_[a-z0-9]+)*__[a-z0-9_]+) (?P<venue>[\w.-]+)/(?P<symbol>[\w.-]+) "
    r"(?P<day>\d{4}-\d\d-\d\d)(?: [a-z0-9]+-[a-z0-9]+)?"
)

VERBS = {"nightly": "run", "benchmark": "bench"}  # flows whose command has another name


class Cause(NamedTuple):
    """`line` for people; `fault` is the thing in it that is at fault; `kind` is one word for programs; `next` is a command."""

    line: str
    fault: str = ""
    kind: str = "error"
    next: str = ""


class Seen(NamedTuple):
    """What the rules look at: the error's words, the names of its types, what led to it, and the flow it happened in."""

    text: str
    types: frozenset[str] = frozenset()
    flow: str = ""
    file: str = ""
    why: str = ""  # the system's words for `file`
    no_space: str | None = None  # where, of a full disk

    @property
    def first(self) -> str:
        return self.text.strip().splitlines()[0] if self.text.strip() else ""

    @property
    def again(self) -> str:
        return again(self.flow)

    @property
    def usage(self) -> str:
        return f"{verb(self.flow)} --help"


Rule = Callable[[Seen], Cause | None]


def verb(flow: str) -> str:
    """The command that runs a flow."""
    return f"scalp {VERBS.get(flow, flow or 'run')}"


def again(flow: str) -> str:
    """The command to run a flow once more; what it takes where it cannot run without being told."""
    return f"{verb(flow)} --help" if flow == "backfill" else verb(flow)


def worded(text: str) -> str:
    """One line of a message that may be many: the last where it quotes another error in full, else the first, with what it announces."""
    lines = text.strip().splitlines() or [""]
    if "\nTraceback" in f"\n{text}":
        return lines[-1]
    return " ".join(lines[:2]) if lines[0].rstrip().endswith(":") else lines[0]


def full_disk(where: object) -> str:
    return f"the disk is full ({where}); what was finished is kept. Free some space and run again"


def disk(seen: Seen) -> Cause | None:
    if seen.no_space is None:
        return None
    own = seen.first if "the disk is full" in seen.text else ""
    return Cause(own or full_disk(seen.no_space or "of the data folder"), "the disk", "disk", "scalp maintain")


def parameter(seen: Seen) -> Cause | None:
    if found := re.search(r"^folder: (?:there is no folder )?(?P<path>\S+)(?= is empty| \(from here|$)", seen.first):
        return Cause(f"parameter {seen.first}", found["path"], "source", f"ls -l {shlex.quote(str(Path(found['path']).parent))}")
    if "BadParameter" in seen.types:
        return Cause(f"parameter {seen.first}", seen.text.partition(":")[0], "parameter", seen.usage)
    found = re.search(r"invalid parameters:\s*(.+)", seen.text, re.DOTALL)
    if not found and not seen.types & {"ParameterTypeError", "ParameterBindError", "SignatureMismatchError"}:
        return None
    wrong = [line.strip(" -") for line in found[1].splitlines() if line.strip(" -")] if found else [seen.first]
    name = re.match(r"[\w.]+", wrong[0])
    line = f"parameter {'; '.join(wrong)}" if found else seen.first
    return Cause(line, name[0] if name and found else "a parameter", "parameter", seen.usage)


def killed(seen: Seen) -> Cause | None:
    if "no heartbeat" in seen.text or ("heartbeat" in seen.text and "crash" in seen.text.lower()):
        return Cause(
            f"the worker and the process of flow {seen.flow or 'run'} are gone: no heartbeat came", "the worker", "killed", "scalp status"
        )
    if seen.text.startswith("scalp up was stopped"):
        return Cause(seen.first, "scalp up", "stopped", seen.again)
    if found := re.search(r"process (?P<pid>\d+) of flow \S+ is gone", seen.text):
        return Cause(seen.first, f"process {found['pid']}", "killed", "dmesg | grep -i 'killed process'")
    found = re.search(r"exit(?:ed with (?:non-zero )?exit code|.*?signal|.*?status(?: code)?:?)\s*(-?\d+)", seen.first)
    if found and ("process" in seen.first.lower()):
        code = int(found[1])
        how = {-9: "was killed (SIGKILL)", 137: "was killed (SIGKILL)", -15: "was ended (SIGTERM)", 143: "was ended (SIGTERM)"}
        word = how.get(code, f"ended with exit code {code}")
        return Cause(
            f"the process of flow {seen.flow or 'run'} {word}", "the worker's process", "killed", "dmesg | grep -i 'killed process'"
        )
    return None


def timeout(seen: Seen) -> Cause | None:
    if found := re.search(r"(?P<what>Flow|Task) run exceeded timeout of (?P<s>[\d.]+) second", seen.text):
        what = f"flow {seen.flow}" if seen.flow and found["what"] == "Flow" else f"a {found['what'].lower()}"
        return Cause(f"{what} took longer than its limit of {float(found['s']):g} s", what, "timeout", "scalp doctor --capacity")
    if found := re.search(r"(\w[\w .-]*) was not ready after ([\d.]+) s", seen.text):
        name = found[1]
        return Cause(f"{name} was not ready within {found[2]} s{reason(seen.text)}", name, "timeout", log_command(seen.text))
    if found := re.search(r"Scope timed out after (?P<s>[\d.]+) second", seen.text):
        what = f"flow {seen.flow}" if seen.flow else "the run"
        return Cause(f"{what} took longer than its limit of {float(found['s']):g} s", what, "timeout", "scalp doctor --capacity")
    if seen.types & {"TimeoutError"} and not seen.file:
        return Cause(f"a time limit was reached: {seen.first}", "a time limit", "timeout", "scalp doctor")
    return None


def held(seen: Seen) -> Cause | None:
    if "Held" not in seen.types:
        return None
    by = re.search(r"is held by ('[^']+'|another process)", seen.text)
    return Cause(seen.first, by[1] if by else "the data folder", "held", "scalp status")


def partition(seen: Seen) -> Cause | None:
    """A part that is torn, gone, or of somebody else."""
    found = re.search(PART, seen.text)
    path = re.search(r"(?P<path>/[^\s:;,()'\"]*/[a-z_0-9]+__[a-z0-9_]+/venue=[^\s:;,()'\"]+/part[\w.-]*\.parquet)", seen.text)
    if path and not found:
        words = dict(word.split("=", 1) for word in path["path"].split("/") if "=" in word)
        table = path["path"].split("/venue=")[0].rsplit("/", 1)[-1]
        line = f"{table} {words.get('venue')}/{words.get('symbol')} {words.get('day')}: unreadable ({worded(seen.text)})"
        return Cause(line, path["path"], "partition", f"rm {shlex.quote(path['path'])} && {remade(table, words)}")
    if not found or not re.search(r"unreadable|missing|not written by this program|another feature set|checksum|corrupt", seen.text):
        return None
    words = found.groupdict()
    again = remade(found["table"], words)
    remove = f"rm {shlex.quote(path['path'])} && " if (path and "unreadable" in seen.text) or (path and "not written" in seen.text) else ""
    return Cause(seen.first, found[0], "partition", f"{remove}{again}")


def remade(table: str, words: Mapping[str, str | None]) -> str:
    """The command that makes a part of this table again, of what it was made of."""
    if not table.startswith(("clean", "feat")):
        return "scalp ingest"
    stage = "features" if table.startswith("feat") or table.endswith("_bars") else "ingest"
    return f"scalp backfill {stage} --venue {words.get('venue')} --symbol {words.get('symbol')} --from {words.get('day')}"


def schema(seen: Seen) -> Cause | None:
    if not re.search(r"\(mapping '", seen.text) and "MappingError" not in seen.types:
        return None
    path = re.match(r"(?P<path>.+?)(?:: | is not a folder)", seen.first)
    missing = "is not a folder" in seen.text or "no file matches" in seen.text
    of = path["path"] if path else "the table"
    return Cause(seen.first, of, "source" if missing else "schema", f"ls -l {shlex.quote(of)}" if missing else "scalp ingest --help")


def source(seen: Seen) -> Cause | None:
    found = re.match(r"(?:no folder|nothing to read in) (?P<path>.+?): ", seen.text)
    if found:
        return Cause(seen.first, found["path"], "source", f"ls -l {shlex.quote(str(Path(found['path']).parent))}")
    if "could not be read to the end" in seen.text:
        names = re.search(r"\(what was sound is kept\): (?P<file>[^\s:;]+)", seen.text)
        return Cause(seen.first, names["file"].rstrip(":") if names else "a file", "source", seen.again)
    return None


def model(seen: Seen) -> Cause | None:
    """A trained model that is not there or cannot be read."""
    found = re.search(r"(?P<path>/[^\s:;,()'\"]*/models/[^\s:;,()'\"/]+)(?P<file>/[\w.-]+)? (?:cannot be read|is missing)", seen.text)
    if not found:
        return None
    return Cause(seen.first, found["path"] + (found["file"] or ""), "model", f"rm -r {shlex.quote(found['path'])} && scalp train")


def gate(seen: Seen) -> Cause | None:
    """A version that was not taken."""
    found = re.match(r"model (?P<model>\S+) was not taken at the step '(?P<step>\w+)': (?P<why>.*)", seen.text, re.DOTALL)
    if not found:
        return None
    if found["step"] in ("start", "load", "tune") and re.search("triton", found["why"], re.IGNORECASE):
        return server(seen._replace(text=found["why"]), f"model {found['model']} was not taken: ")
    return Cause(seen.first, f"model {found['model']} at the step {found['step']}", "gate", f"scalp deploy {found['model']}")


def server(seen: Seen, before: str = "") -> Cause | None:
    """A server that did not start, or died."""
    found = re.search(r"(?P<name>[Tt]riton|[Pp]refect|\w+) (?:ended with|could not be started|died|could not|cannot run here)", seen.first)
    if not found or not (seen.types & {"ServiceError", "TritonError"} or found["name"].lower() in ("triton", "prefect")):
        return None
    port = re.search(r"(?:\d+\.){3}\d+:\d+", seen.text)
    name = found["name"]
    return Cause(
        f"{before}{seen.first.rstrip('.')}{reason(seen.text)}",
        f"{name} at {port[0]}" if port else name,
        name.lower(),
        log_command(seen.text),
    )


def reason(text: str) -> str:
    """The line of a server's log that says why, where one does."""
    lines = [line.strip(" |") for line in text.splitlines()[1:]]
    telling = [line for line in lines if re.search(r"error|fail|in use|denied|cannot|No such", line, re.IGNORECASE)]
    return f": {telling[-1][-300:]}" if telling else ""


def log_command(text: str) -> str:
    found = re.search(r"(?:its log|log at) \(?(?P<path>/[^\s):]+)", text)
    return f"tail -50 {shlex.quote(found['path'])}" if found else "scalp doctor"


def connection(seen: Seen) -> Cause | None:
    if (
        not seen.types & {"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "ConnectionError"}
        and "onnection refused" not in seen.text
    ):
        return None
    port = re.search(r"[\w.-]+:\d{2,5}", seen.text)
    return Cause(f"no connection: {seen.first}", port[0] if port else "a server", "connection", "scalp status")


def setting(seen: Seen) -> Cause | None:
    if "SettingsError" not in seen.types and not re.match(r"(?:wrong|unknown) setting: ", seen.text):
        return None
    found = re.search(r"setting: (?P<key>[\w.]+)", seen.text)
    return Cause(seen.first, found["key"] if found else "a setting", "setting", "scalp doctor")


def data(seen: Seen) -> Cause | None:
    """Too little to work on."""
    if re.match(r"no clean data", seen.text):
        return Cause(seen.first, "clean data", "data", "scalp ingest")
    if re.match(r"nothing to train on|no day has a complete row|too little data|.*too few", seen.text):
        return Cause(seen.first, "the features", "data", "scalp coverage")
    return None


def file(seen: Seen) -> Cause | None:
    if not seen.file:
        return None
    kind = "rights" if "ermission" in seen.why else "file"
    return Cause(f"{seen.file}: {seen.why}", seen.file, kind, f"ls -l {shlex.quote(seen.file)}")


def memory(seen: Seen) -> Cause | None:
    if "MemoryError" not in seen.types:
        return None
    return Cause(f"the machine has too little memory: {seen.first}", "memory", "memory", "scalp doctor --capacity")


RULES: tuple[Rule, ...] = (
    parameter, disk, timeout, killed, held, schema, model, gate, partition, source, server, connection, setting, data, file, memory,
)  # fmt: skip
