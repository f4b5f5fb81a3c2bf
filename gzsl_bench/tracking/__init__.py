"""MLflow: a mirror of the records, rebuilt from them at any time.

Nothing here is read to decide anything about results.  Importing the package does not import
mlflow.
"""

from gzsl_bench.tracking.address import resolve_uri
from gzsl_bench.tracking.client import installed
from gzsl_bench.tracking.mirror import Mirror, open_mirror
from gzsl_bench.tracking.sync import SyncReport, sync

__all__ = ["Mirror", "SyncReport", "installed", "open_mirror", "resolve_uri", "sync"]
