"""The compared systems by name, in the order of the paper's Table 1, then the references."""

from hage_transfer.pretrain.methods import bleep, hist2st, histogene, knn, mclstexp, pca_ridge, stnet, thitogene
from hage_transfer.pretrain.methods.base import Method

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (stnet, histogene, hist2st, thitogene, bleep, mclstexp, pca_ridge, knn)
}
