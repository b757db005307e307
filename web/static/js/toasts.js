// Toasts leave after a while, problems stay until dismissed. What fails in the background becomes a toast.
const STAY_MS = 6000;
const ICONS = { done: "check", note: "info", problem: "alert" };
const TONES = { done: "ok", note: "info", problem: "bad" };
const watched = new WeakSet();

export function addToast(kind, text) {
  const toasts = document.getElementById("toasts");
  if (!toasts) return;
  const toast = document.createElement("div");
  toast.className = `toast ${TONES[kind]}`;
  toast.dataset.toast = kind;
  const words = document.createElement("p");
  words.textContent = text;
  const dismiss = document.createElement("button");
  dismiss.type = "button";
  dismiss.className = "icon-button";
  dismiss.dataset.dismiss = "";
  dismiss.setAttribute("aria-label", "Dismiss");
  dismiss.append(icon("cross"));
  toast.append(icon(ICONS[kind]), words, dismiss);
  toasts.append(toast);
  watch();
}

function icon(name) {
  const sprite = document.querySelector("svg.icon use").getAttribute("href").split("#")[0];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

function watch() {
  for (const toast of document.querySelectorAll("[data-toast]")) {
    if (watched.has(toast) || toast.dataset.toast === "problem") continue;
    watched.add(toast);
    setTimeout(() => toast.remove(), STAY_MS);
  }
}

document.addEventListener("click", (event) => {
  event.target.closest("[data-dismiss]")?.closest("[data-toast]").remove();
});
document.addEventListener("htmx:after:swap", watch);
watch();

// The update stream speaks for itself, in updates.js.
const isStream = (event) => event.target.id === "updates";

document.addEventListener("htmx:response:error", (event) => {
  const status = event.detail.ctx.response.status;
  if (isStream(event) || status === 422) return;
  const reasons = {
    401: "Your session has ended. Reload the page to log in again.",
    403: "You are not allowed to do this, or the page is too old. Reload it and try again.",
    404: "This is gone. Reload the page to see what is there.",
    429: "Too many requests. Wait a moment and try again.",
  };
  addToast("problem", reasons[status] ?? `The server could not do this (${status}). Try again in a moment.`);
});

document.addEventListener("htmx:error", (event) => {
  if (!isStream(event) && event.detail.ctx) {
    addToast("problem", "The server cannot be reached. Nothing was changed; try again in a moment.");
  }
});

// A request that selects a part of a page must not empty the target where the answer lacks that part (a log-in page).
document.addEventListener("htmx:before:swap", (event) => {
  const { ctx, tasks } = event.detail;
  const main = tasks.find((task) => task.type === "main");
  if (!ctx.select || !main || main.fragment.childElementCount) return;
  event.preventDefault();
  if (ctx.response?.raw.redirected) location.assign(ctx.response.raw.url);
  else addToast("problem", "The answer was not what this page expected. Reload it and try again.");
});
