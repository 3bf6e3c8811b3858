"""SmartConfig: the smoothness regulariser of Jiang et al. 2020."""

from typing import Literal

from pydantic import Field

from mtbert_ray.config.bounds import MAX_FACTOR, MAX_STEPS
from mtbert_ray.schema import FiniteSchema


class SmartConfig(FiniteSchema):
    """SMART's smoothness-inducing adversarial regulariser (Jiang et al. 2020, section 3.1).

    Its loss is added to that of the tasks named here. docs/methods.md says what each choice costs.
    """

    tasks: tuple[str, ...] = ()
    """Tasks that are regularised; none of them turns SMART off."""
    steps: int = Field(default=1, ge=0, le=MAX_STEPS)
    """Ascent steps k on the noise; 0 leaves it random, which costs least."""
    epsilon: float = Field(default=1e-5, gt=0, le=MAX_FACTOR)
    """Largest norm of an example's noise."""
    step_size: float = Field(default=1e-3, gt=0, le=MAX_FACTOR)
    """Length of an ascent step in the same norm, before the noise is projected back to epsilon."""
    noise_variance: float = Field(default=1e-5, gt=0, le=MAX_FACTOR)
    """Variance of the normal noise that the ascent starts from."""
    norm: Literal["inf", "l2"] = "inf"
    """Of the noise on all of an example's embeddings together: the largest absolute value, or the Euclidean length."""
    weight: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Lambda: what the regulariser counts beside the task's loss."""
    tolerance: float | None = Field(default=None, gt=0, le=MAX_FACTOR)
    """A row's ascent ends when a step raised its divergence by less than this share; none takes all steps. A GPU then
    waits for the CPU at each step."""
