"""The distributions that are developed with this program, for who asks for a method of theirs."""

from __future__ import annotations

#: Distribution -> the methods that it has; a test holds it to what they register.
METHODS = {
    "gzsl-bench-acmr": ("acmr",),
    "gzsl-bench-attention": ("apn", "aren", "dazle", "rgen", "sp_aen"),
    "gzsl-bench-cada-vae": ("cada_vae",),
    "gzsl-bench-classic": (
        *(
            "ale",
            "clip_zeroshot",
            "cmt",
            "cmt_star",
            "conse",
            "dap",
            "dem",
            "devise",
            "gfzsl",
            "iap",
        ),
        *("latem", "sae", "sje", "sse", "sync"),
    ),
    "gzsl-bench-eszsl": ("eszsl",),
    "gzsl-bench-feature-gan": (
        "ce_gzsl",
        "cycle_clswgan",
        "dascn",
        "epgn",
        "f_clswgan",
        "f_vaegan",
        "f_vaegan_d2",
        "free",
        "lisgan",
        "lisgan_cascade",
        "lsrgan",
        "tf_vaegan",
        "zerodiff",
        "zla",
    ),
    "gzsl-bench-feature-vae": ("cvae", "de_vae", "disentangled_vae", "ocd", "sdgzsl", "se_gzsl"),
}


def distribution_of(method: str) -> str | None:
    """The distribution that has the method ``method``, or None."""
    return next((name for name, methods in METHODS.items() if method in methods), None)
