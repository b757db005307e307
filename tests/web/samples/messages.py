"""A question before something that cannot be undone, and errors."""

from tests.web.samples.frame import site_shell
from web import contexts as c

CONFIRM = c.ConfirmPage(
    site_shell(c.Section.API_KEY),
    "Revoke the key “historian”?",
    "Programs that use it are refused from this moment on.",
    "Revoke key",
    "/api-key/k1/revoke",
    "/api-key",
    ("Readings that were accepted stay.", "A new key can be created at once."),
    {"confirmed": "yes"},
)
NOT_FOUND = c.ErrorPage(
    404,
    "This page does not exist",
    "There is nothing at /connectors/K7QM3.",
    "The address may be mistyped, or the connector was deleted.",
    "Choose a connector from the list.",
    shell=site_shell(c.Section.NONE),
    next_url="/connectors",
    next_label="Show all connectors",
)
BROKEN = c.ErrorPage(
    500,
    "Something went wrong here",
    "The page could not be made.",
    "An error in Pairhub itself; it is written to the log.",
    "Try again. If it stays, send the log line to whoever looks after this site.",
    place_name="hillside",
    request_id="01JD4T7Q2M",
)
