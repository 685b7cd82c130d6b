"""Model versions in MLflow's registry: which an alias names, and forgetting one."""

import os
from pathlib import Path

from core import settings
from core.store import StoreError


class Tracked:
    """The registered versions of a data folder, by our version id; none where nothing was registered."""

    def __init__(self, data_dir: Path, config: settings.Settings) -> None:
        self.numbers: dict[str, list[str]] = {}
        self.aliased: set[str] = set()
        self.name = config.deploy.model_name
        self.client = None
        uri = config.train.tracking_uri
        if not uri and not (data_dir / "mlflow.db").is_file():
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from tasks.registry import Registry

        self.client = Registry(data_dir, self.name, uri).client
        models = self.client.search_registered_models(f"name='{self.name}'")
        aliases = {str(number) for model in models for number in (model.aliases or {}).values()}
        for version in self.client.search_model_versions(f"name='{self.name}'"):
            of = version.tags.get("version_id")
            if of:
                self.numbers.setdefault(of, []).append(str(version.version))
                if str(version.version) in aliases:
                    self.aliased.add(of)

    def withdraw(self, version_id: str) -> None:
        """Forget a version. The training run behind it stays in MLflow. Raises `StoreError` where MLflow refuses."""
        if self.client is None:
            return
        from mlflow.exceptions import MlflowException

        for number in self.numbers.get(version_id, ()):
            try:
                self.client.delete_model_version(self.name, number)
            except MlflowException as error:
                raise StoreError(f"model {version_id}: MLflow does not forget it ({error})") from error
