"""What holds for every test."""

from hypothesis import HealthCheck, settings

# A busy machine is slow, and that says nothing about the code: time is no matter of these tests.
settings.register_profile("exporter", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("exporter")
