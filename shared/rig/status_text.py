"""The text of `pairhub status`, made of the JSON that daemons answer."""

from __future__ import annotations

import datetime as dt
from typing import Any

from shared.core.health import spoken_bytes, spoken_count


def status_lines(found: dict[str, Any]) -> list[str]:
    """Return lines for people about a site or a hub."""
    return _site_lines(found) if "site_name" in found else hub_lines(found)


def _site_lines(found: dict[str, Any]) -> list[str]:
    enrolled = "enrolled" if found["enrolled"] else "not enrolled"
    lines = [f"site '{found['site_name']}' ({found['site_id']}), hub {found['hub_url'] or 'none'}, {enrolled}"]
    problems = (found["enrolment_problem"], found["storage_problem"])
    lines += [f"  problem: {problem}" for problem in problems if problem]
    if found["clock_in_doubt"]:
        lines.append("  problem: the clock is in doubt; nothing expires until it is explained")
    if (certificate := found.get("certificate")) is not None:
        lines += certificate_lines(certificate)
    for connector in found["connectors"]:
        lines += _connector_lines(connector)
    return lines + health_lines(found)


def health_lines(found: dict[str, Any]) -> list[str]:
    """Return lines about repairs, and about notices of them that people did not get."""
    failing = [each for each in found.get("notices", []) if each["problem"]]
    return [
        *(line for repair in found.get("repairs", []) for line in _repair_lines(repair)),
        *(f"  notices by {each['channel']}: {each['problem']}; {each['waiting']} wait" for each in failing),
    ]


def certificate_lines(certificate: dict[str, Any]) -> list[str]:
    """Return lines about the certificate that a daemon serves."""
    ends = dt.datetime.fromtimestamp(certificate["ends_ms"] / 1000, dt.UTC).strftime("%Y-%m-%d")
    kind = "self-made certificate" if certificate["self_signed"] else "certificate"
    lines = [f"  {kind} good until {ends} ({certificate['days_left']} days), SHA-256 {certificate['fingerprint']}"]
    return lines + ([f"  problem: {certificate['warning']}"] if certificate["warning"] else [])


def moment(at_ms: int) -> str:
    """Return a time (ms since 1970) for people, in UTC."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _repair_lines(repair: dict[str, Any]) -> list[str]:
    since = moment(repair["since_ms"])
    where = f"{repair['scope']}: " if repair["scope"] else ""
    head = f"  {'URGENT' if repair['urgent'] else 'repair'} {repair['code']}  {where}{repair['title']}, since {since}"
    return [head, f"    {repair['cause']}", f"    what to do: {repair['fix']}"]


def _flow_line(flow: dict[str, Any]) -> str:
    parts = [f"    flow {flow['state'].replace('_', ' ')}"]
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


# --- a hub ------------------------------------------------------------------------------------------------------------


def hub_lines(found: dict[str, Any]) -> list[str]:
    """Return lines about a hub: what it holds, its sites, pairs, open windows, and what needs a person."""
    totals = found["totals"]
    lines = [
        f"hub '{found['hub']}', version {found['version']}, up since {moment(found['started_ms'])}",
        f"  key {found['hub_key']}",
        f"  holds {_copies(totals)} of {spoken_bytes(totals['copy_bytes_max'])};"
        f" relays {spoken_bytes(round(totals['relayed_bytes_per_s']))}/s;"
        f" {spoken_bytes(totals['disk_free_bytes'])} of disk free",
    ]
    if found["storage_problem"]:
        lines.append(f"  problem: {found['storage_problem']}")
    if found["open_enrolment"]:
        lines.append("  enrolment is open: any site may join without a token")
    if (certificate := found.get("certificate")) is not None:
        lines += certificate_lines(certificate)
    lines += [_site_line(site) for site in found["sites"]] or [
        "  no site yet: make a token with pairhub enrol --new NAME"
    ]
    lines += [line for pair in found["pairs"] for line in _pair_lines(pair)]
    for window in found["windows"]:
        state = "claimed now" if window["claimed"] else f"open until {moment(window['expires_ms'])}"
        lines.append(f"  window {window['site_name']}/{window['connector_id']}  {state}")
    if turned_away := found["blocked"]["total"]:
        since = moment(found["blocked"]["since_ms"])
        lines.append(f"  {spoken_count(turned_away)} turned away since {since}; see the operator's page")
    return lines + health_lines(found)


def _copies(held: dict[str, Any]) -> str:
    noun = "copy" if held["copies"] == 1 else "copies"
    return f"{spoken_count(held['copies'])} {noun}, {spoken_bytes(held['copy_bytes'])}"


def _site_line(site: dict[str, Any]) -> str:
    seen = "" if site["last_seen_ms"] is None else f", last seen {moment(site['last_seen_ms'])}"
    if site["revoked"]:
        state = "revoked"
    else:
        state = f"{site['links']} linked" if site["links"] else f"no link{seen}"
    return f"  site {site['site_name']}  {state}"


def _pair_lines(pair: dict[str, Any]) -> list[str]:
    ends = ((pair[f"{side}_site"], pair[f"{side}_connector"], pair[f"{side}_linked"]) for side in ("source", "target"))
    source, target = (f"{site}/{connector} ({'linked' if linked else 'away'})" for site, connector, linked in ends)
    oldest = "" if pair["oldest_ms"] is None else f", the oldest of {moment(pair['oldest_ms'])}"
    return [f"  pair {source} to {target}", f"    holds {_copies(pair)}{oldest}"]
