"""Structures as SVG, coloured by what each atom contributes; blue and orange, for every eye."""

from collections.abc import Sequence

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

_SIZE = (360, 270)  # pixels
_UP, _DOWN = (0.95, 0.55, 0.15), (0.25, 0.5, 0.9)  # orange raises the value, blue lowers it
_FAINT = 0.05  # of the greatest contribution: below it an atom stays white


def highlighted(mol: Chem.Mol, contributions: Sequence[float]) -> str:
    """Draws a molecule with its atoms highlighted.

    Args:
        mol: As `light_mol` made it.
        contributions: One number an atom.

    Returns:
        An SVG that refers to nothing outside it; atoms are drawn as paths, not as text.
    """
    greatest = max((abs(value) for value in contributions), default=0.0)
    colours = {
        atom: _shade(value / greatest)
        for atom, value in enumerate(contributions)
        if greatest and abs(value) > _FAINT * greatest
    }
    drawer = rdMolDraw2D.MolDraw2DSVG(*_SIZE)
    drawer.drawOptions().clearBackground = False  # type: ignore[assignment]
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawer,
        Chem.Mol(mol),
        highlightAtoms=list(colours),
        highlightAtomColors=colours,
        highlightBonds=[],
    )
    drawer.FinishDrawing()
    svg: str = drawer.GetDrawingText()
    return svg[svg.index("<svg") :]  # without the XML declaration, which no page takes


def _shade(share: float) -> tuple[float, float, float]:
    full = _UP if share > 0 else _DOWN
    red, green, blue = (1 - abs(share) * (1 - part) for part in full)
    return red, green, blue
