"""A bag classifier of the user's own: trained, resumed, kept and explained as the built-in ones are."""

import functools

import numpy as np
import pytest
import torch
from sampled import sampled
from sklearn.metrics import roc_auc_score

from hage_transfer.config import load_config
from hage_transfer.errors import ConfigError
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.checkpoint import read_fold_model
from hage_transfer.mil.config import MilConfig, MilModelSettings, MilTrainSettings
from hage_transfer.mil.evaluate import evaluate_mil
from hage_transfer.mil.heatmap import explain, read_held_out
from hage_transfer.mil.models import bag_classifier, build_model
from hage_transfer.mil.own_class import code_sha256
from hage_transfer.mil.plan import plan_mil
from hage_transfer.mil.progress_file import ProgressFile
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.running.run_directory import RunDirectory


class Attending(torch.nn.Module):
    """With a running mean, so that a checkpoint must keep more than parameters."""

    def __init__(self, feature_dim, n_classes, hidden=8):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(feature_dim)
        self.hidden = torch.nn.Linear(feature_dim, hidden)
        self.drop = torch.nn.Dropout(0.2)
        self.score = torch.nn.Linear(hidden, 1)
        self.head = torch.nn.Linear(hidden, n_classes)

    def forward(self, tiles):
        h = self.drop(self.hidden(self.norm(tiles)).relu())
        attention = self.score(h).softmax(dim=0)
        return self.head((attention * h).sum(0)), attention.squeeze(1)


class Placed(Attending):
    def forward(self, tiles, coords):
        assert coords.dtype == torch.int64
        return super().forward(tiles + 0 * coords[:, :1])


def made(forward, *, parts=True):
    def init(self, feature_dim, n_classes):
        torch.nn.Module.__init__(self)
        self.head = torch.nn.Linear(feature_dim, n_classes) if parts else None

    return type("Made", (torch.nn.Module,), {"__init__": init, "forward": forward})


def train(slides, make=Attending, *, epochs=12, seed=0, path=None, folds=None, every_s=20.0):
    folder, labels = slides
    kind = bag_classifier(make).kind
    return train_folds(
        open_bags(folder, labels),
        labels.class_indices,
        folds or [FoldBags(np.arange(30), np.arange(30, 40))],
        n_classes=2,
        model=MilModelSettings(kind=kind),
        options=MilTrainSettings(epochs=epochs, bags_per_step=4, learning_rate=1e-2, checkpoint_s=every_s),
        seed=seed,
        own=make,
        progress_path=path,
    )


def state(trained, fold=0):
    return trained.stack.models[fold].state_dict()


def assert_same(one, other):
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("make", [Attending, Placed, functools.partial(Attending, hidden=4)], ids=str)
def test_own_classifier_finds_the_needle(slides, make):
    folder, labels = slides
    rows = np.arange(40, 60)
    shares = train(slides, make).probabilities(open_bags(folder, labels), [rows])[0]
    assert roc_auc_score(labels.class_indices[rows], shares[:, 1]) > 0.9


@pytest.mark.slow
def test_own_classifiers_of_folds_are_each_as_alone(slides):
    folds = [FoldBags(np.arange(0, 30), np.arange(30, 40)), FoldBags(np.arange(20, 50), np.arange(50, 60))]
    together = train(slides, folds=folds, epochs=4)
    for number, fold in enumerate(folds):
        assert_same(state(together, number), state(train(slides, folds=[fold], epochs=4)))


@pytest.mark.parametrize("kind", sampled(["own", "torchmil:DTFDMIL", "torchmil:PatchGCN"], "own"))
def test_whole_bag_classifier_resumes_as_if_it_had_not_stopped(slides, tmp_path, monkeypatch, kind):
    """Killed in the middle of an epoch; what draws of numpy's or torch's global state is the same after it too."""
    folder, labels = slides
    if kind != "own":
        pytest.importorskip("torchmil")

    def run(path):
        own = Attending if kind == "own" else None
        return train_folds(
            open_bags(folder, labels),
            labels.class_indices,
            [FoldBags(np.arange(16), np.arange(16, 24))],
            n_classes=2,
            model=MilModelSettings(kind="own:Attending" if own else kind, hidden_dim=8),
            options=MilTrainSettings(epochs=3, learning_rate=1e-2, checkpoint_s=0),
            seed=5,
            own=own,
            progress_path=path,
        )

    whole = state(run(None))
    path, writes = tmp_path / "progress.safetensors", []
    save = ProgressFile.save_if_due

    def killed(self, progress, stack):
        self._next = 0.0
        save(self, progress, stack)
        writes.append(1)
        if len(writes) == 23:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ProgressFile, "save_if_due", killed)
        run(path)
    assert path.is_file()
    assert_same(whole, state(run(path)))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, tiles: self.head(tiles.mean(0)), r"forward returned one tensor \(3,\)"),
        (
            lambda self, tiles: (self.head(tiles), tiles[:, 0]),
            r"logits \(5, 3\) and attention \(5,\) for 5 tiles and 3",
        ),
        (lambda self, tiles: (self.head(tiles.mean(0)), tiles), r"attention \(5, 6\) for 5 tiles"),
        (lambda self, tiles: self.nothing(tiles), r"fails on 5 tiles of 6 features \(AttributeError"),
    ],
)
def test_own_classifier_that_puts_out_something_else_is_refused_before_training(forward, message):
    with pytest.raises(ConfigError, match=f"Made: .*{message}"):
        build_model("own:Made", 6, n_classes=3, own=made(forward))


def test_own_classifier_must_be_a_class_with_something_to_train():
    nothing = made(lambda self, tiles: (tiles.mean(0)[:2], tiles[:, 0].softmax(0)), parts=False)
    with pytest.raises(ConfigError, match="Made: has no parameter to train"):
        build_model("own:Made", 6, n_classes=2, own=nothing)
    with pytest.raises(ConfigError, match="a Linear that is made already; give the class itself"):
        bag_classifier(torch.nn.Linear(2, 2))
    for wrong in (int, 3):
        with pytest.raises(ConfigError, match=r"wanted a name or a class of torch\.nn\.Module"):
            bag_classifier(wrong)
    with pytest.raises(ConfigError, match=r"cannot be made of \(6, 2\)"):
        build_model("own:Linear", 6, n_classes=2, own=type("Linear", (torch.nn.Module,), {"__init__": lambda self: 0}))


def test_bag_classifier_names_the_nearest_and_the_config_too():
    with pytest.raises(ConfigError, match="unknown bag classifier; nearest: torchmil:DSMIL"):
        bag_classifier("torchmil:DSMILL")
    with pytest.raises(ConfigError, match=r"model\.kind = 'abmill': unknown bag classifier; nearest: abmil"):
        load_config(MilConfig, None, ["data.layout=features", "data.labels=x", "model.kind=abmill"])


def test_code_sha256_follows_the_code_and_its_constants_alone():
    def class_of(source):
        names = {"__name__": "mine"}
        exec(f"import torch\nclass M(torch.nn.Module):\n{source}", names)
        return code_sha256(names["M"])

    plain = class_of("    w = 3\n    def forward(self, x):\n        return x * 2\n")
    assert plain == class_of("    w = 3\n\n    def forward(self, x):\n        # said\n        return x * 2\n")
    assert plain != class_of("    w = 3\n    def forward(self, x):\n        return x * 3\n")
    assert plain != class_of("    w = 4\n    def forward(self, x):\n        return x * 2\n")
    assert code_sha256(functools.partial(Attending, hidden=4)) != code_sha256(functools.partial(Attending, hidden=5))


def _config(folder, kind):
    tree = {
        "data": {"layout": "features", "root": str(folder), "labels": "x"},
        "split": {"folds": 3},
        "model": {"kind": kind},
        "train": {"epochs": 2, "min_epochs": 1},
    }
    return MilConfig.model_validate(tree)


def _evaluate(slides, path, own):
    folder, labels = slides
    kind = "own:Attending"
    run = RunDirectory.open(path, config=_config(folder, kind), overwrite=False)
    return evaluate_mil(plan_mil(_config(folder, kind), labels), {"frozen": [(folder,)]}, run=run, own=own)


def test_own_classifier_is_evaluated_kept_and_explained(slides, tmp_path):
    folder, labels = slides
    run = tmp_path / "run"
    _evaluate(slides, run, Attending)
    with pytest.raises(ConfigError, match=r"model\.kind = own:Attending: .*it was not given; give it in Python"):
        _evaluate(slides, run, None)
    with pytest.raises(ConfigError, match="own:Placed was given"):
        read_fold_model(run, source="frozen", trial=0, fold="0", own=Placed)
    slide = read_held_out(run, "frozen")["s0"]
    (fold,) = slide.folds
    model = read_fold_model(run, source="frozen", trial=0, fold=fold, own=Attending)
    found = explain(slide, {(fold, 0): model}, {0: open_bags(folder, labels).load(0)})
    assert found.attention.sum() == pytest.approx(1)
    assert found.tile_probabilities is None
    assert found.kind == "own:Attending"


@pytest.mark.slow
def test_own_classifier_of_changed_code_is_trained_again(slides, tmp_path):
    run = tmp_path / "run"
    _evaluate(slides, run, Attending)
    (kept,) = (run / "jobs" / "frozen").glob("*.json")
    wider = type("Attending", (Attending,), {"__init__": lambda self, d, c: Attending.__init__(self, d, c, hidden=3)})
    _evaluate(slides, run, wider)
    assert set((run / "jobs" / "frozen").glob("*.json")) > {kept}
    assert read_fold_model(run, source="frozen", trial=0, fold="0", own=wider).model.network.hidden.out_features == 3
