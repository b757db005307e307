// Tell the server the zone of this browser, so that it can write times in it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const YEAR_S = 365 * 24 * 3600;

if (zone && !document.cookie.split("; ").includes(`tz=${zone}`)) {
  document.cookie = `tz=${zone}; path=/; max-age=${YEAR_S}; samesite=lax`;
}
