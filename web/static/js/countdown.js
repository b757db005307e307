// Count down between the server's updates. The server says how much is left, so a wrong clock here does no harm.
const TICK_MS = 250;
const ENDING_MS = 60_000;
const ends = new WeakMap();

function words(left_ms) {
  const total_s = Math.max(0, Math.ceil(left_ms / 1000));
  if (total_s < 60) return `${total_s} s`;
  const rest_s = total_s % 60;
  return `${Math.floor(total_s / 60)} min` + (rest_s ? ` ${rest_s} s` : "");
}

function show(element) {
  const said = element.dataset.countdownMs;
  let known = ends.get(element);
  if (!known || known.said !== said) {
    known = { said, end: performance.now() + Number(said) };
    ends.set(element, known);
  }
  const left_ms = Math.max(0, known.end - performance.now());
  const part = (left_ms / Number(element.dataset.totalMs)) * 100;
  element.querySelector(".ring").setAttribute("stroke-dashoffset", (100 - part).toFixed(1));
  element.querySelector("[data-countdown-text]").textContent = words(left_ms);
  element.classList.toggle("ending", left_ms < ENDING_MS);
}

setInterval(() => {
  for (const element of document.querySelectorAll("[data-countdown-ms]")) show(element);
}, TICK_MS);
