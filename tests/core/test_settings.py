"""A wrong key or value is an error that names it."""

from pathlib import Path

import pytest

from core import mappings as mappings_of
from core import settings
from core.settings import SettingsError


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SCALP_TRIAN__SEED", "3", "did you mean SCALP_TRAIN__SEED"),
        ("SCALP_TRAIN__SEEED", "3", "did you mean SCALP_TRAIN__SEED"),
        ("SCALP_TRAIN__SEED", "three", "train.seed"),
        ("SCALP_QUALITY__MAX_JUMP_PCT", "-1", "quality.max_jump_pct"),
        ("SCALP_INGEST__SOURCE", "internet", "ingest.source"),
        ("SCALP_CONFIG", "no/such/file.toml", "not a file"),
        ("SCALP_DATA_DIR", "", "data_dir: name a folder"),
    ],
    ids=["section", "field", "type", "range", "choice", "no file", "no folder"],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        settings.read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nseeed = 3", "train.seeed"),
        ("[trian]\nseed = 3", "trian"),
        ("[train]\nseed = 'x'", "train.seed"),
        ("[train", "scalp.toml"),
    ],
    ids=["field", "section", "type", "syntax"],
)
def test_a_wrong_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scalp.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        settings.read()


def test_the_environment_goes_over_the_file_and_the_file_over_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "other.toml"
    file.write_text("[train]\nseed = 3\nbatch_size = 64\n")
    monkeypatch.setenv("SCALP_CONFIG", str(file))
    monkeypatch.setenv("SCALP_TRAIN__SEED", "4")
    tree = settings.read()
    assert (tree.train.seed, tree.train.batch_size, tree.train.patience) == (4, 64, 10)


def test_lists_take_commas_or_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALP_GENERATOR__SYMBOLS", "AUSDT, BUSDT")
    assert settings.read().generator.symbols == ("AUSDT", "BUSDT")
    monkeypatch.setenv("SCALP_GENERATOR__SYMBOLS", '["CUSDT"]')
    assert settings.read().generator.symbols == ("CUSDT",)


def test_a_mapping_can_be_added_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    keys = mappings_of.STANDX.model_dump(exclude_none=True) | {"venue": "mine"}
    lines = [f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}" for k, v in keys.items() if not isinstance(v, dict)]
    (tmp_path / "scalp.toml").write_text("[mappings.mine]\n" + "\n".join(lines))
    mappings = settings.read().mappings
    assert mappings["mine"].venue == "mine"
    assert mappings["standx"] == mappings_of.STANDX  # the built-in ones stay


def test_the_tree_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        settings.read().train.seed = 3  # type: ignore[misc]
