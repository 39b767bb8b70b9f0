import numpy as np

from hage_transfer.demo.counts import draw_counts, draw_patient_shift
from hage_transfer.demo.programs import PROGRAMS, SYMBOLS
from hage_transfer.demo.tissue import TissueTraits, disc_means, make_tissue


def test_symbols_are_unique() -> None:
    assert len(set(SYMBOLS)) == len(SYMBOLS)


def test_draw_counts_every_program_follows_its_compartment() -> None:
    rng = np.random.default_rng(0)
    tissue = make_tissue(rng, (2400, 2400), TissueTraits(), fills=True)
    centres = np.stack(np.meshgrid(np.arange(100, 2400, 120), np.arange(100, 2400, 120)), -1).reshape(-1, 2) * 1.0
    counts = draw_counts(rng, tissue, centres, patient_shift=draw_patient_shift(rng))
    for program in PROGRAMS:
        share = disc_means(tissue.shares()[program], centres, diameter_px=110)
        columns = [SYMBOLS.index(gene) for gene in PROGRAMS[program]]
        score = np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1))[:, columns].mean(1)
        assert np.corrcoef(share, score)[0, 1] > 0.8, program


def test_draw_counts_vary_more_than_poisson_and_depth_varies() -> None:
    rng = np.random.default_rng(0)
    tissue = make_tissue(rng, (800, 800), TissueTraits(tumour=0.99, lymphoid=0.0, fat=0.0), fills=True)
    centres = np.full((2000, 2), 400.0)  # one place, so that noise is all that differs
    counts = draw_counts(rng, tissue, centres, patient_shift=np.zeros(len(SYMBOLS)))
    share = counts / counts.sum(1, keepdims=True)
    gene = share.mean(0).argmax()
    expected = share[:, gene].mean() * counts.sum(1)
    assert ((counts[:, gene] - expected) ** 2).mean() > 3 * expected.mean()
    assert counts.sum(1).std() / counts.sum(1).mean() > 0.25
