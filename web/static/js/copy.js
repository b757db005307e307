// Buttons with `data-copy` put that text on the clipboard and say so.
import { addToast } from "./toasts.js";

const SAID_FOR_MS = 1600;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  if (!(await copy(button.dataset.copy))) {
    addToast("problem", "The browser did not allow copying. Select the text and copy it by hand.");
    return;
  }
  const word = button.querySelector(".copy-word");
  if (!word || word.dataset.before) return;
  word.dataset.before = word.textContent;
  word.textContent = "Copied";
  addToast("done", "Copied to the clipboard.");
  setTimeout(() => {
    word.textContent = word.dataset.before;
    delete word.dataset.before;
  }, SAID_FOR_MS);
});

async function copy(text) {
  // The clipboard interface exists on https and localhost only; a site on a LAN is often plain http.
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused, for want of focus or permission: the old way may still do.
    }
  }
  const holder = document.createElement("textarea");
  holder.value = text;
  holder.className = "hidden-word";
  holder.readOnly = true;
  document.body.append(holder);
  holder.select();
  try {
    return document.execCommand("copy");
  } finally {
    holder.remove();
  }
}
