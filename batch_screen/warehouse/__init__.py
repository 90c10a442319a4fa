"""Warehouses: what a run is there, and a target for each kind of database and lake."""
