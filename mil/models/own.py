"""A bag classifier of the user's own: a plain ``nn.Module``, tiles in, logits and attention out."""

import inspect
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.draws import fixed_draws
from hage_transfer.mil.models.whole_bag import WholeBagMIL
from hage_transfer.mil.own_class import MakeClassifier, own_kind, title_of

_TRIAL_TILES = 5
_WANTED = (
    "a bag classifier is made of (feature_dim, n_classes) and its forward takes tiles (tile, feature) and returns "
    "(logits, attention): a number a class, and a number of at least 0 a tile"
)


class OwnMIL(WholeBagMIL):
    """A user's module; it may take the tiles' places too, as a second argument named ``coords`` (level-0 px).

    Args:
        make: the user's class.
        feature_dim: width of a tile's features.
        n_classes: of the set.
        options: further keyword arguments of the class.

    Raises:
        ConfigError: what it makes is no module, has nothing to train, or does not put out what a bag classifier does.
    """

    def __init__(self, make: MakeClassifier, feature_dim: int, *, n_classes: int, **options: Any) -> None:
        super().__init__()
        self._title, self.n_classes = title_of(make), n_classes
        try:
            network = make(feature_dim, n_classes, **options)
        except TypeError as error:
            raise ConfigError(
                f"{self.title}: cannot be made of ({feature_dim}, {n_classes}): {error}; {_WANTED}"
            ) from (error)
        if not isinstance(network, nn.Module):
            raise ConfigError(f"{self.title}: makes a {type(network).__name__}, not a torch.nn.Module; {_WANTED}")
        self.network = network
        self.needs_coords = "coords" in inspect.signature(network.forward).parameters
        self._try(feature_dim)

    @property
    def title(self) -> str:
        """The class's name."""
        return self._title

    def classify(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None
    ) -> tuple[Float[Tensor, " class"], Float[Tensor, " tile"]]:
        """See ``WholeBagMIL``.

        Raises:
            DataError: the module puts out something else.
        """
        output = self.network(tiles, coords=coords) if self.needs_coords else self.network(tiles)
        if not isinstance(output, tuple) or len(output) != 2 or not all(isinstance(one, Tensor) for one in output):
            raise DataError(f"{self.title}: forward returned {_described(output)}; {_WANTED}")
        logits, attention = output
        if logits.numel() != self.n_classes or attention.numel() != len(tiles):
            raise DataError(
                f"{self.title}: forward returned logits {tuple(logits.shape)} and attention {tuple(attention.shape)} "
                f"for {len(tiles)} tiles and {self.n_classes} classes; {_WANTED}"
            )
        return logits.reshape(-1), attention.reshape(-1)

    def _try(self, feature_dim: int) -> None:
        """One bag through it before anything is trained; layers that find their width by themselves find it here."""
        places = torch.arange(2 * _TRIAL_TILES).view(_TRIAL_TILES, 2) if self.needs_coords else None
        with torch.no_grad(), fixed_draws(0, torch.device("cpu")):
            try:
                self.network.eval()
                self.classify(torch.randn(_TRIAL_TILES, feature_dim), places)
            except DataError as error:
                raise ConfigError(str(error)) from None
            except Exception as error:
                raise ConfigError(
                    f"{self.title}: fails on {_TRIAL_TILES} tiles of {feature_dim} features "
                    f"({type(error).__name__}: {error}); {_WANTED}"
                ) from error
        if not any(parameter.requires_grad for parameter in self.network.parameters()):
            raise ConfigError(f"{self.title}: has no parameter to train; give it a layer, or use kind mean or max")


def kind_of(make: object) -> str:
    """What `model.kind` says of a class: ``own:<its name>``.

    Raises:
        ConfigError: a module that is made already, or something that makes none.
    """
    if isinstance(make, nn.Module):
        raise ConfigError(
            f"model: a {type(make).__name__} that is made already; give the class itself, since every fold and trial "
            "begins with weights of its own"
        )
    if not callable(make) or (isinstance(make, type) and not issubclass(make, nn.Module)):
        raise ConfigError(f"model = {make!r}: wanted a name or a class of torch.nn.Module; {_WANTED}")
    return own_kind(make)


def _described(output: object) -> str:
    if isinstance(output, Tensor):
        return f"one tensor {tuple(output.shape)}"
    if isinstance(output, tuple):
        return f"{len(output)} values ({', '.join(type(one).__name__ for one in output)})"
    return f"a {type(output).__name__}"
