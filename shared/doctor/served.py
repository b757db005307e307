"""The checks of how a daemon is reached: whether its settings fit together, and the certificate it serves with."""

from __future__ import annotations

from shared.clock import SystemClock
from shared.doctor.findings import Finding, failed, ok, warning
from shared.listening import ListenSettings, front_of
from shared.served_certificate import ServedCertificate, day
from shared.settings import SettingWrong


def check_configuration(settings: ListenSettings, kind: str) -> list[Finding]:
    """Look whether the settings leave no door open, and whether a certificate that they name can be served."""
    try:
        front_of(settings)
    except SettingWrong as wrong:
        return [failed("configuration", str(wrong), f"pairhub config show {kind} says where each value comes from")]
    found = [ok("configuration", "the settings fit together")]
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            served = ServedCertificate(settings.tls_cert, settings.tls_key, SystemClock())
        except SettingWrong as wrong:
            return [*found, failed("certificate", str(wrong), "correct the file; the daemon does not start with it")]
        if words := served.warning(SystemClock().wall_ms()):
            return [*found, warning("certificate", words, "renew it")]
        names = ", ".join(served.facts.names)
        found.append(ok("certificate", f"for {names}, good until {day(served.facts.ends_ms)}"))
    return found
