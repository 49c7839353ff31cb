"""Displays of the inspections. matplotlib is imported when a figure is drawn."""
