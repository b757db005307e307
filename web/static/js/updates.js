// Watch the update stream of this page: show the banner when it stops, hide it when it flows again.
const GRACE_MS = 2500;
const SILENCE_MS = 25_000;
const RETRY_MS = 5000;

const banner = document.getElementById("stale");
let lastHeard = performance.now();
let isDown = false;
let downSince = 0;
let isOver = false;
let retry = 0;

function down() {
  if (isDown) return;
  isDown = true;
  downSince = performance.now();
}

function heard() {
  lastHeard = performance.now();
  isDown = false;
  if (!isOver) banner.hidden = true;
}

function tell(title, text) {
  banner.querySelector(".stale-title").textContent = title;
  banner.querySelector(".stale-text").textContent = text;
  banner.hidden = false;
}

// htmx reconnects a stream that was once open; one that never opened is left to us.
function retryLater(stream) {
  clearTimeout(retry);
  retry = setTimeout(() => {
    const url = stream.getAttribute("hx-sse:connect");
    if (stream.isConnected && url && !isOver) htmx.ajax("GET", url, { source: stream });
  }, RETRY_MS);
}

function onStream(name, act) {
  document.addEventListener(name, (event) => {
    if (event.target.id === "updates") act(event);
  });
}

if (banner) {
  onStream("htmx:sse:after:connection", heard);
  onStream("htmx:sse:before:message", heard);
  onStream("htmx:sse:error", down);
  onStream("htmx:sse:before:connection", (event) => {
    if (event.detail.connection.attempt > 0) down();
  });
  onStream("htmx:response:error", (event) => {
    down();
    const status = event.detail.ctx.response.status;
    if (status === 401 || status === 403) endSession();
    else retryLater(event.target);
  });
  onStream("htmx:error", (event) => {
    down();
    retryLater(event.target);
  });
  onStream("end", endSession);

  setInterval(() => {
    if (isOver || document.hidden || !document.querySelector("#updates[hx-sse\\:connect]")) {
      lastHeard = performance.now();
      return;
    }
    const now = performance.now();
    if (now - lastHeard > SILENCE_MS) down();
    if (isDown && now - downSince > GRACE_MS) {
      tell("Live updates have stopped.", "What you see may be out of date; trying again.");
    }
  }, 500);
}

function endSession() {
  isOver = true;
  tell("Your session has ended.", "What you see is no longer updated. Reload the page to log in again.");
}
