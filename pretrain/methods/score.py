"""Validation PCC, defined once for every compared system: mean over sections of the mean PCC over genes."""

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.pretrain.running_pcc import RunningPcc


def section_pcc(
    predicted: Float[np.ndarray, "spot gene"],
    target: Float[np.ndarray, "spot gene"],
    section: Int[np.ndarray, " spot"],
) -> float:
    """Mean over sections of the mean PCC over genes; sections are never pooled.

    Args:
        predicted: on any scale.
        target: measured expression.
        section: of each spot; sections with one spot, or whose genes are all constant, have no PCC and are left out.

    Returns:
        The mean; 0 where no section has a PCC; minus infinity where a prediction is not finite (training diverged).
    """
    seen = RunningPcc()
    seen.update(predicted, target, section)
    return seen.score()
