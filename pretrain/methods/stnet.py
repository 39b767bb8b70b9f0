"""ST-Net at feature level: one linear layer from the image features to every gene."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.models.blocks import Standardise
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.section_encoders import SpotInputs
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.pretrain.methods.base import Method, Task, Trained
from hage_transfer.pretrain.methods.batches import SpotBatch
from hage_transfer.pretrain.methods.images import image_side
from hage_transfer.pretrain.methods.regression import ExpressionNetwork, fit_spots


class StNet(ExpressionNetwork):
    """Linear regression that starts at the training genes' means with zero weights.

    Args:
        images: from a spot's features (or pixels) to numbers of one scale.
        feature_dim: how many these are.
        mean_expression: of the training spots.

    Reference: He et al. 2020: the last layer of DenseNet-121 is replaced by one linear layer, weights 0, bias the
    mean expression, squared error.
    Deviation: the features are the frozen encoder's (the published one trains the CNN under the layer); the error is
    summed over genes and averaged over spots (published: the other way round), so that one learning rate suits any
    panel and batch.
    """

    def __init__(self, images: nn.Module, feature_dim: int, mean_expression: Float[Tensor, " gene"]) -> None:
        super().__init__()
        self.images = images
        self.linear = nn.Linear(feature_dim, len(mean_expression))
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(mean_expression)

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot gene"]:
        """Predicted expression."""
        return self.linear(self.images(inputs.features))

    def stored(self) -> StoredEncoder | None:
        """Its only trained layer, where the features under it are frozen."""
        if not isinstance(self.images, Standardise):
            return None
        weight = self.linear.weight * self.images.factor
        return LinearEncoder(weight.T.detach(), mean=self.images.mean, bias=self.linear.bias.detach())

    def losses(self, batch: SpotBatch) -> dict[str, Tensor]:
        """Squared error, summed over genes."""
        return {"squared_error": (self(batch.inputs) - batch.target).square().sum(1).mean()}


def fit_stnet(task: Task, *, learning_rate: float = 1e-3, momentum: float = 0.9) -> Trained:
    """Trains and predicts.

    Args:
        task: the trial.
        learning_rate: of SGD. Deviation: 1e-5 in the published code moves a whole CNN; this moves its last layer.
        momentum: of SGD, as published.
    """
    mean = torch.from_numpy(task.data.train.target[task.rows]).mean(0)
    optimiser = partial(torch.optim.SGD, lr=learning_rate, momentum=momentum)
    return fit_spots(task, lambda: StNet(*image_side(task), mean), optimiser, name="stnet")


METHOD = Method(
    name="stnet",
    title="ST-Net (feature-level head)",
    reference="He et al., Nat Biomed Eng 2020, doi:10.1038/s41551-020-0578-x",
    fit=fit_stnet,
    embedding="its predicted expression, since the features under its one layer are frozen",
)
