"""What the inspections look like; matplotlib is imported where something is drawn."""
