"""The text of `pairhub status`, made of the JSON that daemons answer."""

from __future__ import annotations

import datetime as dt
from typing import Any


def status_lines(found: dict[str, Any]) -> list[str]:
    """Return lines for people about a site or a hub."""
    return _site_lines(found) if "site_name" in found else _plain_lines(found, "")


def _site_lines(found: dict[str, Any]) -> list[str]:
    enrolled = "enrolled" if found["enrolled"] else "not enrolled"
    lines = [f"site '{found['site_name']}' ({found['site_id']}), hub {found['hub_url'] or 'none'}, {enrolled}"]
    problems = (found["enrolment_problem"], found["storage_problem"])
    lines += [f"  problem: {problem}" for problem in problems if problem]
    if found["clock_in_doubt"]:
        lines.append("  problem: the clock is in doubt; nothing expires until it is explained")
    if (certificate := found.get("certificate")) is not None:
        lines += _certificate_lines(certificate)
    for connector in found["connectors"]:
        lines += _connector_lines(connector)
    for repair in found.get("repairs", []):
        lines += _repair_lines(repair)
    for each in found.get("notices", []):
        if each["problem"]:
            lines.append(f"  notices by {each['channel']}: {each['problem']}; {each['waiting']} wait")
    return lines


def _certificate_lines(certificate: dict[str, Any]) -> list[str]:
    ends = dt.datetime.fromtimestamp(certificate["ends_ms"] / 1000, dt.UTC).strftime("%Y-%m-%d")
    kind = "self-made certificate" if certificate["self_signed"] else "certificate"
    lines = [f"  {kind} good until {ends} ({certificate['days_left']} days), SHA-256 {certificate['fingerprint']}"]
    return lines + ([f"  problem: {certificate['warning']}"] if certificate["warning"] else [])


def _repair_lines(repair: dict[str, Any]) -> list[str]:
    since = dt.datetime.fromtimestamp(repair["since_ms"] / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = f"{repair['scope']}: " if repair["scope"] else ""
    head = f"  {'URGENT' if repair['urgent'] else 'repair'} {repair['code']}  {where}{repair['title']}, since {since}"
    return [head, f"    {repair['cause']}", f"    what to do: {repair['fix']}"]


def _flow_line(flow: dict[str, Any]) -> str:
    parts = [f"    flow {flow['state']}"]
    if flow["stalled_for_s"] is not None:
        parts.append(f"nothing applied for {flow['stalled_for_s']:.0f} s")
    if flow["oldest_unapplied_s"] is not None:
        parts.append(f"oldest unapplied {flow['oldest_unapplied_s']:.0f} s")
    if flow["canary_ms"] is not None:
        parts.append(f"canary {flow['canary_ms']:.1f} ms")
    return ", ".join(parts)


def _connector_lines(connector: dict[str, Any]) -> list[str]:
    link, pair, account = connector["link"], connector["pair"], connector["account"]
    lines = [f"  {connector['connector_id']}  {connector['name']}  {connector['role']}, link {link['state']}"]
    if link["problem"]:
        lines.append(f"    problem: {link['problem']}")
    if pair is not None:
        there = "linked" if link["peer_linked"] else "away"
        lines.append(f"    {pair['state']} with '{pair['peer_site']}' ({there}), fingerprint {pair['fingerprint']}")
    if pair is not None and connector.get("flow") is not None:
        lines.append(_flow_line(connector["flow"]))
    if account is not None:
        parts = ("accepted", "applied", "queued", "quarantined", "dropped")
        lines.append("    " + "  ".join(f"{part} {account[part]}" for part in parts))
    return lines


def _plain_lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, dict):
        lines = []
        for name, part in value.items():
            nested = isinstance(part, dict | list) and part
            lines += [f"{indent}{name}:", *_plain_lines(part, indent + "  ")] if nested else [f"{indent}{name}: {part}"]
        return lines
    if isinstance(value, list):
        return [line for part in value for line in [f"{indent}-", *_plain_lines(part, indent + "  ")]]
    return [f"{indent}{value}"]
