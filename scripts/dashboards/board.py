"""What every dashboard is made of: queries with ref ids, panels with unit and description, links.

A panel gets its id from its place, so that the same code always gives the same JSON. No panel
names a data source: all of them ask the one that the variable `datasource` holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self, cast

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "helpscout"

Steps = Sequence[tuple[float | None, str]]
"""Thresholds: from which value on which colour; None is from below."""

Overrides = Mapping[str, Mapping[str, Any]]
"""From a field's name to its settings by their path, like `unit` or `custom.width`."""

RED_BELOW_ZERO: Final[Steps] = ((None, "red"), (0.0, "green"))
NEUTRAL: Final[Steps] = ((None, "text"),)
TARGET_LINE: Final[Mapping[str, Any]] = {
    "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
    "custom.fillOpacity": 0,
    "color": {"mode": "fixed", "fixedColor": "red"},
}
"""How a line from an SLA's configuration looks."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression, and what its series are called."""

    expr: str
    legend: str = ""
    instant: bool = False
    table: bool = False
    heatmap: bool = False


class _Panel(Protocol):
    """What all builders of panels have in common."""

    def id(self, id_val: int) -> Self: ...
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef) -> Self: ...
    def height(self, h: int) -> Self: ...
    def span(self, w: int) -> Self: ...
    def with_target(self, target: Any) -> Self: ...
    def override_by_name(self, name: str, properties: list[models.DynamicConfigValue]) -> Self: ...
    def override_by_query(
        self, query_ref_id: str, properties: list[models.DynamicConfigValue]
    ) -> Self: ...
    def thresholds(self, thresholds: Any) -> Self: ...


@dataclass
class Board:
    """Puts panels one after the other; rows of 24 columns fill themselves."""

    uid: str
    title: str
    description: str
    variables: Sequence[Any]
    refresh: str = "1m"
    since: str = "now-24h"
    _panels: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._dashboard = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .refresh(self.refresh)
            .time(self.since, "now")
            .timezone("browser")
            .editable()
            .annotation(_alerts())
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(
                dashboard.DashboardLink("Help Scout")
                .type(models.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .include_vars(True)
                .keep_time(True)
            )
        )
        for variable in self.variables:
            self._dashboard.with_variable(variable)

    def row(self, title: str) -> None:
        """Begin a row."""
        self._panels += 1
        self._dashboard.with_row(dashboard.Row(title).id(self._panels))

    def timeseries(
        self, title: str, description: str, unit: str, *queries: Query, width: int = 12, **more: Any
    ) -> None:
        """Add lines over time."""
        panel = (
            timeseries.Panel()
            .line_width(2)
            .fill_opacity(5)
            .show_points(common_models.VisibilityMode.NEVER)
            .legend(
                common.VizLegendOptions()
                .show_legend(True)
                .placement(common_models.LegendPlacement.BOTTOM)
                .display_mode(common_models.LegendDisplayMode.LIST)
            )
            .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
        )
        self._add(panel, title, description, unit, queries, width, **more)

    def stat(
        self, title: str, description: str, unit: str, *queries: Query, width: int = 6, **more: Any
    ) -> None:
        """Add single numbers."""
        panel = (
            stat.Panel()
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            .color_mode(common_models.BigValueColorMode.VALUE)
            .graph_mode(common_models.BigValueGraphMode.AREA)
        )
        self._add(panel, title, description, unit, queries, width, **{"height": 5} | more)

    def bars(
        self, title: str, description: str, unit: str, *queries: Query, width: int = 12, **more: Any
    ) -> None:
        """Add a bar for each series."""
        panel = (
            bargauge.Panel()
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            .orientation(common_models.VizOrientation.HORIZONTAL)
            .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        )
        self._add(panel, title, description, unit, queries, width, **more)

    def columns(
        self, title: str, description: str, unit: str, x: str, query: Query, width: int = 12
    ) -> None:
        """Add a bar chart over the values of a label."""
        panel = (
            barchart.Panel()
            .x_field(x)
            .with_transformation(_transformation("sortBy", sort=[{"field": x}]))
            .with_transformation(_transformation("organize", excludeByName={"Time": True}))
        )
        self._add(panel, title, description, unit, (query,), width)

    def states(
        self,
        title: str,
        description: str,
        query: Query,
        words: Mapping[str, tuple[str, str]],
        width: int = 12,
    ) -> None:
        """Add states over time; `words` has text and colour for each value."""
        results = {
            value: models.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(words.items())
        }
        panel = statetimeline.Panel().mappings([models.ValueMap(options=results)])
        self._add(panel, title, description, "none", (query,), width)

    def heatmap(
        self, title: str, description: str, unit: str, query: Query, width: int = 12
    ) -> None:
        """Add buckets over time; `unit` is that of the bounds, the cells are conversations."""
        panel = (
            heatmap.Panel()
            .calculate(False)
            .y_axis(heatmap.YAxisConfig().unit(unit))
            .cell_values(heatmap.CellValues().unit("short"))
            .color(heatmap.HeatmapColorOptions().scheme("Oranges").steps(64))
        )
        self._add(panel, title, description, unit, (query,), width)

    def table(
        self,
        title: str,
        description: str,
        unit: str,
        columns: Mapping[str, Query],
        *,
        labels: Mapping[str, str],
        width: int = 24,
        overrides: Overrides | None = None,
        **more: Any,
    ) -> None:
        """Add a table: a column for each label and query, a row for each set of labels.

        `labels` gives a label's heading; all queries must have the same labels.
        """
        names = dict(labels)
        if len(columns) == 1:
            names["Value"] = next(iter(columns))
        else:
            names |= {f"Value #{_ref(index)}": title for index, title in enumerate(columns)}
        panel = (
            table.Panel()
            .filterable(True)
            .with_transformation(_transformation("merge"))
            .with_transformation(
                _transformation(
                    "organize",
                    excludeByName={"Time": True},
                    indexByName={name: index for index, name in enumerate(names)},
                    renameByName=names,
                )
            )
        )
        self._add(
            panel,
            title,
            description,
            unit,
            tuple(columns.values()),
            width,
            overrides=overrides,
            **more,
        )

    def _add(
        self,
        panel: _Panel,
        title: str,
        description: str,
        unit: str,
        queries: Sequence[Query],
        width: int,
        *,
        height: int = 8,
        thresholds: Steps = NEUTRAL,
        overrides: Overrides | None = None,
        lines: Sequence[int] = (),
    ) -> None:
        """`lines` are the positions of the queries that are drawn as a target."""
        self._panels += 1
        panel.id(self._panels).title(title).description(description).unit(unit)
        panel.datasource(SOURCE).height(height).span(width)
        panel.thresholds(
            dashboard.ThresholdsConfig()
            .mode(models.ThresholdsMode.ABSOLUTE)
            .steps([models.Threshold(value=value, color=color) for value, color in thresholds])
        )
        for index, query in enumerate(queries):
            panel.with_target(_target(query, _ref(index)))
        for name, settings in (overrides or {}).items():
            panel.override_by_name(name, _properties(settings))
        for index in lines:
            panel.override_by_query(_ref(index), _properties(TARGET_LINE))
        self._dashboard.with_panel(cast(Builder[models.Panel], panel))

    def json(self) -> str:
        """Return the dashboard as Grafana imports it."""
        return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(
            self._dashboard.build()
        )


def red_from(value: float) -> Steps:
    """Return thresholds that are green below a value."""
    return ((None, "green"), (value, "red"))


def steps(thresholds: Steps) -> dict[str, Any]:
    """Return thresholds as an override has them."""
    return {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in thresholds]}


def _ref(index: int) -> str:
    return chr(ord("A") + index)


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(ref).legend_format(query.legend)
    target.datasource(SOURCE)
    formats = prometheus_models.PromQueryFormat
    shape = formats.TABLE if query.table else formats.HEATMAP if query.heatmap else None
    if shape is not None:
        target.format(shape)
    return target.instant() if query.instant else target.range()


def _properties(settings: Mapping[str, Any]) -> list[models.DynamicConfigValue]:
    return [models.DynamicConfigValue(id_val=path, value=value) for path, value in settings.items()]


def _transformation(name: str, **options: Any) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(id_val=name, options=options)


_CLASSIC_QUERY: Final = 5
"""What Grafana calls a variable's query that is a text like `label_values(…)`."""


# --- variables ----------------------------------------------------------------------------------


def source() -> dashboard.DatasourceVariable:
    """Return the variable that holds the data source."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def choice(
    name: str,
    label: str,
    query: str,
    first: str,
    *,
    text: str = "",
    regex: str = "",
    many: bool = False,
    all_value: str = "",
) -> dashboard.QueryVariable:
    """Return a variable with the values that a query finds.

    `first` is chosen where it exists, and shown as `text`; empty: the first that is found.
    """
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "qryType": _CLASSIC_QUERY, "refId": name})
        .regex(regex)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.DISABLED)
        .multi(many)
        .include_all(many)
    )
    if first:
        shown = text or ("All" if first == "$__all" else first)
        variable = variable.current(models.VariableOption(selected=True, text=shown, value=first))
    return variable.all_value(all_value) if all_value else variable


# --- annotations --------------------------------------------------------------------------------


def _alerts() -> dashboard.AnnotationQuery:
    """Return the alerts that fire, drawn over time: Prometheus keeps them as the series ALERTS."""
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .hide(False)
        .icon_color("red")
        .expr('ALERTS{alertname=~"Helpscout.+", alertstate="firing"}')
    )
