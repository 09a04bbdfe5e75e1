"""A faithful stand-in for Help Scout's reporting API: a small world behind both dialects.

It imports nothing of the rest of the exporter, so that an error in a shared table cannot cancel
itself out; only the command line imports it.
"""

from exporter.simulator.faults import Faults, parse_faults
from exporter.simulator.server import Simulator
from exporter.simulator.service import SimulatorOptions
from exporter.simulator.world import World

__all__ = ["Faults", "Simulator", "SimulatorOptions", "World", "parse_faults"]
