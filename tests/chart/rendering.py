"""The chart through the real Helm library: values in, objects out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import yaml

from scripts.chart import CHART

HERE: Final = Path(__file__).parent
ACCEPTED: Final = sorted((HERE / "values").glob("*.yml"))
REFUSED: Final = sorted((HERE / "refused").glob("*.yml"))
RELEASE: Final = "rel"
NAMESPACE: Final = "monitoring"
FULL_NAME: Final = "rel-helpscout-exporter"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What an installation would send to the cluster, and the notes it would print."""

    manifests: tuple[Manifest, ...]
    notes: str

    def every(self, kind: str) -> list[Manifest]:
        """Return the objects of a kind."""
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def one(self, kind: str, name: str = FULL_NAME) -> Manifest:
        """Return the one object of this kind and name."""
        found = [m for m in self.every(kind) if m["metadata"]["name"] == name]
        assert len(found) == 1, f"{kind} {name}: {len(found)} objects"
        return found[0]

    @property
    def workload(self) -> Manifest:
        """The one Deployment or StatefulSet."""
        (found,) = (*self.every("Deployment"), *self.every("StatefulSet"))
        return found

    @property
    def pod(self) -> Manifest:
        """The workload's pod template."""
        template: Manifest = self.workload["spec"]["template"]
        return template

    @property
    def exporter(self) -> Manifest:
        """The exporter's container in it."""
        (found,) = (c for c in self.pod["spec"]["containers"] if c["name"] == "exporter")
        container: Manifest = found
        return container

    def volume(self, name: str) -> Manifest | None:
        """Return one of its volumes, None if there is none of that name."""
        volumes: list[Manifest] = self.pod["spec"]["volumes"]
        return next((volume for volume in volumes if volume["name"] == name), None)

    @property
    def environ(self) -> dict[str, Any]:
        """The exporter's variables; one that is not text is its source."""
        return {
            entry["name"]: entry.get("value", entry.get("valueFrom"))
            for entry in self.exporter["env"]
        }

    @property
    def config_text(self) -> str:
        """The program's file."""
        volume = self.volume("config")
        assert volume is not None
        text: str = self.one("ConfigMap", volume["configMap"]["name"])["data"]["config.yml"]
        return text

    @property
    def config(self) -> Manifest:
        """The content of the program's file."""
        content: Manifest = yaml.safe_load(self.config_text)
        return content


@cache
def chart() -> helm.Chart:
    """Return the chart, loaded once."""
    return helm.Chart.load(CHART)


def values_of(text: str) -> dict[str, Any]:
    """Return values as Helm reads them."""
    return helm.values_from_yaml(text) or {}


def render(values: Mapping[str, Any] | str) -> Rendered:
    """Render the chart with values, or with YAML text of them.

    Raises HelmValuesError or HelmRenderError for values that are refused.
    """
    given = values_of(values) if isinstance(values, str) else dict(values)
    texts = chart().render(given, name=RELEASE, namespace=NAMESPACE)
    notes = next(text for name, text in texts.items() if name.endswith("NOTES.txt"))
    manifests = (
        manifest
        for name, text in sorted(texts.items())
        if not name.endswith(".txt")
        for manifest in _documents(text)
    )
    return Rendered(tuple(manifests), notes)


@cache
def rendered(name: str) -> Rendered:
    """Render the chart with the values of a file in values/."""
    return render((HERE / "values" / f"{name}.yml").read_text())


def _documents(text: str) -> Iterator[Manifest]:
    return (document for document in yaml.load_all(text, yaml.CSafeLoader) if document)
