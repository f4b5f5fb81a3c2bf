"""What ``gzsl-bench new-plugin`` writes: a small package around a real little plugin."""
