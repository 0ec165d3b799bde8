"""Training of the demo model: simulated recordings, a few public ones, one core, half an hour."""
