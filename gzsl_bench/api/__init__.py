"""The program as a library: what ``gzsl_bench.run``, ``load`` and ``compare`` are."""
