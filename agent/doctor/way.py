"""The courier's way out: name, proxy, certificate, and the clock at its end."""

from datetime import datetime
from pathlib import Path

from agent.clock import Clock
from agent.config import Config
from agent.doctor.finding import Finding, failed, not_here, ok
from agent.errors import OnggiError
from agent.exchange import reach
from agent.exchange.places import Places, read_enrolment, trusted_certificates

_SKEW_S = 300.0  # what the aggregator refuses
_DOUBTFUL_S = 60.0


def findings(config: Config, clock: Clock) -> list[Finding]:
    """Walks the way to the aggregator."""
    if config.exchange.carrier == "folder":
        return [not_here("aggregator", "This silo exchanges by folder and opens no connection.")]
    places = Places.under(config.site.state)
    try:
        url = read_enrolment(places).url
        certificates = trusted_certificates(places, config.exchange.ca_file)
    except OnggiError as error:
        return [failed("aggregator", str(error))]
    return [_name(url), _clock(url, certificates, clock)]


def _name(url: str) -> Finding:
    try:
        host = reach.first_host(url)
        return ok("dns", f"{host} has {reach.resolves(host)} addresses.")
    except OnggiError as error:
        return failed(
            "dns",
            f"{error} Name a resolver that this service may reach, or a proxy by its address.",
        )


def _clock(url: str, certificates: Path | None, clock: Clock) -> Finding:
    try:
        theirs = reach.server_time(url, certificates)
    except OnggiError as error:
        return failed(
            "aggregator",
            f"{error} Check HTTPS_PROXY in /etc/onggi/courier.env, the firewall, IPAddressAllow= "
            "of the unit, and exchange.ca_file where a proxy opens TLS.",
        )
    return judge_clock(theirs, clock())


def judge_clock(theirs: datetime, ours: datetime) -> Finding:
    """Compares two clocks."""
    off_s = (ours - theirs).total_seconds()
    said = f"The aggregator answers; this host's clock is {off_s:+.0f} s from its clock."
    if abs(off_s) <= _DOUBTFUL_S:
        return ok("aggregator", said)
    return failed(
        "aggregator",
        f"{said} Set the time by NTP: beyond {_SKEW_S:.0f} s every request is refused.",
    )
