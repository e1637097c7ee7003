"""Training losses: pure functions of tensors."""

from cherche_models.losses.distillation import kl_divergence, margin_mse, token_similarity
from cherche_models.losses.flops import Schedule, df_flops, df_weights, flops, l1, quadratic, ramp
from cherche_models.losses.joint import JointLoss, Parts, Targets
from cherche_models.losses.modules import Flops, FlopsScheduler, Ranking
from cherche_models.losses.ranking import (
    known_relevant,
    late_scores,
    maxsim_scores,
    ranking,
    sparse_scores,
    term_scores,
)

__all__ = [
    "Flops",
    "FlopsScheduler",
    "JointLoss",
    "Parts",
    "Ranking",
    "Schedule",
    "Targets",
    "df_flops",
    "df_weights",
    "flops",
    "kl_divergence",
    "known_relevant",
    "l1",
    "late_scores",
    "margin_mse",
    "maxsim_scores",
    "quadratic",
    "ramp",
    "ranking",
    "sparse_scores",
    "term_scores",
    "token_similarity",
]
