"""The toolkit that trains many runs (seeds, loss weights, learning rates) as one.

Every parameter and every activation carries a leading run axis: weights are [R, out, in], data are
[R, B, in].  Runs never see each other: each draws from its own streams, losses are kept per run and
*summed* before the backward pass, and the optimiser is elementwise.
"""

from gzsl_bench.stacked.adam import Optimizer, Several, StackedAdam
from gzsl_bench.stacked.attention import in_blocks, region_products, unit_regions
from gzsl_bench.stacked.autoencoder import Decoder, Encoder
from gzsl_bench.stacked.cada_vae import first_rows, reparameterize
from gzsl_bench.stacked.critic import Critic
from gzsl_bench.stacked.crossmodal import CrossModalNetworks, CrossModalVAE
from gzsl_bench.stacked.diffusion import Diffusion, TimeEmbedding
from gzsl_bench.stacked.draws import (
    Generators,
    Shuffles,
    integers,
    normals,
    permutations,
    subsets,
    subsets_in_turn,
    uniforms,
)
from gzsl_bench.stacked.dropout import dropout, keeps
from gzsl_bench.stacked.elementwise import ElementwiseAdam, StackedRMSprop, StackedSGD
from gzsl_bench.stacked.gan.batch import Batch
from gzsl_bench.stacked.gan.final import as_they_are, generated_latents
from gzsl_bench.stacked.gan.method import FeatureGAN, unseen_classes
from gzsl_bench.stacked.gan.networks import GANNetworks, Generator, Maker
from gzsl_bench.stacked.gan.seen import class_means, seen_loss, seen_places, trained_softmax
from gzsl_bench.stacked.gan.terms import Terms, generator_terms, with_more
from gzsl_bench.stacked.gaussian import (
    kl_divergence,
    l1_error,
    wasserstein_distance,
)
from gzsl_bench.stacked.latents import (
    embed_in_chunks,
    latent_training_set,
    sampled_latents,
    train_on_latents,
)
from gzsl_bench.stacked.layers import Linear, Parameters, frozen, linear, permute_channels
from gzsl_bench.stacked.loop import Loss, Phase, Progress, train, train_alternating
from gzsl_bench.stacked.norm import BatchNorm
from gzsl_bench.stacked.precision import arithmetic, precision_of
from gzsl_bench.stacked.restarted import RestartedClassifier
from gzsl_bench.stacked.runs import lanes, per_run
from gzsl_bench.stacked.schedule import WarmUp
from gzsl_bench.stacked.softmax import SoftmaxClassifier
from gzsl_bench.stacked.steps import Repeat
from gzsl_bench.stacked.table import Table

#: Part of the key of every cell whose method imports this toolkit: raise it when anything in here
#: gives other numbers than before.
NUMERICS = 1

__all__ = [
    "Batch",
    "BatchNorm",
    "Critic",
    "CrossModalNetworks",
    "CrossModalVAE",
    "Decoder",
    "Diffusion",
    "ElementwiseAdam",
    "Encoder",
    "FeatureGAN",
    "GANNetworks",
    "Generator",
    "Generators",
    "Linear",
    "Loss",
    "Maker",
    "Optimizer",
    "Parameters",
    "Phase",
    "Progress",
    "Repeat",
    "RestartedClassifier",
    "Several",
    "Shuffles",
    "SoftmaxClassifier",
    "StackedAdam",
    "StackedRMSprop",
    "StackedSGD",
    "Table",
    "Terms",
    "TimeEmbedding",
    "WarmUp",
    "arithmetic",
    "as_they_are",
    "class_means",
    "dropout",
    "embed_in_chunks",
    "first_rows",
    "frozen",
    "generated_latents",
    "generator_terms",
    "in_blocks",
    "integers",
    "keeps",
    "kl_divergence",
    "l1_error",
    "lanes",
    "latent_training_set",
    "linear",
    "normals",
    "per_run",
    "permutations",
    "permute_channels",
    "precision_of",
    "region_products",
    "reparameterize",
    "sampled_latents",
    "seen_loss",
    "seen_places",
    "subsets",
    "subsets_in_turn",
    "train",
    "train_alternating",
    "train_on_latents",
    "trained_softmax",
    "uniforms",
    "unit_regions",
    "unseen_classes",
    "wasserstein_distance",
    "with_more",
]
