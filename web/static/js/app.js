// The scripts of all pages. Each works by itself, on attributes; a page without one of them still works.
import "./zone.js";
import "./theme.js";
import "./copy.js";
import "./paste.js";
import "./countdown.js";
import "./menus.js";
import "./dialog.js";
import "./toasts.js";
import "./bulk.js";
import "./updates.js";
