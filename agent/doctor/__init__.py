"""`onggi doctor`: tries what must not work and what must, from within the process that asks."""
