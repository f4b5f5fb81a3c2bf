"""From cells to finished records: what a unit is, and how it is trained."""
