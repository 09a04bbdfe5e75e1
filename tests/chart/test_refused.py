"""Every file in refused/ is refused, with the message in its first line."""

from pathlib import Path

import helm_python as helm
import pytest

from tests.chart.rendering import REFUSED, render

IN_SCHEMA = "values don't meet the specifications of the schema(s) in the following chart(s):\n"
IN_TEMPLATE = "execution error at (helpscout-exporter/templates/deployment.yaml:1:4): "


def _message(error: helm.HelmError) -> str:
    text = str(error)
    if IN_SCHEMA in text:
        assert isinstance(error, helm.HelmValuesError)
        _, _, said = text.partition("helpscout-exporter:\n- ")
        return said.strip()
    _, found, said = text.partition(IN_TEMPLATE)
    assert found, text
    return said.strip()


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: str(path.stem))
def test_bad_values_are_refused_in_so_many_words(path: Path) -> None:
    text = path.read_text()
    with pytest.raises(helm.HelmError) as refused:
        render(text)
    assert _message(refused.value) == text.splitlines()[0].removeprefix("# ")


def test_there_are_enough_of_them() -> None:
    assert len(REFUSED) >= 30
