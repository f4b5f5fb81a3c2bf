"""From cells to finished records: planner, worker, executors, selection."""
