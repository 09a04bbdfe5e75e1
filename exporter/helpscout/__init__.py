"""Help Scout's reporting API, either generation, behind one small client."""
