"""The published default of the feature spec, and the name of a spec by its content.

Centres and spreads are means and standard deviations over some 6,300 drug-like compounds of
public sets (Biogen ADME, OpenADMET ExpansionRx, PharmaBench logD), rounded by hand to two
significant digits. They are constants: no silo's data moves them, so that every silo's features
mean the same.
"""

from agent.files import sha256_bytes
from agent.wire.documents import FeatureSpec, Scaling

_SCALINGS: tuple[tuple[str, float, float], ...] = (
    ("exactmw", 370.0, 110.0),
    ("NumHeavyAtoms", 27.0, 7.4),
    ("NumHeteroatoms", 6.8, 2.6),
    ("lipinskiHBA", 5.9, 2.3),
    ("lipinskiHBD", 1.4, 1.3),
    ("NumHBA", 4.6, 1.9),
    ("NumHBD", 1.3, 1.1),
    ("NumRotatableBonds", 4.8, 2.7),
    ("NumAmideBonds", 0.74, 0.92),
    ("FractionCSP3", 0.35, 0.17),
    ("NumRings", 3.7, 1.2),
    ("NumAromaticRings", 2.6, 0.98),
    ("NumAliphaticRings", 1.0, 1.0),
    ("NumSaturatedRings", 0.85, 0.94),
    ("NumHeterocycles", 2.2, 1.2),
    ("NumAromaticHeterocycles", 1.4, 1.0),
    ("NumSaturatedHeterocycles", 0.62, 0.69),
    ("NumAliphaticHeterocycles", 0.79, 0.76),
    ("NumSpiroAtoms", 0.033, 0.19),
    ("NumBridgeheadAtoms", 0.12, 0.64),
    ("NumAtomStereoCenters", 0.59, 1.2),
    ("labuteASA", 160.0, 43.0),
    ("tpsa", 72.0, 32.0),
    ("hallKierAlpha", -2.6, 0.87),
    ("chi0v", 16.0, 4.4),
    ("chi1v", 9.3, 2.8),
    ("kappa1", 18.0, 5.6),
    ("CrippenClogP", 3.2, 1.4),
    ("CrippenMR", 100.0, 28.0),
)


def default_spec() -> FeatureSpec:
    """Returns the spec that plans use unless they say otherwise: radius 2, 2,048 columns."""
    return FeatureSpec(
        version="onggi-fast-1",
        radius=2,
        hash_size=2048,
        descriptors=tuple(
            Scaling(name=name, centre=centre, spread=spread) for name, centre, spread in _SCALINGS
        ),
        clip=5.0,
    )


def spec_sha256(spec: FeatureSpec) -> str:
    """Names a spec by the SHA-256 of the bytes it travels as, in hexadecimal."""
    return sha256_bytes(spec.to_bytes())
