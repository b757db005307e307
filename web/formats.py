"""Numbers, times and values as people read them. Pure; `web.rendering` offers these to the templates as filters."""

from datetime import UTC, datetime, tzinfo

from markupsafe import Markup

from web.contexts.base import Value

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_VALUE_LENGTH_MAX = 120


def count(number: int | float) -> str:
    """Write a whole number with thousands marked: `12,480`."""
    return f"{number:,.0f}"


def byte_size(number: int | float) -> str:
    """Write an amount of bytes with three digits at most: `640 B`, `1.4 MiB`, `120 GiB`."""
    amount = float(number)
    for unit in _BYTE_UNITS[:-1]:
        if abs(amount) < 999.5:
            return f"{amount:.0f} B" if unit == "B" else f"{_three_digits(amount)} {unit}"
        amount /= 1024
    return f"{_three_digits(amount)} {_BYTE_UNITS[-1]}"


def _three_digits(amount: float) -> str:
    return f"{amount:.0f}" if amount >= 99.5 else f"{amount:.1f}"


def duration(seconds: float) -> str:
    """Write a duration in its one or two largest units: `4 s`, `9 min 41 s`, `3 h 5 min`, `29 d 4 h`."""
    total = max(0, int(seconds + 0.5))
    if total < 60:
        return f"{total} s"
    for large, small, size_s, small_s in (("min", "s", 60, 1), ("h", "min", 3600, 60), ("d", "h", 86400, 3600)):
        if total < size_s * (60 if large != "h" else 24) or large == "d":
            rest = total % size_s // small_s
            return f"{total // size_s} {large}" + (f" {rest} {small}" if rest else "")
    raise AssertionError("unreachable: days take any amount")


def rough_duration(seconds: float) -> str:
    """Write a duration in its largest unit only: `3 min`, `29 d`. For ages, which need not tick every second."""
    return " ".join(duration(seconds).split(" ")[:2])


def milliseconds(number: float) -> str:
    """Write a short time: `0.4 ms`, `12 ms`, `1.3 s`."""
    if number < 1:
        return f"{number:.1f} ms"
    return f"{number:.0f} ms" if number < 1000 else f"{number / 1000:.1f} s"


def rate(per_s: float) -> str:
    """Write readings per second: `0`, `0.25`, `12.4`, `1,240`."""
    if per_s == 0:
        return "0"
    if per_s < 1:
        return f"{per_s:.2f}"
    return f"{per_s:.1f}" if per_s < 100 else f"{per_s:,.0f}"


def value(reading: Value) -> str:
    """Write the value of a resource; long text is cut. A dash stands for no value."""
    match reading:
        case None:
            return "–"
        case bool():
            return "true" if reading else "false"
        case int():
            if abs(reading) < 10**18:
                return str(reading)
            # No float holds more, and a page must not break over a foreign value.
            return f"{reading:.10g}" if abs(reading) < 10**300 else "out of range"
        case float():
            return f"{reading:.10g}"
        case _:
            return reading if len(reading) <= _VALUE_LENGTH_MAX else reading[:_VALUE_LENGTH_MAX] + "…"


def moment(at_ms: int, zone: tzinfo) -> datetime:
    """Return the moment in the viewer's zone; what no calendar can hold becomes the nearest end."""
    at_s = min(max(at_ms / 1000, -62_000_000_000), 253_000_000_000)
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone)


def iso(at_ms: int) -> str:
    """Write a moment as ISO 8601 in UTC, to the millisecond."""
    return moment(at_ms, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def zone_label(at: datetime) -> str:
    """Name the zone of a moment: `CET`, `UTC`, or `UTC+05:30` where it has no letters."""
    name = at.tzname() or "UTC"
    if name[:1].isalpha():
        return name
    offset = at.strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:5]}"


def full_time(at_ms: int, zone: tzinfo) -> Markup:
    """Write date, time and zone: `20 Nov 2026, 14:02:09 CET`."""
    at = moment(at_ms, zone)
    return _time_element(at_ms, f"{at.day} {at:%b %Y, %H:%M:%S} {zone_label(at)}")


def exact_time(at_ms: int, zone: tzinfo) -> Markup:
    """Write date and time to the millisecond, for places that name the zone once: `20 Nov 2026, 14:02:09.123`."""
    at = moment(at_ms, zone)
    return _time_element(at_ms, f"{at.day} {at:%b %Y, %H:%M:%S}.{at_ms % 1000:03}")


def short_time(at_ms: int, zone: tzinfo, now_ms: int) -> Markup:
    """Write the time of day and zone, with the day where it is not today: `14:02 CET`, `18 Nov, 14:02 CET`."""
    at = moment(at_ms, zone)
    now = moment(now_ms, zone)
    text = f"{at:%H:%M} {zone_label(at)}"
    if at.date() != now.date():
        text = f"{at.day} {at:%b}{'' if at.year == now.year else f' {at.year}'}, {text}"
    return _time_element(at_ms, text)


def day(at_ms: int, zone: tzinfo) -> Markup:
    """Write a date: `20 Nov 2026`."""
    at = moment(at_ms, zone)
    return _time_element(at_ms, f"{at.day} {at:%b %Y}")


def ago(at_ms: int, zone: tzinfo, now_ms: int) -> Markup:
    """Write how long ago a moment was, with the full time as its title: `3 min ago`, `just now`, `in 5 min`."""
    age_s = (now_ms - at_ms) / 1000
    if age_s < -1:
        text = f"in {rough_duration(-age_s)}"
    else:
        text = "just now" if age_s < 2 else f"{rough_duration(age_s)} ago"
    at = moment(at_ms, zone)
    return _time_element(at_ms, text, f"{at.day} {at:%b %Y, %H:%M:%S} {zone_label(at)}")


def _time_element(at_ms: int, text: str, title: str = "") -> Markup:
    titled = Markup(' title="{}"').format(title) if title else Markup()
    return Markup('<time datetime="{}"{}>{}</time>').format(iso(at_ms), titled, text)


def spark_points(values: tuple[float, ...], width: float, height: float, *, from_zero: bool = False) -> str:
    """Return the `points` of a polyline that draws the values, oldest first, inside a box; `""` for fewer than two.

    The box spans lowest to highest value, or zero to highest: rates are honest from zero, temperatures are not.
    """
    known = [each for each in values if each == each and abs(each) != float("inf")]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    if from_zero:
        low = min(0.0, low)
    span = (high - low) or 1.0
    flat = (height - 1.5 if from_zero else height / 2) if high == low else None
    step = width / (len(known) - 1)
    return " ".join(
        f"{index * step:.1f},{height - 1.5 - (each - low) / span * (height - 3) if flat is None else flat:.1f}"
        for index, each in enumerate(known)
    )
