"""Logging in and setting up, at a site and at the hub."""

from web import contexts as c

LOGIN = c.LoginPage(
    c.Place.SITE,
    "hillside",
    "0.1.0",
    "admin",
    errors={"": "User name or password is wrong."},
    notice="Your session ended after 12 hours without use.",
)
HUB_LOGIN = c.LoginPage(c.Place.HUB, "hub.example.net", "0.1.0")
SETUP = c.SetupPage(c.Place.SITE, "hillside", "0.1.0")
HUB_SETUP = c.SetupPage(
    c.Place.HUB,
    "hub.example.net",
    "0.1.0",
    "phs_abc",
    errors={
        "token": "This is not the token that the program printed when it started last.",
        "password_again": "The two passwords differ.",
    },
)
