"""Public claims about what a model cost, held against arithmetic: `examine(load_claim("deepseek-v3-pretraining"))`."""

from clearseek.audit.claim import Claim, load_claim
from clearseek.audit.examine import Examination, examine, solve

__all__ = ["Claim", "Examination", "examine", "load_claim", "solve"]
