"""The operator's pages at the hub, and a site's page of its hub."""

from msgspec.structs import replace

from tests.web.samples.frame import CONNECTOR_ID, DAY_MS, HOUR_MS, MINUTE_MS, NOW_MS, hub_shell, site_shell
from web import contexts as c

TOKENS = (
    c.EnrolmentToken("t3", "phe_9sKd…Lw0a", "riverside", NOW_MS - HOUR_MS, NOW_MS + 23 * HOUR_MS),
    c.EnrolmentToken(
        "t2", "phe_Qm21…77Za", "hillside", NOW_MS - 12 * DAY_MS, NOW_MS - 11 * DAY_MS, NOW_MS - 12 * DAY_MS
    ),
    c.EnrolmentToken("t1", "phe_aa0B…x1Yc", "depot", NOW_MS - 20 * DAY_MS, NOW_MS - 19 * DAY_MS, is_revoked=True),
    c.EnrolmentToken("t0", "phe_bb1B…x1Yd", "depot", NOW_MS - 20 * DAY_MS, NOW_MS - 19 * DAY_MS),
)
HUB_AUDIT = c.HubAudit(
    (
        c.AuditEntry(815, NOW_MS - MINUTE_MS, "operator", "203.0.113.9", "site.revoke", "'depot' s3"),
        c.AuditEntry(814, NOW_MS - HOUR_MS, "local command line", "127.0.0.1", "token.make", "for site 'riverside'"),
        c.AuditEntry(813, NOW_MS - DAY_MS, "operator", "203.0.113.9", "log_in", ""),
    ),
    first_url="/operator/audit",
    next_url="/operator/audit?before=813",
)
OPERATOR = c.OperatorPage(
    hub_shell(),
    c.HubSearch("side", is_trouble=True),
    c.HubFigures(
        3, 1, 2, 2, 41, 1_482_752, 2_000_000, 4_271.0, 5_120.0, 1.25, 2_400_000, 81_000_000_000, NOW_MS - 3 * DAY_MS
    ),
    c.HubTokens(
        TOKENS,
        7,
        c.NewEnrolmentToken(
            "phe_" + "9sKdLw0a" * 5 + "Qm2177Zab",
            "riverside",
            NOW_MS + DAY_MS,
            "pairhub enrol https://hub.example.net --site riverside",
        ),
    ),
    c.HubSites(
        (
            c.HubSite("s1", "hillside", "4F2A-9C71", NOW_MS - 12 * DAY_MS, NOW_MS - 600, 2, protocol=1),
            c.HubSite("s2", "riverside", "81BC-0D11", NOW_MS - 12 * DAY_MS, NOW_MS - HOUR_MS, 0),
            c.HubSite("s3", "depot", "77AA-F00D", NOW_MS - 40 * DAY_MS, None, 0, is_revoked=True),
        ),
        c.HubPager(3, 31, is_narrowed=True, first_url="/operator", next_url="/operator?sites=riverside#hub-sites"),
    ),
    c.HubConnectors(
        (
            c.HubConnector("hillside", CONNECTOR_ID, c.Role.SOURCE, True, "203.0.113.7", NOW_MS - 2 * HOUR_MS, 1),
            c.HubConnector("riverside", "T4W8X", c.Role.TARGET, False),
        ),
        c.HubPager(2, 1_204, is_narrowed=True),
    ),
    c.HubWindows((c.HubWindow("hillside", "9BD3N", NOW_MS - 4 * MINUTE_MS, NOW_MS + 6 * MINUTE_MS, True),), 2),
    c.HubPairs(
        (
            c.HubPair(
                "p1",
                "hillside",
                CONNECTOR_ID,
                "riverside",
                "T4W8X",
                NOW_MS - 9 * DAY_MS,
                True,
                False,
                41,
                1_482_752,
                4_271.0,
                5_120.0,
                1.25,
            ),
            c.HubPair("p2", "depot", "QX1TT", "hillside", "M2KQ7", NOW_MS - 30 * DAY_MS, True, True, 0, 0, None),
        ),
        c.HubPager(2, 2, next_url="/operator?pairs=depot%2FQX1TT#hub-pairs"),
    ),
    c.HubBlocked(
        NOW_MS - 3 * DAY_MS,
        1_893,
        (
            c.BlockedKind("Link", "site revoked", 1_880, NOW_MS - 4_000),
            c.BlockedKind("Enrolment", "token expired", 12, NOW_MS - HOUR_MS),
            c.BlockedKind("Log-in", "wrong password", 1, NOW_MS - DAY_MS),
        ),
        (
            c.BlockedFrom("Link", "site revoked", "203.0.113.66", "depot", 1_880, NOW_MS - 4_000),
            c.BlockedFrom("Log-in", "wrong password", "2001:db8::7", "", 1, NOW_MS - DAY_MS),
        ),
    ),
    HUB_AUDIT,
    c.HubCertificate(
        ("hub.example", "10.0.0.5"),
        NOW_MS + 12 * DAY_MS,
        "5F:" * 31 + "5F",
        is_self_signed=True,
        warning="The certificate /etc/pairhub/hub.pem ends in 12 days. Renew it; the daemon loads it by itself.",
    ),
)
OPERATOR_EMPTY = c.OperatorPage(
    hub_shell(),
    c.HubSearch(),
    c.HubFigures(0, 0, 0, 0, 0, 0, 0, None, 0.0, 0.0, 90_112, 81_000_000_000, NOW_MS),
    c.HubTokens(()),
    c.HubSites((), c.HubPager(0, 0)),
    c.HubConnectors((), c.HubPager(0, 0)),
    c.HubWindows(()),
    c.HubPairs((), c.HubPager(0, 0)),
    c.HubBlocked(NOW_MS, 0),
    c.HubAudit((), all_url="/operator/audit"),
)
HUB_AUDIT_PAGE = c.HubAuditPage(hub_shell(), HUB_AUDIT)
SITE_HUB = c.SiteHubPage(
    site_shell(c.Section.HUB),
    c.SiteHubCard("hillside", "https://hub.example.net", True, linked_count=2, wanted_count=3),
)
SITE_HUB_ASKS = replace(
    SITE_HUB,
    hub=c.SiteHubCard(
        "hillside",
        "https://hub.example.net",
        is_enrolled=False,
        asks_for_token=True,
        errors={"token": "The enrolment token was used already. Ask the hub's operator for a new one."},
    ),
)
