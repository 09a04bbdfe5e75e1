"""The tests, layer by layer: unit, contract, faults, system."""
