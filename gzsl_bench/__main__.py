"""``python -m gzsl_bench``: the command line without its script."""

from gzsl_bench.cli.main import main

if __name__ == "__main__":
    main()
