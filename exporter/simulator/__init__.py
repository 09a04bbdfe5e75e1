"""A stand-in for Help Scout's reporting API. It shares no table, and so no error, with the rest."""

from exporter.simulator.faults import Faults, parse_faults
from exporter.simulator.service import Simulator, SimulatorOptions
from exporter.simulator.world import World

__all__ = ["Faults", "Simulator", "SimulatorOptions", "World", "parse_faults"]
