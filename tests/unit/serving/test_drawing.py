import re
from xml.etree import ElementTree

from rdkit import Chem

from agent.serving.drawing import highlighted


def _circles(svg: str) -> int:
    return len(re.findall("<ellipse", svg))


def test_atoms_are_coloured_by_their_contribution() -> None:
    mol = Chem.MolFromSmiles("CCO")
    assert _circles(highlighted(mol, [0.0, 0.0, 0.0])) == 0
    assert _circles(highlighted(mol, [1.0, -0.5, 0.001])) == 2
    assert highlighted(mol, [1.0, 0.0, 0.0]) != highlighted(mol, [-1.0, 0.0, 0.0])


def test_a_drawing_refers_to_nothing_outside_it() -> None:
    svg = highlighted(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"), [0.1] * 13)
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    assert not {part.tag.rpartition("}")[2] for part in root.iter()} & {
        "script",
        "image",
        "use",
        "a",
    }
    assert "href" not in svg
    assert "url(" not in svg
