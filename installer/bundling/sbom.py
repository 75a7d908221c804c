"""The list of parts (CycloneDX 1.6)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from installer.bundling.wheels import Wheel


def sbom(version: str, wheels: Sequence[Wheel], epoch_s: int) -> bytes:
    """Writes the list of parts; equal input, equal bytes.

    Args:
        version: Onggi's.
        wheels: Every wheel of the bundle.
        epoch_s: The time to write into it, seconds since 1970.
    """
    parts = [_component(wheel) for wheel in wheels]
    whole = Component(
        name="onggi", version=version, type=ComponentType.APPLICATION, bom_ref="onggi-bundle"
    )
    bom = Bom(components=parts)
    bom.metadata.component = whole
    bom.register_dependency(whole, parts)
    bom.metadata.timestamp = datetime.fromtimestamp(epoch_s, UTC)
    # A random number would make each build another file.
    said = "\n".join(sorted(wheel.sha256 for wheel in wheels))
    bom.serial_number = uuid5(NAMESPACE_URL, said)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode()


def _component(wheel: Wheel) -> Component:
    return Component(
        name=wheel.name,
        version=wheel.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{wheel.name}=={wheel.version}",
        purl=PackageURL("pypi", name=wheel.name.lower(), version=wheel.version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        licenses=[LicenseFactory().make_from_string(wheel.licence)],
    )
