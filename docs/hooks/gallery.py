"""Pictures of docs/gallery.md: `python docs/hooks/gallery.py SECTION.h5ad SLIDE_MAP.png EXPLAINED_SLIDE`."""

import sys
from pathlib import Path

import anndata as ad
from matplotlib import pyplot as plt
from PIL import Image

IMAGES = Path(__file__).resolve().parents[1] / "images"
WIDTH_PX, GENES = 900, 3


def main() -> None:
    """A section's genes as dots, a slide's map as it was drawn, an explained slide's attention above its tiles."""
    section, slide_map, explained = map(Path, sys.argv[1:4])
    draw_section(section, IMAGES / "gallery-section.png")
    save([slide_map], IMAGES / "gallery-slide.jpg")
    save([explained / "attention.png", explained / "contact_sheet.png"], IMAGES / "gallery-explained.jpg")


def draw_section(file: Path, path: Path) -> None:
    """Measured above predicted expression of the genes of highest PCC, without the H&E."""
    section = ad.read_h5ad(file)
    places, genes = section.obsm["spatial"], section.var["pcc"].nlargest(GENES).index
    figure, axes = plt.subplots(2, GENES, figsize=(9, 4.6), layout="constrained")
    for column, gene in enumerate(genes):
        values = {"measured": section[:, gene].layers["target"], "predicted": section[:, gene].X}
        for axis, (what, shown) in zip(axes[:, column], values.items(), strict=True):
            dots = axis.scatter(*places.T, c=shown.ravel(), s=14, cmap="viridis")
            axis.set(title=f"{gene}, {what}", aspect="equal", xticks=[], yticks=[])
            axis.invert_yaxis()
            axis.spines[:].set_visible(False)
            figure.colorbar(
                dots, ax=axis, shrink=0.7, label="log10(1 + counts per 10,000)" if column == GENES - 1 else None
            )
        axes[1, column].set_xlabel(f"PCC {section.var.at[gene, 'pcc']:.3f}")
    figure.savefig(path, dpi=100)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def save(pictures: list[Path], path: Path) -> None:
    """Below each other, as wide as a page."""
    opened = [Image.open(one).convert("RGB") for one in pictures]
    scaled = [
        one.resize((WIDTH_PX, round(one.height * WIDTH_PX / one.width)), Image.Resampling.LANCZOS) for one in opened
    ]
    sheet = Image.new("RGB", (WIDTH_PX, sum(one.height for one in scaled)), "white")
    top = 0
    for one in scaled:
        sheet.paste(one, (0, top))
        top += one.height
    sheet.save(path, quality=82, optimize=True)


if __name__ == "__main__":
    main()
