"""CLIP's zero-shot classifier (Radford et al.): images and class texts embedded into one space."""

from __future__ import annotations

from torch.nn import functional

from gzsl_bench import Method, MethodSpec, NotApplicable, Run, Scorer, Task


class CLIPZeroShot(Method):
    """cos(x, a_c) of image features x [N, D] and embeddings a_c [C, D] of the classes' texts.

    Nothing is learned, from seen classes neither, so no seed changes anything.  Features and class
    embeddings must come from one model, as ``gzsl-bench extract`` makes them with an image and with
    ``--texts``; their widths are all that can be checked here.  The paper's temperature changes no
    prediction, and calibrated stacking chooses its gamma on the cosines themselves.
    """

    def fit(self, task: Task, run: Run) -> Scorer:
        """Nothing to fit.

        Raises:
            NotApplicable: features and class embeddings differ in width.
        """
        width, texts = task.features.shape[1], task.attributes.shape[1]
        if width != texts:
            raise NotApplicable(
                f"features have {width} dimensions and class embeddings {texts}, but cosines need"
                " both in one space (gzsl-bench extract with a model of open_clip makes such)"
            )
        prototypes = functional.normalize(task.attributes.double(), dim=1)
        return Scorer(
            embed=lambda x: functional.normalize(x.double(), dim=1),
            score=lambda e: e @ prototypes.T,
        )


SPEC = MethodSpec(
    name="clip_zeroshot",
    factory=CLIPZeroShot,
    citation="Radford et al., Learning transferable visual models from natural language supervision, ICML 2021",  # noqa: E501
    version="1",
    fidelity="paper",
    family="Embedding",
    preprocessing="none",
    deterministic=True,
    summary="Cosine between image features and class texts that one model embeds; learns nothing.",
)
