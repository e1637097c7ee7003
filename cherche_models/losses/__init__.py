"""Training losses: pure functions of tensors."""

from cherche_models.losses.distillation import kl_divergence, margin_mse, token_similarity
from cherche_models.losses.flops import flops, quadratic
from cherche_models.losses.joint import JointLoss, Parts, Targets
from cherche_models.losses.ranking import maxsim_scores, ranking, sparse_scores, unfair

__all__ = [
    "JointLoss",
    "Parts",
    "Targets",
    "flops",
    "kl_divergence",
    "margin_mse",
    "maxsim_scores",
    "quadratic",
    "ranking",
    "sparse_scores",
    "token_similarity",
    "unfair",
]
