"""Weights of a backbone from a file or an installed package, and what they are.

No pickle is loaded: a checkpoint is read with ``weights_only=True``, which builds tensors alone.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import DataError, in_one_line
from gzsl_bench.extract.importing import imported

if TYPE_CHECKING:
    from torch import Tensor, nn

SAFE, CHECKPOINTS = ".safetensors", (".pth", ".pt", ".bin", ".ckpt", ".tar")
#: Where training programs put the weights in their checkpoints.
_INSIDE = ("state_dict", "model_state_dict", "model", "module")
#: What data-parallel training and compiling put before every name.
_BEFORE = ("module.", "_orig_mod.")
RANDOM = "random"


def file_of(weights: str) -> Path | None:
    """The file that ``--weights`` names, or None where it is a name that a library knows.

    Args:
        weights: a path, or ``package:name`` for a file in an installed package: its path within
            the package, or an attribute that is, or gives when called, the path.

    Raises:
        DataError: there is no such file.
    """
    path = Path(weights).expanduser()
    if path.suffix in (SAFE, *CHECKPOINTS) and ":" not in weights:
        if not path.is_file():
            raise DataError(f"the weights {path} do not exist; name a file that does")
        return path
    package, colon, name = weights.partition(":")
    if not colon:
        return None
    if Path(name).suffix in (SAFE, *CHECKPOINTS):
        from importlib import resources

        try:
            found = Path(str(resources.files(package).joinpath(name)))
        except (ImportError, TypeError, ValueError):
            raise DataError(f"the weights {weights}: there is no package {package}") from None
    else:
        given = imported(weights, "the weights")
        try:
            found = Path(given() if isinstance(given, Callable) else given)  # type: ignore[arg-type]
        except Exception as error:
            raise DataError(f"the weights {weights} give no path: {in_one_line(error)}") from None
    if not found.is_file():
        raise DataError(f"the weights {weights} lead to {found}, which does not exist")
    return found


def load(module: nn.Module, path: Path) -> list[str]:
    """Load weights into a module; names in the file that it has no place for are returned.

    Raises:
        DataError: the file is damaged, holds Python objects, or lacks weights of the module.
    """
    found = _read(path)
    mine = module.state_dict()
    for prefix in _BEFORE:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    # The counter of batches seen changes nothing at inference, and old files lack it.
    lacking = [n for n in mine if n not in found and not n.endswith("num_batches_tracked")]
    if lacking:
        raise DataError(
            f"{path} lacks {len(lacking)} of the backbone's {len(mine)} weights ({lacking[0]} the"
            f" first; it has {next(iter(found), 'none')} and others), so it is of another one"
        )
    for name, value in mine.items():
        if name in found and found[name].shape != value.shape:
            raise DataError(
                f"{name} in {path} has shape {tuple(found[name].shape)}, but the backbone's has"
                f" {tuple(value.shape)}, so it is of another one"
            )
    module.load_state_dict({n: found[n] for n in mine if n in found}, strict=False)
    return [name for name in found if name not in mine]


def _read(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        if path.suffix == SAFE:
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused anyway
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise DataError(
            f"{path} needs safetensors, which is not installed; pip install 'gzsl-bench[extract]'"
        ) from None
    except Exception as error:  # torch raises what unpickling raises
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise DataError(
                f"{path} holds Python objects beside weights (a pickle), which are never loaded;"
                " save its state_dict alone, as .safetensors"
            ) from None
        raise DataError(f"{path} cannot be read as weights ({in_one_line(error)[:200]})") from None
    for key in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds no weights by name, but a state_dict is needed")
    return {str(name): value for name, value in content.items() if torch.is_tensor(value)}


def digest(module: nn.Module) -> str:
    """SHA-256 of a module's weights and buffers: the same whatever file they came from."""
    hasher = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        import torch

        plain = value.detach().cpu().contiguous()
        hasher.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        hasher.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
